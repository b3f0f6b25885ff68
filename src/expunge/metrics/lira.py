"""LiRA, online. Source: Carlini et al. 2022 (2112.03570), algorithm 1; one variance for all records below 64 models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import rank_auc
from expunge.metrics._shadow_fits import keys_of, log_ratios
from expunge.metrics._told_apart import in_each_draw, shaped

PART, NAME = "shadows", "logit_confidence"


@statistic(
    *keys_of(PART, NAME),
    better="reference",
    two_tailed=True,
    question="Is the model, on a forgotten record, more like models trained with that record than like ones without?",
    retrained="near 0.5, or where the two kinds of record differ by themselves",
)
def lira(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How well the likelihood ratio of shadow models tells forgotten records from records that were never seen.

    A = P(r_forget > r_holdout) + P(r_forget = r_holdout) / 2,
    r = ln N(c; mu_in, s_in) - ln N(c; mu_out, s_out),  c = logit-scaled confidence

    mu_in and mu_out are a record's means over the shadow models with and without it. s_in and s_out are its own from 64
    models on; with fewer all records share one, pooled around their means. Far from 0.5 on either side is a leak.

    Args:
        scores: (B,) nats. logit-scaled confidence of the model on forget and on holdout; (M, B) those of the shadow
            models, and 1 where a shadow model was trained on the record.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) probability.

    Raises:
        EvidenceError: fewer than two shadow models have, or lack, a record.

    >>> shadows = {(PART, role, NAME): [[3.0], [5.0], [-1.0], [1.0]] for role in ("forget", "holdout")}
    >>> member = {(PART, role, "member"): [[1.0], [1.0], [0.0], [0.0]] for role in ("forget", "holdout")}
    >>> model = {("model", "forget", NAME): [2.5], ("model", "holdout", NAME): [1.5]}
    >>> float(lira(model | shadows | member))  # means 4 and 0, variance 2: r = 1 and -1
    1.0
    """
    ratios, drawn = log_ratios(scores, weights, PART, NAME)
    return shaped(in_each_draw(rank_auc, ratios, drawn), weights)
