"""Retraining without the forget set: what every other method is measured against. Source: by definition."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.counting import Counted, counting
from expunge.core.errors import ConfigError
from expunge.core.evidence import Replay
from expunge.core.example import Examples
from expunge.core.guarantee import Exact, Guarantee
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance import Plain
from expunge.core.provenance_check import require_kind, require_whole
from expunge.core.registry import alternatives
from expunge.core.request import Wish
from expunge.core.selection import Selection
from expunge.core.wishes import meaning
from expunge.methods.exact._kept import salt_of, salted


@dataclass(frozen=True)
class Retrain:
    """Train again by the same recipe on what may be kept.

    Args:
        recipe: how the target was trained; offers ``kind``, ``train(store, seed=, ...)`` and ``digest()``.
        name: public name.
        version: raised when the method changes.
        alternative: where the answers come from that are learned in the place of the forgotten ones: name in the
            registry of alternatives, empty for none.
        data: a store of the rows that the records of a selection stand for; None where they are texts themselves.
            No part of the digest.
    """

    recipe: Any = None
    name: str = "retrain"
    version: str = "1"
    alternative: str = ""
    data: Any = None

    needs = Plain

    def with_recipe(self, recipe: Any, data: Any = None) -> Retrain:
        """The same method for targets made by a recipe, of rows of a table where one is given."""
        return replace(self, recipe=recipe, data=data)

    def answering(self, wish: Wish) -> Retrain:
        """The same method for a wish: the answers that are wished for are learned like what is kept."""
        return replace(self, alternative=meaning(wish).alternative)

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim."""
        return Exact("distribution")

    def digest(self) -> str:
        """Digest of the method and the recipe."""
        recipe = None if self.recipe is None else self.recipe.digest()
        body = {"name": self.name, "version": self.version, "recipe": recipe}
        return digest({**body, "alternative": self.alternative} if self.alternative else body)

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return a target that never saw the forget set.

        Args:
            target: the original, for its digest.
            selection: everything that may be learned is its retain role.
            seed: of the new training.
            workdir: where checkpoints go.

        Raises:
            ConfigError: the recipe is not known.
            ClaimError: the recipe makes targets of another kind, or retain is a sample.
        """
        self.check(target, selection, seed=seed)
        self._start_counting()
        started = time.perf_counter()
        store = self._store(target, selection, seed)
        with counting() as counted:
            fresh = self.recipe.train(store, seed=seed, stage="retraining", workdir=workdir)
        before, after = target.digest(), fresh.digest()
        return Outcome(
            target=fresh,
            before=before,
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=self.claim,
            selection=selection,
            original=target,
            seed=seed,
            cost=self._cost(target, fresh, counted, time.perf_counter() - started),
            replay=Replay(before=before, after=after, data=salted(store.digest(), salt_of(fresh))),
        )

    def _store(self, target: Any, selection: Selection, seed: int) -> Any:
        """What is trained on."""
        from expunge.data.memory import MemoryStore

        if self.data is not None:
            return self.data.rows(selection.retain.ids)
        return MemoryStore(selection.retain + self._wished(target, selection, seed))

    def _start_counting(self) -> None:
        if self.recipe.kind == "causal_lm":
            from expunge.engine.spent import start_counting

            start_counting()

    def _cost(self, target: Any, fresh: Any, counted: Counted, seconds: float) -> Cost:
        """Of a kind that the engine does not train, the seconds."""
        if self.recipe.kind != "causal_lm":
            return Cost(max(counted.seconds, seconds))
        from expunge.engine.spent import cost_of_training

        return cost_of_training(target, fresh, counted, seconds=seconds)

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise before it trains.

        Raises:
            ConfigError: the recipe is not known.
            ClaimError: the recipe makes targets of another kind, or retain is a sample.
        """
        if self.recipe is None:
            raise ConfigError(
                "retrain needs the recipe of the target",
                next="Use retrain.with_recipe(recipe), or give a model of expunge train, which knows its own",
            )
        require_kind(self.name, (self.recipe.kind,), target)
        require_whole(self.name, "retain", selection)

    def _wished(self, target: Any, selection: Selection, seed: int) -> Examples:
        """The forgotten records, with the answers that are wished for in the place of their own."""
        if not self.alternative:
            return Examples()
        other = alternatives.get(self.alternative)(target, selection.forget, retain=selection.retain, seed=seed)
        return Examples(replace(e, answer=e.alternative_answer) for e in other)


retrain = Retrain()
