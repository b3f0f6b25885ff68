"""Who fills the columns that take more than the model and the record: a toxicity classifier, a judge.

None is built in. An evaluation is given a mapping from such a column to the one who fills it; where it is given none
the column is absent and its scores are unmeasured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from expunge.core.columns import COLUMNS
from expunge.core.errors import ConfigError, EvidenceError, ExpungeError, UnknownName


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


def fillable() -> list[str]:
    """The columns that a scorer fills.

    >>> fillable()
    ['toxicity', 'judged']
    """
    return [name for name, spec in COLUMNS.items() if spec.source == "scorer"]


def check_scorers(scorers: Mapping[str, Any]) -> None:
    """Raise unless each scorer fills a column that there is, and can be called.

    Args:
        scorers: column -> who fills it.

    Raises:
        UnknownName: no scorer fills a column of that name.
        ConfigError: what is given cannot be called.
    """
    for column, scorer in scorers.items():
        if column not in fillable():
            raise UnknownName("column of a scorer", column, fillable())
        if not callable(scorer):
            raise ConfigError(
                f"the scorer of {column} cannot be called",
                why=f"it is a {type(scorer).__name__}",
                next="Give a function of items that returns one number each",
            )


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
        EvidenceError: the scorer failed, or gave something else than one number an item in [0, 1].

    >>> filled("toxicity", lambda items: [len(item.generated) / 10 for item in items], [Said("Who?", "Ana.", "Bo.")])
    array([0.3])
    """
    check_scorers({column: scorer})
    try:
        values = np.asarray(scorer(items), dtype=np.float64)
    except ExpungeError:
        raise
    except Exception as error:
        # It is another's code: what it raises is not known.
        why = f"{type(error).__name__}: {error}"
        raise EvidenceError(f"the scorer of {column} failed", why=why, next="Mend it, or leave it out") from error
    if values.shape != (len(items),):
        raise EvidenceError(f"the scorer of {column} gave {values.shape} values", why=f"there are {len(items)} items")
    if bool((~np.isnan(values) & ((values < 0) | (values > 1))).any()):
        raise EvidenceError(f"the scorer of {column} gave a value outside 0 to 1")
    return values
