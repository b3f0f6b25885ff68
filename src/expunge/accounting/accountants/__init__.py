"""The rules by which a proof's numbers come to an epsilon, one a file; whoever has the numbers runs them again."""

from expunge.core.registry import registry_package

registry_package(__name__)
