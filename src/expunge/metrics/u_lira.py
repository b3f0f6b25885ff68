"""U-LiRA. Source: Hayes et al. 2024 (2403.01218), section 4.2; per-example attackers, logit-scaled confidences."""

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
    question="Does the model, on a forgotten record, look like ones that this method made forget it, or like ones "
    "that never saw it?",
    retrained="near 0.5, or where the two kinds of record differ by themselves",
)
def u_lira(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How well an attacker who has the unlearning method, one for each record, tells forgotten from never-seen records.

    A = P(r_forget > r_holdout) + P(r_forget = r_holdout) / 2,
    r = ln N(c; mu_u, s_u) - ln N(c; mu_r, s_r),  c = logit-scaled confidence

    mu_u and s_u come from shadow models that were trained with the record and made to forget it along with others; mu_r
    and s_r from such that never saw it and were made to forget others. The ratio compares these two and nothing else: a
    model that was made to forget nothing may lie beyond both, and its A on either side. Read beside
    ``u_lira_population``: one attacker for all records sees less, and so makes forgetting look better than it is.

    Args:
        scores: (B,) nats. logit-scaled confidence of the model on forget and on holdout; (M, B) those of the unlearned
            shadow models, and 1 where a shadow model was trained on the record.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) probability.

    Raises:
        EvidenceError: fewer than two shadow models have, or lack, a record.

    >>> roles, one = ("forget", "holdout"), [[2.0, -3.0], [4.0, -1.0], [0.0, 1.0], [2.0, 3.0]]
    >>> shadows = {(PART, role, NAME): one for role in roles}
    >>> member = {(PART, role, "member"): [[1.0] * 2] * 2 + [[0.0] * 2] * 2 for role in roles}
    >>> model = {("model", "forget", NAME): [2.5, -1.5], ("model", "holdout", NAME): [1.5, 0.5]}
    >>> float(u_lira(model | shadows | member))  # means 3 and 1, then -2 and 2: high for one is low for the other
    1.0
    """
    ratios, drawn = log_ratios(scores, weights, PART, NAME)
    return shaped(in_each_draw(rank_auc, ratios, drawn), weights)
