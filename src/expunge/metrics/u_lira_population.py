"""U-LiRA with one attacker for all records. Source: Hayes et al. 2024 (2403.01218), section 4.1, population attacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import rank_auc
from expunge.metrics._shadow_fits import keys_of, log_ratios
from expunge.metrics._told_apart import in_each_draw, shaped

PART, NAME = "unlearned_shadows", "logit_confidence"


@statistic(
    *keys_of(PART, NAME),
    better="reference",
    two_tailed=True,
    question="As u_lira, by one attacker for all records, who sees less: how well does that one tell them apart?",
    retrained="near 0.5, or where the two kinds of record differ by themselves",
)
def u_lira_population(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How well one attacker, fitted to all records together, tells forgotten from never-seen records.

    A = P(r_forget > r_holdout) + P(r_forget = r_holdout) / 2,
    r = ln N(c; mu_u, s_u) - ln N(c; mu_r, s_r),  c = logit-scaled confidence

    As ``u_lira``, but mu and s are those of all records together. It overestimates forgetting, for a record that is
    easy unseen and one that is hard but known look alike to it; it stands here to be read beside ``u_lira``.

    Args:
        scores: (B,) nats. logit-scaled confidence of the model on forget and on holdout; (M, B) those of the unlearned
            shadow models, and 1 where a shadow model was trained on the record.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) probability.

    >>> roles, one = ("forget", "holdout"), [[2.0, -3.0], [4.0, -1.0], [0.0, 1.0], [2.0, 3.0]]
    >>> shadows = {(PART, role, NAME): one for role in roles}
    >>> member = {(PART, role, "member"): [[1.0] * 2] * 2 + [[0.0] * 2] * 2 for role in roles}
    >>> model = {("model", "forget", NAME): [2.5, -1.5], ("model", "holdout", NAME): [1.5, 0.5]}
    >>> float(u_lira_population(model | shadows | member))  # N(0.5, 7.25) against N(1.5, 1.25): r grows away from 1.7
    0.75
    """
    ratios, drawn = log_ratios(scores, weights, PART, NAME, per_record=False)
    return shaped(in_each_draw(rank_auc, ratios, drawn), weights)
