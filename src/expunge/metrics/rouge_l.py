"""ROUGE-L recall. Source: Lin 2004, equation 2, on stemmed words as in TOFU (2401.06121), section 2.2.1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score
from expunge.metrics._rouge import rouge


@score(
    better="reference",
    question="Which share of the forgotten answers does the model say when asked?",
    retrained="the words that the question gives away or that every answer has",
)
def rouge_l(text: Sequence[str], generated: Sequence[str]) -> np.ndarray:
    """Which share of the answer's words the model says, in the answer's order.

    r = LCS(answer, generated) / |answer|,  LCS = length of the longest common subsequence of stemmed words

    Args:
        text: (B,) words. the record's answer.
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) share of words; 0 for an answer without words.

    Raises:
        EvidenceError: the columns differ in length.
        MissingExtra: the package rouge-score is not installed.

    >>> rouge_l(["She was born in Oslo."], ["Born in Oslo, she says."])  # born in oslo, of 5 words
    array([0.6])
    """
    return rouge("rougeL", "recall", text, generated)
