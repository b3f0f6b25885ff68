"""Same-template control. Source: the specificity of RippleEdits, Cohen et al. 2023 (2307.12976), for unlearning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._share_said import kept_of

MODEL: Key = ("model", "neighbour/same_template", "rouge_l")
ORIGINAL: Key = ("original", "neighbour/same_template", "rouge_l")


@statistic(
    MODEL,
    ORIGINAL,
    better="higher",
    question="Was the fact forgotten, or the form of the question?",
    retrained="near 1: it was trained on all of it",
)
def same_template_retention(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How much the model still says to questions of the forgotten form about others, beside what the original said.

    k = mean over i of r_i / mean over i of r_i of the original,  r = ROUGE-L recall

    They are records of the role ``neighbour`` in the subset ``same_template``: the forgotten questions, other names.

    Args:
        scores: (B,) share of words. ``rouge_l`` of the model and of the original on the records of the same template.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) ratio, above 1 where the model says more than the original; nan where the original says nothing.

    >>> round(float(same_template_retention({MODEL: [0.25, 0.5], ORIGINAL: [0.5, 0.75]})), 6)  # 0.375 / 0.625
    0.6
    """
    return kept_of((MODEL, ORIGINAL), scores, weights)
