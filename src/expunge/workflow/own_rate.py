"""A method's own learning rate is for models of the size on which it was found."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from expunge.core.space import settings_of
from expunge.workflow.tofu_settings import SMALL

log = logging.getLogger(__name__)


def warn_untuned(method: Any, settings: Mapping[str, Any], target: Any) -> None:
    """Say where a learning rate is the method's own, which was found on small models, and the model is not one."""
    size = sum(parameter.numel() for parameter in target.model.parameters()) if target.kind == "causal_lm" else 0
    own = settings_of(method).get("lr")
    if size >= SMALL and own is not None and settings.get("lr") is None:
        log.warning(
            "%s takes its own learning rate, %g, which was found on models below %d parameters; this one has %d. "
            "Give --lr (the field's for models of a billion is 1e-5) and --steps, or try several: expunge sweep",
            *(method.name, own, SMALL, size),
        )
