"""Answer with outputs whose distribution is close to that of a model that never knew."""

from expunge.core.registry import registry_package

registry_package(__name__)
