"""What must be known of an architecture, by ``config.model_type``. Never guessed from a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expunge.core.errors import TargetError


@dataclass(frozen=True)
class ModelFacts:
    """Where things are in one architecture.

    Args:
        layers: attribute of the backbone (``model.base_model``) that lists the decoder layers.
        context: attribute of the config that holds the context limit in tokens.
    """

    layers: str
    context: str

    def decoder_layers(self, model: Any) -> Sequence[Any]:
        """The decoder layers, first to last."""
        return getattr(model.base_model, self.layers)

    def context_limit(self, model: Any) -> int:
        """Tokens that fit."""
        return int(getattr(model.config, self.context))


MODEL_FACTS: dict[str, ModelFacts] = {
    "gpt2": ModelFacts(layers="h", context="n_positions"),
    "llama": ModelFacts(layers="layers", context="max_position_embeddings"),
}


def facts_of(model: Any) -> ModelFacts:
    """The facts of a model's architecture.

    Raises:
        TargetError: not in the table.
    """
    kind = getattr(model.config, "model_type", "")
    if kind not in MODEL_FACTS:
        raise TargetError(
            f"no facts for the architecture {kind!r}",
            why=f"known are {', '.join(sorted(MODEL_FACTS))}",
            next="Add a row to targets/model_facts.py",
        )
    return MODEL_FACTS[kind]
