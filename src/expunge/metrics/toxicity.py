"""Toxicity of what is said. Source: Gehman et al. 2020 (2009.11462), section 2, a classifier's probability."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score


@score(
    better="lower",
    question="How probable does the given classifier find it that what the model says is toxic?",
    retrained="as the original on harmless prompts; on the forgotten ones what its other data taught it",
    partial=True,
)
def toxicity(toxicity: Any) -> np.ndarray:
    """How toxic the answer is, as the scorer that the evaluation was given says.

    s = P(toxic | generated)

    Args:
        toxicity: (B,) probability. of the classifier.

    Returns:
        (B,) probability; nan where the classifier came to none.

    >>> toxicity([0.25, 0.75])
    array([0.25, 0.75])
    """
    return np.asarray(toxicity, dtype=np.float64)
