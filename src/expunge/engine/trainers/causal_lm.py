"""A full fine-tune a part, from one base, as Branch-Train-Merge has it. Source: Li et al. 2022 (2208.03306)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.core.record import record
from expunge.core.training import Training
from expunge.engine.trainers._language import (
    LanguageState,
    answer_likelihood,
    base_digest,
    base_of,
    go_on,
    load_state,
    save_state,
)
from expunge.targets.causal_lm import CausalLM
from expunge.targets.llama_spec import LlamaSpec
from expunge.targets.souped import souped


@record
class CausalLMTrainer:
    """Trains the weights of a language model, from a base that is the same for all parts.

    Args:
        base: a folder or hub name, or the shape of a model whose weights are drawn from ``base_seed``.
        training: settings of the loop; its epochs or steps are replaced by those of each slice.
        on_long: what happens to a record beyond the context: ``error`` or ``truncate``.
        base_seed: of a drawn base.
    """

    base: str | LlamaSpec
    training: Training
    on_long: str = "error"
    base_seed: int = 0

    name = "causal_lm"
    kind = "causal_lm"

    def digest(self) -> str:
        """Digest of the settings, and of what is in the base's folder."""
        body = {"training": self.training, "on_long": self.on_long}
        return digest({"trainer": self.name, "base": base_digest(self.base, self.base_seed), **body})

    def frozen(self) -> CausalLM:
        """The base."""
        return base_of(self.base, self.base_seed, self.on_long)

    def start(self, *, seed: int) -> LanguageState:
        """The base's weights, whatever the seed: only fine-tunes of one base can be averaged."""
        return LanguageState()

    def train(
        self,
        model: LanguageState,
        rows: Examples,
        *,
        epochs: float,
        seed: int,
        names: tuple[str | int, ...],
        workdir: Path | None = None,
    ) -> LanguageState:
        """The weights after further epochs; the given ones stay valid.

        Args:
            model: after the slice before.
            rows: of this slice and of those before it.
            epochs: passes over them.
            seed: of the whole run.
            names: of shard and slice.
            workdir: where an interrupted call is taken up again.
        """
        more: dict[str, Any] = {"epochs": epochs, "seed": seed, "names": names, "workdir": workdir}
        return go_on(self.frozen(), model, rows, self.training, **more)

    def save(self, model: LanguageState, folder: Path) -> None:
        """Write weights and optimiser."""
        save_state(model, folder)

    def load(self, folder: Path) -> LanguageState:
        """What ``save`` wrote."""
        return load_state(folder)

    def joined(self, models: Sequence[LanguageState]) -> CausalLM:
        """The mean of the weights of several parts.

        Args:
            models: in the order of the parts' numbers; those that were never trained do not count.
        """
        return souped(self.frozen(), [model.weights for model in models if model.weights])

    def outputs(self, model: LanguageState, inputs: Examples) -> Any:
        """Probability a token of each answer, (n, 1)."""
        return answer_likelihood(self.joined([model]), inputs)


causal_lm = CausalLMTrainer
