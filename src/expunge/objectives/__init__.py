"""One formula a file. Pure functions of views; they never see a model."""

from expunge.core.registry import registry_package

registry_package(__name__)
