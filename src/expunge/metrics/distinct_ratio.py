"""Distinct words. Source: Li et al. 2016 (1510.03055), section 4, distinct-1; an answer at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score


@score(
    better="reference",
    question="Which share of the words of an answer is new in it?",
    retrained="as the original: near 1 for a short sentence",
)
def distinct_ratio(generated: Sequence[str]) -> np.ndarray:
    """How many of an answer's words differ from one another; a model that says one word over and over is near 0.

    d = |distinct words| / |words|

    Args:
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) share; 0 for an answer without words: silence is as poor as a loop.

    >>> distinct_ratio(["of the of the", "Born in Oslo.", "..."]).tolist()
    [0.5, 1.0, 0.0]
    """
    words = [re.findall(r"\w+", text.casefold()) for text in generated]
    return np.array([len(set(said)) / len(said) if said else 0.0 for said in words], dtype=np.float64)
