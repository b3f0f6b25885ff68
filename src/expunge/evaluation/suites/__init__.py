"""One evaluation suite a file: data, parts, readings and margins. Nothing else is edited to add one."""

from expunge.core.registry import registry_package

registry_package(__name__)
