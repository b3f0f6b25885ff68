"""Whether an answer is a refusal. Source: this project; the words that it sees stand in ``_refusal.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.core.measure import score
from expunge.metrics._refusal import is_refusal


@score(
    better="reference",
    question="Does the model say that it does not know, or will not say?",
    retrained="as often as on never-seen records; 0 where it was never taught to refuse",
)
def refused(generated: Sequence[str]) -> np.ndarray:
    """Whether the model says that it does not know or will not say.

    Args:
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) 1 for a refusal, 0 for any other answer.

    >>> refused(["I do not know.", "In Oslo.", "That is secret.", "It is secret songs."]).tolist()
    [1.0, 0.0, 1.0, 0.0]
    """
    return np.array([float(is_refusal(text)) for text in generated], dtype=np.float64)
