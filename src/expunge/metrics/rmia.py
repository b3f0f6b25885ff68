"""RMIA against a reference. Source: Zarifzadeh et al. 2024 (2312.03262), section 3, with one model that never knew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import rank_auc
from expunge.metrics._rmia import ranks
from expunge.metrics._told_apart import ROLES, draws_of, in_each_draw, of_model, shaped

NAME = "probability"
KEYS: tuple[Key, ...] = tuple((who, role, NAME) for role in ROLES for who in ("model", "reference"))


@statistic(
    *KEYS,
    better="reference",
    two_tailed=True,
    question="Is a forgotten record likelier under the model than under one that never knew, by more than others are?",
    retrained="near 0.5",
)
def rmia(
    scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None, *, a: float = 0.3, gamma: float = 1.0
) -> Any:
    """How well likelihood ratios, ranked among those of never-seen records, tell forgotten from never-seen records.

    A = P(s_forget > s_holdout) + P(s_forget = s_holdout) / 2,  s_x = share of z with ratio_x / ratio_z > gamma,
    ratio_x = p(x) / ((1 + a) / 2 p_reference(x) + (1 - a) / 2),  z = the never-seen records

    Far from 0.5 on either side is a leak. ``rmia_shadows`` takes the mean over shadow models for p_reference.

    Args:
        scores: (B,) probability. per token, of the model and of the reference, on forget and on holdout.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.
        a: in [0, 1]. how far models trained with a record are taken to lie above those without: 1 for not at all.
        gamma: at least 1. by what factor a ratio must exceed another.

    Returns:
        () or (D,) probability.

    Raises:
        EvidenceError: a or gamma is out of its range.

    >>> model = {("model", "forget", NAME): [0.9, 0.2], ("model", "holdout", NAME): [0.3, 0.5, 0.1]}
    >>> never = {("reference", "forget", NAME): [0.5, 0.2], ("reference", "holdout", NAME): [0.4, 0.3, 0.1]}
    >>> round(float(rmia(model | never)), 4)  # ratios 1.33, 0.42 against 0.49, 0.92, 0.24: ranks 3, 1 against 1, 2, 0
    0.75
    """
    drawn = draws_of(weights, scores, NAME)
    found = ranks(of_model(scores, NAME), of_model(scores, NAME, "reference"), drawn, a=a, gamma=gamma)
    return shaped(in_each_draw(rank_auc, found, drawn), weights)
