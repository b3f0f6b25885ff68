"""A group of layers a slice, from the top down, each trained once and then frozen (S3T). Source: 2406.16257.

Slice i trains LoRA adapters in the i-th group of layers from the top, on the records of slices 1..i, with the groups
above as they were left and the base below. No later slice changes an earlier group. So when a record of slice p is
deleted, switching off the groups p..L leaves, byte for byte, the model that training on slices 1..p-1 gave: it can
answer at once, and only those groups are to be trained again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.core.adapter import Adapter
from expunge.core.canonical import digest
from expunge.core.errors import ConfigError
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

LAYERS = "layers_to_transform"


def groups_of_layers(layers: int, groups: int) -> list[tuple[int, ...]]:
    """Decoder layers of each group, the top one first; as equal as can be, what is left over at the top.

    Raises:
        ConfigError: there are fewer layers than groups.

    >>> groups_of_layers(5, 2)
    [(2, 3, 4), (0, 1)]
    """
    if not 1 <= groups <= layers:
        raise ConfigError(f"{layers} layers cannot be cut into {groups} groups", next="Use fewer slices")
    size, left = divmod(layers, groups)
    ends, top = [], layers
    for group in range(groups):
        below = top - size - (group < left)
        ends.append(tuple(range(below, top)))
        top = below
    return ends


@record
class LayeredAdapterTrainer:
    """Trains one group of layers a slice.

    Args:
        base: a folder or hub name, or the shape of a model whose weights are drawn from ``base_seed``.
        training: settings of the loop; its epochs or steps are replaced by those of each slice.
        groups: L, as many as slices.
        adapter: rank, scale and targets, the same in every group.
        on_long: what happens to a record beyond the context: ``error`` or ``truncate``.
        base_seed: of a drawn base.
    """

    base: str | LlamaSpec
    training: Training
    groups: int
    adapter: Adapter = Adapter()
    on_long: str = "error"
    base_seed: int = 0

    name = "layered_adapter"
    kind = "causal_lm"

    def __post_init__(self) -> None:
        require_summable(self.adapter)
        if LAYERS in dict(self.adapter.settings):
            raise ConfigError(f"{LAYERS} is what the groups are for", next="Leave it out of the adapter's settings")

    def digest(self) -> str:
        """Digest of the settings, and of what is in the base's folder."""
        body = {"training": self.training, "adapter": self.adapter, "groups": self.groups, "on_long": self.on_long}
        return digest({"trainer": self.name, "base": base_digest(self.base, self.base_seed), **body})

    def frozen(self) -> CausalLM:
        """The base."""
        return base_of(self.base, self.base_seed, self.on_long)

    def start(self, *, seed: int) -> LanguageState:
        """No group trained yet."""
        return LanguageState()

    def trained(self, model: LanguageState) -> int:
        """How many groups, from the top, a model has."""
        stack = groups_of_layers(len(self.frozen().facts.decoder_layers(self.frozen().model)), self.groups)
        held = {int(part) for name in model.weights for part in name.split(".") if part.isdigit()}
        return sum(bool(held & set(own)) for own in stack)

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
        """The model with the next group trained; the given one stays valid.

        Args:
            model: after the slice before.
            rows: of this slice and of those before it.
            epochs: passes over them.
            seed: of the whole run.
            names: of shard and slice.
            workdir: where an interrupted call is taken up again.

        Raises:
            ConfigError: all groups are trained.
        """
        base = self.frozen()
        stack, done = groups_of_layers(len(base.facts.decoder_layers(base.model)), self.groups), self.trained(model)
        if done == self.groups:
            raise ConfigError(f"all {done} groups of layers are trained", why="each slice trains one")
        settings = dict(self.adapter.settings) | {LAYERS: stack[done]}
        adapter = replace(self.adapter, settings=tuple(sorted(settings.items())))
        more: dict[str, Any] = {"epochs": epochs, "seed": seed, "names": names, "workdir": workdir}
        new = go_on(self.joined([model]), LanguageState(), rows, self.training, adapter=adapter, **more)
        return LanguageState(model.weights | new.weights, {}, model.steps + new.steps, model.tokens + new.tokens)

    def save(self, model: LanguageState, folder: Path) -> None:
        """Write the groups."""
        save_state(model, folder)

    def load(self, folder: Path) -> LanguageState:
        """What ``save`` wrote."""
        return load_state(folder)

    def joined(self, models: Sequence[LanguageState], *, combine: Combine = "mean") -> CausalLM:
        """The base with the groups of several parts in its weights, summed exactly.

        Args:
            models: in the order of the parts' numbers; those without a group add nothing and do not count.
            combine: whether products are summed or averaged.
        """
        trained = [model.weights for model in models if model.weights]
        return merged(self.frozen(), trained, self.adapter, combine=combine)

    def outputs(self, model: LanguageState, inputs: Examples) -> Any:
        """Probability a token of each answer, (n, 1)."""
        return answer_likelihood(self.joined([model]), inputs)


layered_adapter = LayeredAdapterTrainer
