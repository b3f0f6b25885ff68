"""ROUGE-L recall of the alternative answer. Source: Lin 2004, equation 2, on stemmed words as in ``rouge_l``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score
from expunge.metrics._rouge import rouge


@score(
    better="reference",
    question="Which share of the answer that is wished for instead does the model say?",
    retrained="the words that it shares with an honest guess",
)
def rouge_l_alternative(alternative: Sequence[str], generated: Sequence[str]) -> np.ndarray:
    """Which share of the alternative answer's words the model says, in their order.

    r = LCS(alternative, generated) / |alternative|,  LCS = length of the longest common subsequence of stemmed words

    Args:
        alternative: (B,) words. the answer that the record gives instead.
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) share of words; 0 for a record without an alternative answer.

    Raises:
        EvidenceError: the columns differ in length.
        MissingExtra: the package rouge-score is not installed.

    >>> rouge_l_alternative(["She never left Lima."], ["She left Lima early."])  # she left lima, of 4 words
    array([0.75])
    """
    return rouge("rougeL", "recall", alternative, generated)
