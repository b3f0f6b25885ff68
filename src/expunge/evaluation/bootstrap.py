"""Intervals by resampling whole subjects, and seeds where there are several.

All questions about one subject move together, because their errors do. The same resampled subjects serve every model
of a role, so that differences between models are paired; roles are resampled independently of one another. With S
seeds a statistic is evaluated at each seed and averaged; a draw resamples the seeds as well.

A function that takes ``weights`` beside ``scores`` is evaluated on all draws at once; any other is called once a draw.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.core.evidence import Estimate
from expunge.core.measure import SHADOWS, Key, Statistic
from expunge.core.seeds import derive

BLOCK = 4_000_000
NO_BOUNDS = (-math.inf, math.inf)


def fewest_groups(level: float) -> int:
    """How many subjects a two-sided interval of that level takes at least.

    The range of G independent values covers their median with probability 1 - 2^(1-G). No resampling of G subjects can
    do better, so below this number there is no interval to be had.

    >>> fewest_groups(0.9)  # 1 - 2^-4 = 0.9375, 1 - 2^-3 = 0.875
    5
    """
    return max(2, math.ceil(1 - math.log2(1 - level)))


@dataclass(frozen=True)
class _Data:
    """Checked input: arrays (S, n) by key, and for each role the number of the subject that each item belongs to.

    What ``SHADOWS`` play is (M, n) and serves every seed as a whole.
    """

    arrays: dict[Key, np.ndarray]
    members: dict[str, np.ndarray]
    seeds: int

    def at(self, seed: int) -> dict[Key, np.ndarray]:
        return {
            key: array if key[0] in SHADOWS else array[min(seed, len(array) - 1)] for key, array in self.arrays.items()
        }

    def groups(self) -> list[int]:
        return [int(member.max()) + 1 for member in self.members.values()]

    @property
    def items(self) -> int:
        return sum(len(member) for member in self.members.values())


def _checked(scores: Mapping[Key, Any], groups: Mapping[str, Sequence[str]]) -> _Data:
    if not scores:
        raise EvidenceError("there are no scores to resample")
    arrays = {key: np.atleast_2d(np.asarray(values, dtype=np.float64)) for key, values in scores.items()}
    members: dict[str, np.ndarray] = {}
    for (model, role, name), array in arrays.items():
        if role not in groups:
            raise EvidenceError(f"no subjects are given for the role {role}")
        if array.ndim != 2 or array.shape[1] != len(groups[role]) or not array.size:
            why = f"{len(groups[role])} subjects for scores of shape {array.shape}"
            raise EvidenceError(f"{name} of {model} on {role} does not fit the subjects", why=why)
        if np.isnan(array).any():
            raise EvidenceError(f"{name} of {model} on {role} is not a number", next="Leave out items without a value")
        members[role] = np.unique(np.asarray(groups[role], dtype=str), return_inverse=True)[1]
    counts = {len(array) for key, array in arrays.items() if key[0] not in SHADOWS} - {1}
    if len(counts) > 1:
        raise EvidenceError("scores differ in their number of seeds", why=f"found {sorted(counts)}")
    return _Data(arrays, members, counts.pop() if counts else 1)


def _one_by_one(function: Callable[..., Any], scores: dict[Key, np.ndarray], weights: dict[str, np.ndarray]) -> Any:
    def drawn(draw: int) -> dict[Key, np.ndarray]:
        return {key: np.repeat(values, weights[key[1]][draw].astype(int), axis=-1) for key, values in scores.items()}

    count = len(next(iter(weights.values())))
    return np.array([float(function(drawn(draw))) for draw in range(count)])


def _evaluate(
    function: Callable[..., Any], at_once: bool, scores: dict[Key, np.ndarray], weights: dict[str, np.ndarray]
) -> Any:
    if not at_once:
        return _one_by_one(function, scores, weights)
    return function(scores, {key: weights[key[1]] for key in scores})


def _resampled(function: Callable[..., Any], data: _Data, draws: int, seed: int) -> np.ndarray:
    """The statistic on each draw, (draws,)."""
    at_once = "weights" in inspect.signature(function).parameters

    def counts(size: int, what: str) -> np.ndarray:
        generator = np.random.default_rng(derive(seed, "bootstrap", what))
        return generator.multinomial(size, np.full(size, 1.0 / size), size=draws).astype(np.float64)

    drawn = {role: counts(int(member.max()) + 1, f"role {role}") for role, member in data.members.items()}
    share_DS = counts(data.seeds, "seeds") / data.seeds
    block = max(1, BLOCK // data.items)
    results = np.zeros(draws)
    for start in range(0, draws, block):
        part = slice(start, start + block)
        weights = {role: drawn[role][part][:, member] for role, member in data.members.items()}
        for s in range(data.seeds):
            results[part] += share_DS[part, s] * _evaluate(function, at_once, data.at(s), weights)
    return results


def estimate(
    function: Statistic | Callable[..., Any],
    scores: Mapping[Key, Any],
    groups: Mapping[str, Sequence[str]],
    *,
    draws: int = 2000,
    level: float = 0.9,
    seed: int,
    bounds: tuple[float, float] = NO_BOUNDS,
) -> Estimate:
    """A statistic with its percentile interval.

    Args:
        function: maps scores to a number, and with ``weights`` to one number a draw.
        scores: (items,) or (seeds, items) by (model, role, score). Arrays of one row serve every seed; those of
            ``SHADOWS`` are (models, items), a fixed part of the attack, and the models are not resampled.
        groups: the subject of each item, by role.
        draws: number of resamples.
        level: of the two-sided interval.
        seed: of the resampling. The same seed draws the same subjects for every statistic.
        bounds: what the statistic can be at all.

    Returns:
        The value on the data as it is and the interval, widened to hold the value. Where a role has fewer subjects
        than ``fewest_groups(level)``, or a resample has no value, there is no power: the interval is ``bounds``, and
        judging calls it inconclusive.
        ``n`` and ``groups`` are sums over the roles.

    Raises:
        EvidenceError: scores that are missing, not numbers or do not fit the subjects.

    >>> key = ("model", "forget", "probability")
    >>> scores = {key: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    >>> found = estimate(lambda s: s[key].mean(), scores, {"forget": list("aabcde")}, seed=7)
    >>> round(found.value, 2), found.n, found.groups, 0.2 < found.low < 0.3 < 0.4 < found.high < 0.55
    (0.35, 6, 5, True)
    """
    data = _checked(scores, groups)
    function = function.function if isinstance(function, Statistic) else function
    value = float(np.mean([float(function(data.at(s))) for s in range(data.seeds)]))
    facts = {"level": level, "n": data.items, "groups": sum(data.groups()), "seeds": data.seeds}
    if min(data.groups()) < fewest_groups(level):
        return Estimate(value, *bounds, **facts)
    tail = (1 - level) / 2
    drawn = _resampled(function, data, draws, seed)
    if np.isnan(drawn).any():
        return Estimate(value, *bounds, **facts)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value, min(float(low), value), max(float(high), value), **facts)


def resampled(
    function: Callable[..., Any],
    scores: Mapping[Key, Any],
    groups: Mapping[str, Sequence[str]],
    *,
    draws: int,
    level: float,
    seed: int,
) -> np.ndarray | None:
    """The statistic on each of the draws behind ``estimate``'s interval, (draws,); None where subjects are too few."""
    data = _checked(scores, groups)
    return _resampled(function, data, draws, seed) if min(data.groups()) >= fewest_groups(level) else None
