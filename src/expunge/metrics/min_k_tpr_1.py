"""Hits of Min-K% at 1 % false alarms. Source: Carlini et al. 2022 (2112.03570), section III-B; of Min-K%."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._told_apart import ROLES, draws_of, hits, in_each_draw, of_model, shaped

NAME, ALARMS = "min_k", 0.01


@statistic(
    *(("model", role, NAME) for role in ROLES),
    better="reference",
    question="Which share of the forgotten records can Min-K% name with hardly a false alarm?",
    retrained="near 0.01, above it for the better side counts; with C < 100 never-seen records about 1 / C",
)
def min_k_tpr_1(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """Share of forgotten records that Min-K% finds while at most 1 % of never-seen records raise an alarm.

    T = max over both tails of P(s_forget beyond t),  t = the least extreme value with P(s_holdout beyond t) <= 0.01

    An AUC may be near 0.5 where a few records are given away beyond doubt; this is what sees them. With C below
    100 never-seen records none of them may raise an alarm, and a retrained model gets about 1 / (C + 1) from either
    side.

    Args:
        scores: (B,) nats. Min-K% of the model on forget and on holdout.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share.

    >>> model = {("model", "forget", NAME): [-0.5, -1.0, -2.0, -4.5], ("model", "holdout", NAME): [-1.5, -3.0, -4.0]}
    >>> float(min_k_tpr_1(model))  # above -1.5: 2 of 4; below -4: 1 of 4
    0.5
    """
    drawn = draws_of(weights, scores, NAME)
    return shaped(in_each_draw(partial(hits, alarms=ALARMS), of_model(scores, NAME), drawn), weights)
