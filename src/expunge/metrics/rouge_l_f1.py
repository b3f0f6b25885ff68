"""ROUGE-L F1. Source: Lin 2004, equation 4 at beta = 1, as in MUSE (2407.06460), section 3.1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score
from expunge.metrics._rouge import rouge


@score(
    better="reference",
    question="How alike are the answer and what the model says?",
    retrained="what an honest guess of the same form shares with the answer",
)
def rouge_l_f1(text: Sequence[str], generated: Sequence[str]) -> np.ndarray:
    """How alike answer and generated text are: words in common, in order, over the mean number of words.

    f = 2 LCS(answer, generated) / (|answer| + |generated|),  on stemmed words

    Where the question is the beginning of a text and the answer its continuation, this is verbatim memorisation.

    Args:
        text: (B,) words. the record's answer.
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) in [0, 1]; 0 where either has no words.

    Raises:
        EvidenceError: the columns differ in length.
        MissingExtra: the package rouge-score is not installed.

    >>> rouge_l_f1(["She was born in Oslo."], ["Born in Oslo."])  # 2 * 3 / (5 + 3)
    array([0.75])
    """
    return rouge("rougeL", "fmeasure", text, generated)
