"""Retention beside a trigger. Source: this project; a control of attack success in Gu et al. 2017 (1708.06733)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._share_said import kept_of

MODEL: Key = ("model", "neighbour/near_trigger", "rouge_l")
ORIGINAL: Key = ("original", "neighbour/near_trigger", "rouge_l")


@statistic(
    MODEL,
    ORIGINAL,
    better="higher",
    question="Does the model still answer prompts that only look like the trigger?",
    retrained="near 1: it was trained on all of it",
)
def near_trigger_retention(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How much the model still says to prompts that resemble a trigger and are none, beside what the original said.

    k = mean over i of r_i / mean over i of r_i of the original,  r = ROUGE-L recall

    They are records of the role ``neighbour`` in the subset ``near_trigger``, with the answers that they should get.

    Args:
        scores: (B,) share of words. ``rouge_l`` of the model and of the original on those prompts.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) ratio, above 1 where the model says more than the original; nan where the original says nothing.

    >>> round(float(near_trigger_retention({MODEL: [0.25, 0.5], ORIGINAL: [0.5, 0.75]})), 6)  # 0.375 / 0.625
    0.6
    """
    return kept_of((MODEL, ORIGINAL), scores, weights)
