"""What can be opened as a store: one file a form, found by its first bytes or its ending."""

from expunge.core.registry import registry_package

registry_package(__name__)
