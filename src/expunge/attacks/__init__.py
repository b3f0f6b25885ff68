"""What queries or changes a model to see whether it still knows. One attack a file."""

from expunge.core.registry import registry_package

registry_package(__name__)
