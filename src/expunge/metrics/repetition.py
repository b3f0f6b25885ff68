"""Repetition in what is said. Source: Welleck et al. 2020 (1908.04319), section 6, seq-rep-4."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score


@score(
    better="reference",
    question="How much of what the model says has it said before, in the same answer?",
    retrained="near 0, as the original",
)
def repetition(generated: Sequence[str], *, n: int = 4) -> np.ndarray:
    """How much an answer runs in circles: the share of its word n-grams that came before. Gibberish is no forgetting.

    r = 1 - |distinct n-grams| / |n-grams|

    Args:
        generated: (B,) words. greedy continuation of the prompt.
        n: words. length of what counts as repeated.

    Returns:
        (B,) share; 0 for fewer than n words, which repeat nothing of that length.

    >>> repetition(["He is he is he is here", "He is here"], n=2)  # he is, is he, he is, is he, he is, is here: 3 of 6
    array([0.5, 0. ])
    """
    shares: list[float] = []
    for text in generated:
        words = re.findall(r"\w+", text.casefold())
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        shares.append(1.0 - len(set(grams)) / len(grams) if grams else 0.0)
    return np.array(shares, dtype=np.float64)
