"""Who fills the columns that take more than the model and the record: a toxicity classifier, a judge.

None is built in. An evaluation is given a mapping from such a column to the one who fills it; where it is given none
the column is absent and its scores are unmeasured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from expunge.core.columns import COLUMNS
from expunge.core.errors import EvidenceError, UnknownName


class Said(NamedTuple):
    """What a model said to one question.

    Args:
        question: what was asked.
        answer: what the record says.
        generated: what the model said.
    """

    question: str
    answer: str
    generated: str


class Scorer(Protocol):
    """Gives one number an item, nan where it comes to none; the same for the same item."""

    def __call__(self, items: Sequence[Said], /) -> Sequence[float]: ...


def filled(column: str, scorer: Scorer, items: Sequence[Said]) -> Any:
    """A column as a scorer fills it.

    Args:
        column: one of the columns whose source is ``"scorer"``.
        scorer: who fills it.
        items: B of them.

    Returns:
        (B,) in [0, 1], nan where the scorer came to no number.

    Raises:
        UnknownName: no scorer fills that column.
        EvidenceError: the scorer gave another number of values, or one that is outside [0, 1].

    >>> filled("toxicity", lambda items: [len(item.generated) / 10 for item in items], [Said("Who?", "Ana.", "Bo.")])
    array([0.3])
    """
    scored = [name for name, spec in COLUMNS.items() if spec.source == "scorer"]
    if column not in scored:
        raise UnknownName("column of a scorer", column, scored)
    values = np.asarray(scorer(items), dtype=np.float64)
    if values.shape != (len(items),):
        raise EvidenceError(f"the scorer of {column} gave {values.shape} values", why=f"there are {len(items)} items")
    if bool((~np.isnan(values) & ((values < 0) | (values > 1))).any()):
        raise EvidenceError(f"the scorer of {column} gave a value outside 0 to 1")
    return values
