"""Gradient steps on known examples."""

from expunge.core.registry import registry_package

registry_package(__name__)
