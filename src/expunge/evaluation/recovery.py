"""How much comes back, and how soon, in one number a curve. Source: Fan et al. 2025 (2502.05374)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from expunge.core.errors import EvidenceError
from expunge.evaluation.report_data import budgets

Curve = Sequence[tuple[float, float]]
"""Steps of an attack and the mean outcome after them, ascending by steps."""


def curve_of(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """The recovery curve of an attack's rows: the mean over items of every column ``after_N``.

    >>> curve_of([{"after_0": 0.25, "after_10": 0.5}, {"after_0": 0.75, "after_10": 1.0}])
    [(0, 0.5), (10, 0.75)]
    """
    looks = budgets(list(rows[0])) if rows else []
    return [(steps, sum(float(row[f"after_{steps}"]) for row in rows) / len(rows)) for steps in looks]


def area(curve: Curve) -> float:
    """Mean height of a curve over its steps, by trapezoids, in the unit of the outcome.

    sum_i (s_{i+1} - s_i) (f_i + f_{i+1}) / 2,  over the whole length of the steps

    Args:
        curve: (steps, mean outcome), ascending.

    Returns:
        The height; of a single point, its own.

    Raises:
        EvidenceError: the curve is empty, or its steps do not ascend.

    >>> area([(0, 0.1), (2, 0.5), (10, 0.7)])  # (2 * 0.3 + 8 * 0.6) / 10
    0.54
    """
    pairs = list(itertools.pairwise(curve))
    if not curve or any(later[0] <= earlier[0] for earlier, later in pairs):
        raise EvidenceError("this is no recovery curve", why="it is empty, or its steps do not ascend")
    if not pairs:
        return curve[0][1]
    whole = sum((later[0] - earlier[0]) * (earlier[1] + later[1]) / 2 for earlier, later in pairs)
    return whole / (curve[-1][0] - curve[0][0])


def recovered_area(curve: Curve, *, never_knew: Curve, original: Curve) -> float | None:
    """Area under the recovery curve, from that of a model that never knew (0) to that of the original (1).

    (A(model) - A(never knew)) / (A(original) - A(never knew))

    Good: near 0. A retrained model gets about 0, of either sign.

    Args:
        curve: of the model that is judged.
        never_knew: of the same attack on the retrained model.
        original: of the same attack on the model before unlearning.

    Returns:
        A share; None where the attack does not tell the original from a model that never knew.

    Raises:
        EvidenceError: the curves have other steps.

    >>> flat, known = [(0, 0.1), (10, 0.1)], [(0, 0.9), (10, 0.9)]
    >>> recovered_area([(0, 0.1), (10, 0.5)], never_knew=flat, original=known)  # (0.3 - 0.1) / (0.9 - 0.1)
    0.25
    """
    _same_steps(curve, never_knew, original)
    low, high = area(never_knew), area(original)
    return (area(curve) - low) / (high - low) if high > low else None


def steps_to(share: float, curve: Curve, *, never_knew: Curve, original: Curve) -> float | None:
    """Steps after which an attack has a share of what it finds in the original beyond a model that never knew.

    The first s with (f(s) - c(s)) / (o(s) - c(s)) >= share, between looks on a straight line.

    Good: None, or the whole budget. A retrained model never gets there.

    Args:
        share: of the way from c (never knew) to o (original), for instance 0.5 and 0.9.
        curve: f, of the model that is judged.
        never_knew: c, of the same attack on the retrained model.
        original: o, of the same attack on the model before unlearning.

    Returns:
        Steps; None where the share is not reached within the budget, or where no look tells o from c.

    Raises:
        EvidenceError: the curves have other steps.

    >>> flat, known = [(0, 0.1), (10, 0.1)], [(0, 0.9), (10, 0.9)]
    >>> steps_to(0.25, [(0, 0.1), (10, 0.5)], never_knew=flat, original=known)  # half-way to (0.5 - 0.1) / 0.8
    5.0
    """
    _same_steps(curve, never_knew, original)
    ends = zip(curve, never_knew, original, strict=True)
    shares = [(steps, (f - c) / (o - c)) for (steps, f), (_, c), (_, o) in ends if o > c]
    before: tuple[float, float] | None = None
    for steps, reached in shares:
        if reached >= share:
            if before is None:
                return float(steps)
            return before[0] + (steps - before[0]) * (share - before[1]) / (reached - before[1])
        before = (steps, reached)
    return None


def _same_steps(*curves: Curve) -> None:
    if len({tuple(steps for steps, _ in curve) for curve in curves}) > 1:
        raise EvidenceError("recovery curves can only be compared at the same steps", why="these have others")
