"""Statistics on a cast of models: who plays the model, the reference, the second reference and the original."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.core.evidence import Estimate
from expunge.core.measure import MEMBER, Key, Statistic
from expunge.evaluation.bootstrap import NO_BOUNDS, estimate
from expunge.evaluation.per_item import PerItem, Unmeasured

Function = Callable[..., Any]


@dataclass(frozen=True)
class Cast:
    """The scores of one row and how its intervals are drawn.

    Args:
        items: scores of all models.
        names: ``model``, ``reference``, ``second`` and ``original`` -> the name that the tables know it by; shadow
            models are known by the name of their part.
        level: of the intervals.
        draws: number of resamples.
        seed: of the resampling.
    """

    items: PerItem
    names: Mapping[str, str]
    level: float
    draws: int
    seed: int

    def scores(self, keys: Iterable[Key]) -> tuple[dict[Key, np.ndarray], dict[str, list[str]]]:
        """The values of the keys and the subjects by role, less the items to which some score does not apply.

        Raises:
            Unmeasured: a score cannot be had, applies to no item, or is not a number for the judged model alone.
        """
        keys = list(keys)
        kept = self.applicable(keys)
        found: dict[Key, np.ndarray] = {}
        for model, role, name in keys:
            who = self.names.get(model, model)
            values = self.items.values(who, role, name)[:, kept[role]]
            if not values.size:
                raise Unmeasured(f"no record of {role} has a {name}")
            if np.isnan(values).any():
                raise Unmeasured(f"{who} gives a {name} that is not a number")
            found[model, role, name] = values
        return found, {role: list(np.asarray(self.items.subjects(role))[keep]) for role, keep in kept.items()}

    def applicable(self, keys: Iterable[Key]) -> dict[str, np.ndarray]:
        """Role -> which of its items (B,) have a value for all scores that the keys name of it.

        Raises:
            Unmeasured: a score cannot be had.
        """
        kept: dict[str, np.ndarray] = {}
        for _, role, name in keys:
            if name == MEMBER:
                continue
            applies = self._applies(role, name)
            kept[role] = kept[role] & applies if role in kept else applies
        return kept

    def _applies(self, role: str, name: str) -> np.ndarray:
        """Where a score has a value for every model but the judged one, whose own gaps may be a defect."""
        applies = np.ones(len(self.items.subjects(role)), dtype=bool)
        measured = False
        for part, model in self.names.items():
            if part == "model":
                continue
            try:
                applies &= ~np.isnan(self.items.values(model, role, name)).any(axis=0)
                measured = True
            except Unmeasured:
                continue
        if measured:
            return applies
        return np.asarray(~np.isnan(self.items.values(self.names["model"], role, name)).any(axis=0))

    def estimate(self, function: Function, keys: Iterable[Key], bounds: tuple[float, float] = NO_BOUNDS) -> Estimate:
        """A function of scores with its interval.

        Raises:
            Unmeasured: a score cannot be had.
        """
        scores, groups = self.scores(keys)
        settings = {"draws": self.draws, "level": self.level, "seed": self.seed}
        return estimate(function, scores, groups, bounds=bounds, **settings)


def distance(statistic: Statistic, who: str) -> tuple[Function, list[Key]]:
    """What is left from a statistic of one model to the value that it aims at, and the keys that it reads.

    >>> from expunge.metrics.answered import answered
    >>> function, keys = distance(answered, "original")
    >>> float(function({("original", "forget", "refused"): [0.0, 0.0, 1.0, 0.0]}))
    0.75
    """
    names = {(who if m == "model" else m, role, name): (m, role, name) for m, role, name in statistic.needs}

    def left(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        given = [{names[key]: data[key] for key in names} for data in (scores, weights) if data is not None]
        function: Function = statistic.function
        return function(*given) - (statistic.target or 0.0)

    return left, list(names)


def contrast(statistic: Statistic, left: Mapping[str, str], right: Mapping[str, str]) -> tuple[Function, list[Key]]:
    """The difference of a statistic between two castings, and the keys that it reads.

    Args:
        statistic: of ``model`` and others.
        left: who plays whom in the minuend; a part that is not named plays itself.
        right: the same in the subtrahend.

    Returns:
        A function of scores, which takes weights if the statistic does.

    >>> from expunge.evaluation.attacking import mean_outcome
    >>> difference, keys = contrast(mean_outcome("relearning"), {}, {"model": "reference"})
    >>> scores = {("model", "relearning", "outcome"): [0.5, 0.7], ("reference", "relearning", "outcome"): [0.2]}
    >>> round(float(difference(scores)), 3), len(keys)
    (0.4, 2)
    """

    def play(data: Mapping[Key, Any], parts: Mapping[str, str]) -> dict[Key, Any]:
        return {(m, role, name): data[parts.get(m, m), role, name] for m, role, name in statistic.needs}

    def plain(scores: Mapping[Key, Any]) -> Any:
        return statistic.function(play(scores, left)) - statistic.function(play(scores, right))

    def weighted(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        if weights is None:
            return plain(scores)
        function: Function = statistic.function
        return function(play(scores, left), play(weights, left)) - function(play(scores, right), play(weights, right))

    keys = [(parts.get(m, m), role, name) for parts in (left, right) for m, role, name in statistic.needs]
    at_once = "weights" in inspect.signature(statistic.function).parameters
    return (weighted if at_once else plain), list(dict.fromkeys(keys))
