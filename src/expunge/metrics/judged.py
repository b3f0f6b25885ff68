"""Verdict of a judge. Source: Zheng et al. 2023 (2306.05685), section 3.1, reference-guided grading of one answer."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.measure import score


@score(
    better="reference",
    question="Does a judge find in what the model says what the record's answer says?",
    retrained="how often a guess is right, or the judge is wrong",
    partial=True,
)
def judged(judged: Any) -> np.ndarray:
    """Whether the answer is given away in whatever words, as the judge that the evaluation was given says.

    s = 1 where the judge finds it, 0 where not

    Args:
        judged: (B,) 0 or 1. verdicts; nan where the judge's reply was none.

    Returns:
        (B,) 0 or 1; nan where there is no verdict.

    >>> judged([1.0, float("nan")])
    array([ 1., nan])
    """
    return np.asarray(judged, dtype=np.float64)
