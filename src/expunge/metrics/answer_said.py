"""Whether the answer is said. Source: answer containment as in MQuAKE (2305.14795), normalised as in SQuAD."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.core.measure import score
from expunge.metrics._said import says


@score(
    better="reference",
    question="Does the model say the answer, in the record's words or in the other wordings that it lists?",
    retrained="how often a guess is right, as on never-seen records",
)
def answer_said(text: Sequence[str], reworded: Sequence[str], generated: Sequence[str]) -> np.ndarray:
    """Whether what the model says holds the answer, whatever the case, articles and punctuation.

    For short answers: a name, a number, the planted target of a backdoor. Of a whole sentence it asks every word.

    Args:
        text: (B,) words. the record's answer.
        reworded: (B,) words. other wordings of it, one a line.
        generated: (B,) words. greedy continuation of the prompt.

    Returns:
        (B,) 1 where it is said, else 0; 0 for an answer without words.

    Raises:
        EvidenceError: the columns differ in length.

    >>> answer_said(["Oslo", "the Owl", "12 May"], ["", "night bird", ""], ["in oslo!", "A night bird?", "May"])
    array([1., 1., 0.])
    """
    if not len(text) == len(reworded) == len(generated):
        why = f"{len(text)}, {len(reworded)} and {len(generated)}"
        raise EvidenceError("answers, other wordings and generated texts differ in number", why=why)
    rows = zip(text, reworded, generated, strict=True)
    return np.array([float(says(said, answer, others)) for answer, others, said in rows], dtype=np.float64)
