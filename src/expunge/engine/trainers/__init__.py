"""How one part of a sharded model is trained: one file a form, the class of its name (see ``engine.parts.trainer``)."""

from expunge.core.registry import registry_package

registry_package(__name__)
