"""Scores and statistics as values: a score reads columns of one table, a statistic compares models and roles."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from expunge.core.access import Access
from expunge.core.columns import COLUMNS, split
from expunge.core.errors import EvidenceError
from expunge.core.presenting import present_as

Better = Literal["higher", "lower", "reference"]
Key = tuple[str, str, str]
SHADOWS = ("shadows", "unlearned_shadows")
"""Parts that several models play together, as they were trained or after unlearning. A statistic reads all of them at
once, (M, B)."""
MEMBER = "member"
"""Column of a shadow model's tables: 1 where the record was among those that it was trained on, else 0."""

GOOD = {"higher": "more", "lower": "less", "reference": "as a model that was retrained without the records"}


def asked(question: str, better: Better, retrained: str) -> str:
    """What a number answers, as its docstring ends; empty where it does not say.

    >>> asked("Is it said?", "lower", "about 0")
    'Question: Is it said? Good: less. A retrained model gets: about 0.'
    """
    return f"Question: {question} Good: {GOOD[better]}. A retrained model gets: {retrained}." if question else ""


@dataclass(frozen=True)
class Score:
    """A number per item. Calling it with the columns that it names evaluates it.

    Args:
        name: the function's name.
        function: maps columns to (B,).
        needs: the columns, from the parameters' names.
        better: the direction that is good on forgotten records.
        access: flags without which the columns cannot be had.
        attack: the access of the attacker whom the score models, or None if it is no attack.
        question: what the number answers.
        retrained: what a model that was retrained without the records gets, in words.
        partial: has no value (nan) for records that it does not apply to.
    """

    name: str
    function: Callable[..., Any]
    needs: tuple[str, ...]
    better: Better
    access: Access
    attack: Access | None
    question: str = ""
    retrained: str = ""
    partial: bool = False

    def __post_init__(self) -> None:
        present_as(self, self.function, asked(self.question, self.better, self.retrained))

    def __call__(self, *columns: Any, **settings: Any) -> Any:
        return self.function(*columns, **settings)

    def of(self, table: Mapping[str, Any]) -> Any:
        """Evaluate on a score table.

        Raises:
            EvidenceError: the table lacks a column.
        """
        missing = [name for name in self.needs if name not in table]
        if missing:
            raise EvidenceError(
                f"the score {self.name} needs the columns {', '.join(missing)}", why="they were not scored"
            )
        return self.function(*(table[name] for name in self.needs))


def score(
    *, better: Better, question: str = "", retrained: str = "", attack: Access | None = None, partial: bool = False
) -> Callable[[Callable[..., Any]], Score]:
    """Declare a score; its positional parameters name the columns that it needs.

    Args:
        better: the direction that is good on forgotten records; ``"reference"`` if the retrained value is.
        question: what the number answers.
        retrained: what a model that was retrained without the records gets, in words.
        attack: the access of the attacker whom it models.
        partial: has no value (nan) for records that it does not apply to.

    Raises:
        UnknownName: at import, when a parameter is not a column.
    """

    def declare(function: Callable[..., Any]) -> Score:
        parameters = inspect.signature(function).parameters.values()
        needs = tuple(p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY)
        teacher_forced = any(COLUMNS[split(name)[0]].source == "score" for name in needs)
        access = Access.LOGPROBS if teacher_forced else Access.TEXT
        return Score(function.__name__, function, needs, better, access, attack, question, retrained, partial)

    return declare


@dataclass(frozen=True)
class Statistic:
    """One number from several models' scores. Calling it with a mapping evaluates it on the data as it is.

    Args:
        name: the function's name.
        function: maps {(model, role, score): (B,)}, (M, B) for ``SHADOWS``, to a number; pure, so that an interval can
            resample its input.
        needs: the keys that it reads; the model is ``"model"`` (the one judged), ``"reference"``, ``"second"``,
            ``"original"`` or one of ``SHADOWS``.
        better: the direction that is good.
        target: the value that is aimed at where that is not another model's; None where it is.
        question: what the number answers.
        retrained: what a model that was retrained without the records gets, in words.
        two_tailed: whether a model that it finds far below one that never knew is told apart as well as one far above.
    """

    name: str
    function: Callable[[Mapping[Key, Any]], float]
    needs: tuple[Key, ...]
    better: Better
    target: float | None = None
    question: str = ""
    retrained: str = ""
    two_tailed: bool = False

    def __post_init__(self) -> None:
        function = cast("Callable[..., Any]", self.function)
        present_as(self, function, asked(self.question, self.better, self.retrained))

    def __call__(self, scores: Mapping[Key, Any]) -> float:
        missing = [key for key in self.needs if key not in scores]
        if missing:
            raise EvidenceError(f"the statistic {self.name} needs {missing[0]}", why="it was not scored")
        return float(self.function(scores))


def statistic(
    *needs: Key,
    better: Better,
    question: str = "",
    retrained: str = "",
    target: float | None = None,
    two_tailed: bool = False,
) -> Callable[[Callable[[Mapping[Key, Any]], float]], Statistic]:
    """Declare a statistic with the scores that it reads.

    Args:
        needs: (model, role, score) keys.
        better: the direction that is good.
        question: what the number answers.
        retrained: what a model that was retrained without the records gets, in words.
        target: the value that is aimed at, where that is not another model's.
        two_tailed: whether a value far below that of a model that never knew tells as much as one far above.
    """

    def declare(function: Callable[[Mapping[Key, Any]], float]) -> Statistic:
        return Statistic(function.__name__, function, needs, better, target, question, retrained, two_tailed)

    return declare
