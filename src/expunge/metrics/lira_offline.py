"""LiRA, offline. Source: Carlini et al. 2022 (2112.03570), section IV-C, equation 4; one variance below 64 models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import rank_auc
from expunge.metrics._shadow_fits import by_record, keys_of
from expunge.metrics._told_apart import ROLES, draws_of, in_each_draw, of_model, shaped

PART, NAME = "shadows", "logit_confidence"


@statistic(
    *keys_of(PART, NAME),
    better="reference",
    two_tailed=True,
    question="Does the model stand out, on a forgotten record, from models that were never trained on it?",
    retrained="near 0.5, or where the two kinds of record differ by themselves",
)
def lira_offline(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How well the distance to shadow models without a record tells forgotten records from never-seen ones.

    A = P(z_forget > z_holdout) + P(z_forget = z_holdout) / 2,  z = (c - mu_out) / s_out

    The paper's score is 1 - P(N(mu_out, s_out) > c) = Phi(z); z ranks the same and does not saturate. Near 1: known.
    Near 0: made less likely than records are that no model saw, which tells as much.

    Args:
        scores: (B,) nats. logit-scaled confidence of the model on forget and on holdout; (M, B) those of the shadow
            models, and 1 where a shadow model was trained on the record.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) probability.

    Raises:
        EvidenceError: fewer than two shadow models have, or lack, a record.

    >>> roles, one = ("forget", "holdout"), [[9.0, 9.0], [9.0, 9.0], [-1.0, 4.0], [1.0, 6.0]]
    >>> shadows = {(PART, role, NAME): one for role in roles}
    >>> member = {(PART, role, "member"): [[1.0] * 2] * 2 + [[0.0] * 2] * 2 for role in roles}
    >>> model = {("model", "forget", NAME): [2.0, 7.5], ("model", "holdout", NAME): [1.0, 8.0]}
    >>> float(lira_offline(model | shadows | member))  # c - mu_out is 2 and 2.5 against 1 and 3: 2 of 4
    0.5
    """
    drawn, values = draws_of(weights, scores, NAME), of_model(scores, NAME)
    _, outside = by_record(scores, drawn, PART, NAME)
    distances = {role: outside[role].standard(values[role]) for role in ROLES}
    return shaped(in_each_draw(rank_auc, distances, drawn), weights)
