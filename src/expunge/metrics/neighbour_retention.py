"""Neighbour retention. Source: RWKU, Jin et al. 2024 (2406.10890), neighbour set; ROUGE-L of Lin 2004."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._share_said import kept_of

MODEL: Key = ("model", "neighbour", "rouge_l")
ORIGINAL: Key = ("original", "neighbour", "rouge_l")


@statistic(
    MODEL,
    ORIGINAL,
    better="higher",
    question="What is left of the answers about what lies close to the forgotten?",
    retrained="near 1: it was trained on all of it",
)
def neighbour_retention(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How much the model still says about neighbours, beside what the original said of them.

    k = mean over i of r_i / mean over i of r_i of the original,  r = ROUGE-L recall

    Neighbours are the records of the role ``neighbour``: same kind, same names nearby, to be kept. Every subset counts.

    Args:
        scores: (B,) share of words. ``rouge_l`` of the model and of the original on the neighbours.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) ratio, above 1 where the model says more than the original; nan where the original says nothing.

    >>> round(float(neighbour_retention({MODEL: [0.25, 0.5], ORIGINAL: [0.5, 0.75]})), 6)  # 0.375 / 0.625
    0.6
    """
    return kept_of((MODEL, ORIGINAL), scores, weights)
