"""One policy a file: what must hold before ``Empirical`` is earned. Dashes in a public name are underscores here."""

from expunge.core.registry import registry_package

registry_package(__name__)
