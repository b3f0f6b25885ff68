"""ROUGE-1 recall. Source: Lin 2004, equation 1, on stemmed words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score
from expunge.metrics._rouge import rouge


@score(
    better="reference",
    question="Which share of the answer's words does the model say, in any order?",
    retrained="the words that the question gives away or that every answer has",
)
def rouge_1(text: Sequence[str], generated: Sequence[str]) -> np.ndarray:
    """Which share of the answer's words the model says, in any order.

    r = (words of the answer that are generated, each as often as both have it) / |answer|,  on stemmed words

    Args:
        text: (B,) words. the record's answer.
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) share of words; 0 for an answer without words.

    Raises:
        EvidenceError: the columns differ in length.
        MissingExtra: the package rouge-score is not installed.

    >>> rouge_1(["She was born in Oslo."], ["In Oslo, she says, born she was."])  # all 5
    array([1.])
    """
    return rouge("rouge1", "recall", text, generated)
