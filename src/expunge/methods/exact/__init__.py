"""Rebuild what a record touched."""

from expunge.core.registry import registry_package

registry_package(__name__)
