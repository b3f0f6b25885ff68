"""How well an attack's scores tell forgotten records from never-seen ones: AUC, and hits at few false alarms.

Scores may be one a record, or one a record and resample where the attack is fitted to the resampled records. Source:
Mann and Whitney 1947 for the AUC; Carlini et al. 2022 (2112.03570), section III-B for the rates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.core.measure import Key

Scored = dict[str, np.ndarray]
INSIDE, OUTSIDE = "forget", "holdout"
ROLES = (INSIDE, OUTSIDE)


def of_model(scores: Mapping[Key, Any], name: str, who: str = "model") -> Scored:
    """A score of a model on both roles, (B,), or of several models, (M, B)."""
    return {role: np.asarray(scores[who, role, name], dtype=np.float64) for role in ROLES}


def draws_of(weights: Mapping[Key, Any] | None, scores: Mapping[Key, Any], name: str) -> Scored:
    """How often each draw took each record, (D, B) by role; one row of ones if nothing is resampled."""
    if weights is None:
        return {role: np.ones((1, len(scores["model", role, name]))) for role in ROLES}
    return {role: np.asarray(weights["model", role, name], dtype=np.float64) for role in ROLES}


def shaped(values_D: np.ndarray, weights: Mapping[Key, Any] | None) -> Any:
    """One number where nothing was resampled, else one a draw."""
    return values_D[0] if weights is None else values_D


def in_each_draw(reduce: Callable[..., Any], scores: Scored, weights: Scored) -> np.ndarray:
    """A number of two groups' scores, once a draw.

    Args:
        reduce: of scores and weights of forgotten records, then of never-seen ones.
        scores: (B,) or (D, B) by role. higher: more likely a member.
        weights: (D, B) by role. how often each draw took each record.

    Returns:
        (D,) numbers.

    Raises:
        EvidenceError: a score is not a number; ranked, it would pass for one that is never found.

    >>> def gap(high, low, wh, wl): return wh @ high - wl @ low
    >>> pair = {INSIDE: np.array([4.0, 1.0]), OUTSIDE: np.array([2.0])}
    >>> in_each_draw(gap, pair, {INSIDE: np.array([[1, 1], [0, 2]]), OUTSIDE: np.array([[1], [3]])}).tolist()
    [3.0, -4.0]
    """
    high, low = (scores[role] for role in ROLES)
    if np.isnan(high).any() or np.isnan(low).any():
        raise EvidenceError("records cannot be told apart", why="a score is not a number")
    if high.ndim == low.ndim == 1:
        return np.atleast_1d(reduce(high, low, weights[INSIDE], weights[OUTSIDE]))
    rows = zip(high, low, weights[INSIDE], weights[OUTSIDE], strict=True)
    return np.array([float(reduce(*row)) for row in rows])


def hits(high: np.ndarray, low: np.ndarray, weights_high: np.ndarray, weights_low: np.ndarray, *, alarms: float) -> Any:
    """Share of forgotten records that are found while at most a share of never-seen ones raises a false alarm.

    The attacker looks from the side that shows him more: records that stand out as too likely, or as too unlikely.
    With fewer than 1 / alarms never-seen records none of them may raise an alarm.

    Args:
        high: (B,) scores of forgotten records.
        low: (C,) scores of never-seen records.
        weights_high: (B,) or (D, B) count. of each forgotten record.
        weights_low: (C,) or (D, C) count. of each never-seen record.
        alarms: share below 1. of never-seen records that may be taken for forgotten ones.

    Returns:
        () or (D,) share.

    >>> high, low = np.array([9.0, 5.0, 2.5, 0.5]), np.array([6.0, 4.0, 3.0, 2.0, 1.0])
    >>> float(hits(high, low, np.ones(4), np.ones(5), alarms=0.2))  # above 4: 9 and 5
    0.5
    >>> float(hits(-high, -low, np.ones(4), np.ones(5), alarms=0.2))
    0.5
    """
    given = (weights_high, weights_low)
    return np.maximum(_above(high, low, *given, alarms=alarms), _above(-high, -low, *given, alarms=alarms))


def _above(
    high: np.ndarray, low: np.ndarray, weights_high: np.ndarray, weights_low: np.ndarray, *, alarms: float
) -> Any:
    order = np.argsort(low)[::-1]
    ordered, sums = low[order], weights_low[..., order].cumsum(-1)
    # Only above the last value whose alarms, those of all equal values among them, are still few enough.
    allowed = alarms * sums[..., -1:] * (1 + 1e-12)
    first_too_many = (sums <= allowed).sum(-1)
    threshold = np.expand_dims(ordered[first_too_many], -1)
    return (weights_high * (high > threshold)).sum(-1) / weights_high.sum(-1)
