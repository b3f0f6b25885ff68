"""Hits of U-LiRA at 0.1 % false alarms. Source: Hayes et al. 2024 (2403.01218), section 4.2, with the rates of LiRA."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._shadow_fits import keys_of, log_ratios
from expunge.metrics._told_apart import hits, in_each_draw, shaped

PART, NAME, ALARMS = "unlearned_shadows", "logit_confidence", 0.001


@statistic(
    *keys_of(PART, NAME),
    better="reference",
    question="Which share of the forgotten records can an attacker who has the method name with hardly a false alarm?",
    retrained="near 0.001, above it for the better side counts; with C < 1000 never-seen records about 1 / C",
)
def u_lira_tpr_01(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """Share of forgotten records that U-LiRA finds while at most 0.1 % of never-seen records raise an alarm.

    T = max over both tails of P(r_forget beyond t),  t = the least extreme value with P(r_holdout beyond t) <= 0.001

    r is the likelihood ratio of ``u_lira``. With C below 1000 never-seen records none of them may raise an alarm, and a
    retrained model gets about 1 / (C + 1) from either side.

    Args:
        scores: (B,) nats. logit-scaled confidence of the model on forget and on holdout; (M, B) those of the unlearned
            shadow models, and 1 where a shadow model was trained on the record.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share.

    Raises:
        EvidenceError: fewer than two shadow models have, or lack, a record.

    >>> roles, one = ("forget", "holdout"), [[2.0, 2.0], [4.0, 4.0], [0.0, 0.0], [2.0, 2.0]]
    >>> shadows = {(PART, role, NAME): one for role in roles}
    >>> member = {(PART, role, "member"): [[1.0] * 2] * 2 + [[0.0] * 2] * 2 for role in roles}
    >>> model = {("model", "forget", NAME): [3.5, 1.5], ("model", "holdout", NAME): [3.0, 1.0]}
    >>> float(u_lira_tpr_01(model | shadows | member))  # means 3 and 1: r grows with c, and 3.5 is above 3
    0.5
    """
    ratios, drawn = log_ratios(scores, weights, PART, NAME)
    return shaped(in_each_draw(partial(hits, alarms=ALARMS), ratios, drawn), weights)
