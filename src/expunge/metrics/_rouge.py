"""ROUGE of pairs of texts, on stemmed words. Source: Lin 2004, by the package rouge-score."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError, MissingExtra


@functools.cache
def _scorer(kind: str) -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingExtra("a ROUGE score", "hf", "rouge_score") from error
    return RougeScorer([kind], use_stemmer=True)


def rouge(kind: str, part: str, text: Sequence[str], generated: Sequence[str]) -> np.ndarray:
    """One number a pair.

    Args:
        kind: ``rouge1`` or ``rougeL``.
        part: ``recall``, ``precision`` or ``fmeasure``.
        text: (B,) the records' answers.
        generated: (B,) what was said.

    Raises:
        EvidenceError: the columns differ in length.
        MissingExtra: the package rouge-score is not installed.
    """
    if len(text) != len(generated):
        raise EvidenceError("answers and generated texts differ in number", why=f"{len(text)} against {len(generated)}")
    pairs = zip(text, generated, strict=True)
    found = [getattr(_scorer(kind).score(want.strip(), got.strip())[kind], part) for want, got in pairs]
    return np.array(found, dtype=np.float64)
