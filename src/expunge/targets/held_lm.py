"""A target that holds a language model answers as that model does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from expunge.data.collate import OnLong, Template
from expunge.targets.model_facts import ModelFacts

if TYPE_CHECKING:
    from expunge.targets.causal_lm import CausalLM


class HeldLM:
    """What such a target passes on of ``lm``, the model with its tokenizer."""

    if TYPE_CHECKING:

        @property
        def lm(self) -> CausalLM:
            """The model with its tokenizer."""
            ...

    @property
    def model(self) -> Any:
        """The torch model that answers."""
        return self.lm.model

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self.lm.tokenizer

    @property
    def on_long(self) -> OnLong:
        """What happens to a sequence beyond the context."""
        return self.lm.on_long

    @property
    def facts(self) -> ModelFacts:
        """Facts of the architecture."""
        return self.lm.facts

    @property
    def template(self) -> Template:
        """How text becomes tokens."""
        return self.lm.template

    @property
    def parameters(self) -> int:
        """Number of parameters, tied ones once; of a mixture, of all its models."""
        return self.lm.parameters

    @property
    def weights(self) -> str:
        """In which numbers the weights are held."""
        return self.lm.weights
