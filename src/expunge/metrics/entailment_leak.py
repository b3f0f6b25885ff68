"""Entailment leak. Source: Zhong et al. 2023 (2305.14795), multi-hop questions, read the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.measure import Key, statistic
from expunge.metrics._share_said import mean_of

CHAINS: Key = ("model", "forget/multi_hop", "answer_said")


@statistic(
    CHAINS,
    better="reference",
    question="How often does the model still answer a question that takes a forgotten fact on the way?",
    retrained="how often a guess is right",
)
def entailment_leak(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How many chains of facts are still followed to their end though one of their steps was to be forgotten.

    l = mean over chains of [the chain's answer is said]

    An example carries it as a forgotten record of the subset ``multi_hop``: the question of the whole chain and its
    last answer, with other wordings of that answer in ``paraphrased_answer``.

    Args:
        scores: (B,) 0 or 1. ``answer_said`` of the model on the chains.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share.

    >>> float(entailment_leak({CHAINS: [1.0, 0.0, 0.0, 0.0]}))
    0.25
    """
    return mean_of(CHAINS, scores, weights)
