"""One score or statistic a file. Pure functions of a score table's columns; they never see a model."""

from expunge.core.registry import registry_package

registry_package(__name__)
