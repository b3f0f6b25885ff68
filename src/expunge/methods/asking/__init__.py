"""Ask the system not to tell: prompts, guards, boxes."""

from expunge.core.registry import registry_package

registry_package(__name__)
