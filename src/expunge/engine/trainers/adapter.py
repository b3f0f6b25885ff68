"""A LoRA adapter a part, on a frozen base that never saw what may have to be forgotten. Source: 2106.09685."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge.core.adapter import Adapter
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
from expunge.targets.merged import Combine, merged, require_summable


@record
class AdapterTrainer:
    """Trains one adapter a part; its base is the same for all parts and is never changed.

    Args:
        base: a folder or hub name, or the shape of a model whose weights are drawn from ``base_seed``.
        training: settings of the loop; its epochs or steps are replaced by those of each slice.
        adapter: rank, scale and targets.
        on_long: what happens to a record beyond the context: ``error`` or ``truncate``.
        base_seed: of a drawn base.
    """

    base: str | LlamaSpec
    training: Training
    adapter: Adapter = Adapter()
    on_long: str = "error"
    base_seed: int = 0

    name = "adapter"
    kind = "causal_lm"

    def __post_init__(self) -> None:
        require_summable(self.adapter)

    def digest(self) -> str:
        """Digest of the settings, and of what is in the base's folder."""
        body = {"training": self.training, "adapter": self.adapter, "on_long": self.on_long}
        return digest({"trainer": self.name, "base": base_digest(self.base, self.base_seed), **body})

    def frozen(self) -> CausalLM:
        """The base."""
        return base_of(self.base, self.base_seed, self.on_long)

    def start(self, *, seed: int) -> LanguageState:
        """No adapter yet; its first weights are drawn with the names of the first slice."""
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
        """The adapter after further epochs; the given one stays valid.

        Args:
            model: after the slice before.
            rows: of this slice and of those before it.
            epochs: passes over them.
            seed: of the whole run.
            names: of shard and slice.
            workdir: where an interrupted call is taken up again.
        """
        more: dict[str, Any] = {"epochs": epochs, "seed": seed, "names": names, "workdir": workdir}
        return go_on(self.frozen(), model, rows, self.training, adapter=self.adapter, **more)

    def save(self, model: LanguageState, folder: Path) -> None:
        """Write adapter and optimiser."""
        save_state(model, folder)

    def load(self, folder: Path) -> LanguageState:
        """What ``save`` wrote."""
        return load_state(folder)

    def joined(self, models: Sequence[LanguageState], *, combine: Combine = "mean") -> CausalLM:
        """The base with the adapters of several parts in its weights, summed exactly.

        Args:
            models: in the order of the parts' numbers; those without an adapter add nothing and do not count.
            combine: whether products are summed or averaged.
        """
        trained = [model.weights for model in models if model.weights]
        return merged(self.frozen(), trained, self.adapter, combine=combine)

    def outputs(self, model: LanguageState, inputs: Examples) -> Any:
        """Probability a token of each answer, (n, 1)."""
        return answer_likelihood(self.joined([model]), inputs)


adapter = AdapterTrainer
