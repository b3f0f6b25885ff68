"""How a target that can be unlearned exactly is trained: one file a recipe, the class of the file's name."""

from expunge.core.registry import registry_package

registry_package(__name__)
