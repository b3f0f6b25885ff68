"""What must be known of an architecture, by ``config.model_type``. Never guessed from a path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.core.errors import TargetError

Head = Callable[[Any], Any]


@dataclass(frozen=True)
class ModelFacts:
    """Where things are in one architecture: a decoder whose memory of a prompt is keys and values by position.

    Embedding scale, norms, windows and residuals are the model's own modules' business; nothing here repeats them.

    Args:
        layers: attribute of the backbone (``model.base_model``) that lists the decoder layers.
        context: attribute of the config that holds the context limit in tokens.
    """

    layers: str = "layers"
    context: str = "max_position_embeddings"

    def decoder_layers(self, model: Any) -> Sequence[Any]:
        """The decoder layers, first to last."""
        return getattr(model.base_model, self.layers)

    def context_limit(self, model: Any) -> int:
        """Tokens that fit.

        Where rotary angles change beyond a length, that length: the angles of every sequence would depend on the
        longest one in its batch.
        """
        limit = int(getattr(model.config, self.context))
        return min([limit, *_switches(getattr(model.config, "rope_parameters", None))])

    def head(self, model: Any, embeddings: Any = None) -> Head:
        """What turns final states into logits, softcap and scale included: the model's own code without its backbone.

        Args:
            model: a transformers causal LM.
            embeddings: a module in place of the model's output embeddings, None for its own.

        Returns:
            Maps (N, D) to (N, V).
        """

        def logits_of(final_ND: Any) -> Any:
            bare = _WithoutBackbone(model, embeddings, final_ND[None])
            return type(model).forward(bare, input_ids=None, use_cache=False).logits[0]

        return logits_of


class _WithoutBackbone:
    """A model whose backbone returns states that are there already. The model itself is not changed."""

    def __init__(self, model: Any, embeddings: Any, states: Any) -> None:
        self._model, self._embeddings, self._states = model, embeddings, states

    def _backbone(self, *_: Any, **__: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=self._states)

    def __getattr__(self, name: str) -> Any:
        if name == self._model.base_model_prefix:
            return self._backbone
        value = getattr(self._model, name)
        replaced = self._embeddings is not None and value is self._model.get_output_embeddings()
        return self._embeddings if replaced else value


def _switches(rope: Any) -> list[int]:
    """Lengths at which rotary angles change for a whole batch; ``rope_parameters`` may be given layer type by type."""
    if not isinstance(rope, dict):
        return []
    if rope.get("rope_type") == "longrope":
        return [int(rope["original_max_position_embeddings"])]
    return [length for part in rope.values() for length in _switches(part)]


MODEL_FACTS: dict[str, ModelFacts] = {
    "gemma": ModelFacts(),
    "gemma2": ModelFacts(),
    "gemma3_text": ModelFacts(),
    "gpt2": ModelFacts(layers="h", context="n_positions"),
    "gpt_neox": ModelFacts(),
    "llama": ModelFacts(),
    "mistral": ModelFacts(),
    "olmo": ModelFacts(),
    "olmo2": ModelFacts(),
    "phi": ModelFacts(),
    "phi3": ModelFacts(),
    "qwen2": ModelFacts(),
    "qwen3": ModelFacts(),
}


def facts_of(model: Any) -> ModelFacts:
    """The facts of a model's architecture.

    Raises:
        TargetError: not in the table.
    """
    return facts_for(getattr(model.config, "model_type", ""))


def facts_for(kind: str) -> ModelFacts:
    """The facts of an architecture by its ``model_type``.

    Raises:
        TargetError: not in the table.
    """
    if kind not in MODEL_FACTS:
        raise TargetError(
            f"no facts for the architecture {kind!r}",
            why=f"known are {', '.join(sorted(MODEL_FACTS))}",
            next=f"Add a row {kind!r} to targets/model_facts.py: the backbone's list of layers and the config's "
            "context limit; tests/targets/test_model_facts.py says whether they are enough",
        )
    return MODEL_FACTS[kind]
