"""Methods on datastores: one a file."""

from expunge.core.registry import registry_package

registry_package(__name__)
