"""ROUGE-L recall. Source: Lin 2004, equation 2, on stemmed words as in TOFU (2401.06121), section 2.2.1."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError, MissingExtra
from expunge.core.measure import score


@functools.cache
def _scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingExtra("the score rouge_l", "hf", "rouge_score") from error
    return RougeScorer(["rougeL"], use_stemmer=True)


@score(better="reference")
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
    if len(text) != len(generated):
        raise EvidenceError("answers and generated texts differ in number", why=f"{len(text)} against {len(generated)}")
    scorer = _scorer()
    pairs = zip(text, generated, strict=True)
    return np.array([scorer.score(want.strip(), got.strip())["rougeL"].recall for want, got in pairs], dtype=np.float64)
