"""Ranks of RMIA. Source: Zarifzadeh et al. 2024 (2312.03262), equations 2 and 5; offline, as their code computes it."""

from __future__ import annotations

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.metrics._told_apart import OUTSIDE, ROLES, Scored


def ranks(seen: Scored, out: Scored, weights: Scored, *, a: float, gamma: float) -> Scored:
    """Which share of a population each record's likelihood ratio exceeds.

    ratio_x = p(x) / ((1 + a) / 2 out(x) + (1 - a) / 2),  score_x = share of z with ratio_x / ratio_z > gamma

    The population z are the never-seen records; one of them never exceeds itself.

    Args:
        seen: (B,) probability, by role. of the judged model.
        out: (B,) probability, by role. mean over models that were not trained on the record.
        weights: (D, B) count, by role. of each draw.
        a: in [0, 1]. how far models trained with a record are taken to lie above those without: 1 for not at all.
        gamma: at least 1. by what factor a ratio must exceed another.

    Returns:
        (D, B) shares, by role.

    Raises:
        EvidenceError: a or gamma is out of its range.

    >>> seen = {"forget": np.array([0.9]), "holdout": np.array([0.2, 0.5])}
    >>> out = {"forget": np.array([0.5]), "holdout": np.array([0.25, 0.25])}
    >>> ones = {"forget": np.ones((1, 1)), "holdout": np.ones((1, 2))}
    >>> found = ranks(seen, out, ones, a=0.4, gamma=1.5)  # 0.9 / 0.65 = 1.38 against 0.2 / 0.475 and 0.5 / 0.475 = 1.05
    >>> found["forget"].tolist(), found["holdout"].tolist()
    ([[0.5]], [[0.0, 0.5]])
    """
    if not (0 <= a <= 1 and gamma >= 1):
        raise EvidenceError("RMIA needs a in [0, 1] and gamma of at least 1", why=f"a is {a:g}, gamma {gamma:g}")
    ratio = {role: seen[role] / ((1 + a) / 2 * out[role] + (1 - a) / 2) for role in ROLES}
    order = np.argsort(ratio[OUTSIDE], kind="stable")
    sums = np.pad(weights[OUTSIDE][:, order].cumsum(1), ((0, 0), (1, 0)))
    below = {role: np.searchsorted(gamma * ratio[OUTSIDE][order], ratio[role], side="left") for role in ROLES}
    return {role: sums[:, below[role]] / sums[:, -1:] for role in ROLES}
