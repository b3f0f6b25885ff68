"""The items that a suite's readings are about: wordings brought together, and those kept that the original knew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from expunge.core.columns import COLUMNS, split
from expunge.core.measure import Score
from expunge.core.registry import metrics
from expunge.core.suite import Reading, Suite
from expunge.evaluation.per_item import PerItem, Table, Unmeasured

KNOWN = 0.99
"""A text score from which on a question counts as answered right."""
NEEDS_ORIGINAL = "the original decides which questions count: give it"
GROUPED = ("relations", "subgroups")
"""Columns that say in which group a record is; an item of several is in that of the last."""
Items = dict[str, tuple[str, float]]


def gathered(ids: Sequence[str], subjects: Sequence[str], values: Sequence[float], mark: str, best: Any) -> Items:
    """Items of one id up to its last mark, as one.

    Args:
        ids: (B,).
        subjects: (B,).
        values: (B,).
        mark: what the part of an id that is dropped begins with.
        best: ``max`` or ``min``.

    Returns:
        Shortened id -> subject and value.

    >>> gathered(["q1|a", "q1|b", "q2"], ["s", "s", "t"], [0.2, 0.9, 0.4], "|", max)
    {'q1': ('s', 0.9), 'q2': ('t', 0.4)}
    """
    found: Items = {}
    for key, subject, value in zip(ids, subjects, values, strict=True):
        short = key.rpartition(mark)[0] or key
        found[short] = (subject, best(found[short][1], value) if short in found else value)
    return found


def grouped(ids: Sequence[str], subjects: Sequence[str], values: Sequence[float]) -> Items:
    """The best of all accepted wordings, then the worst of all questions.

    >>> grouped(["t&1|a", "t&1|b", "t&2|a"], ["s"] * 3, [0.1, 1.0, 0.6])
    {'t': ('s', 0.6)}
    """
    return _twice(ids, subjects, values, "&")


def known_to(ids: Sequence[str], values: Sequence[float]) -> set[str]:
    """Items of which every question before them is answered: ids end in ``?`` and what numbers the question.

    >>> sorted(known_to(["t?1|a", "t?1|b", "t?2|a", "u?1|a"], [0.1, 1.0, 0.6, 1.0]))
    ['u']
    """
    return {key for key, (_, value) in _twice(ids, ids, values, "?").items() if value >= KNOWN}


def _twice(ids: Sequence[str], subjects: Sequence[str], values: Sequence[float], mark: str) -> Items:
    answered = gathered(ids, subjects, values, "|", max)
    return gathered(list(answered), [s for s, _ in answered.values()], [v for _, v in answered.values()], mark, min)


def score_of(table: Table, name: str) -> np.ndarray:
    """A score of one table, (B,).

    Raises:
        Unmeasured: the table has not what it needs, or there is no such score.
    """
    if name in table:
        return np.asarray(table[name], dtype=np.float64)
    found = metrics.get(name) if name in metrics.names() else None
    if not isinstance(found, Score):
        raise Unmeasured(f"it needs the score {name}, and nothing here has that name")
    if lacking := [need for need in found.needs if need not in table]:
        raise Unmeasured(why_lacking(lacking))
    return np.asarray(found.of(table), dtype=np.float64)


def why_lacking(columns: Sequence[str]) -> str:
    """Why a table lacks columns.

    >>> why_lacking(["toxicity"])
    'it needs a scorer that fills the column toxicity: give one'
    """
    filled = [name for name in columns if COLUMNS[split(name)[0]].source == "scorer"]
    if filled:
        return f"it needs a scorer that fills the column {filled[0]}: give one"
    flag = "TEXT" if all(COLUMNS[split(name)[0]].source == "generate" for name in columns) else "LOGPROBS"
    return f"it needs {flag}, which the target does not grant"


def derived(suite: Suite, reading: Reading, tables: Mapping[str, Mapping[str, Table]]) -> dict[str, dict[str, Any]]:
    """A reading's items for each model that was measured on its part, under the reading's name.

    Args:
        suite: that the reading is of.
        reading: of a score over a part that is grouped, or of whose items some count only if the original knew.
        tables: model -> part -> table.

    Returns:
        model -> table with ``ids``, ``subjects`` and the measure.

    Raises:
        Unmeasured: a score cannot be had, the original is not there, or it knew the parts of no item.
    """
    collapse: Callable[..., Items] = grouped if suite.part(reading.part).grouped else _each
    kept: set[str] | None = None
    if reading.known:
        if "original" not in tables:
            raise Unmeasured(NEEDS_ORIGINAL)
        asked = tables["original"].get(reading.known)
        kept = known_to(asked["ids"], list(score_of(asked, reading.measure))) if asked else set()
        conditional = {key.rpartition("?")[0] for key in asked["ids"]} if asked else set()
    found: dict[str, dict[str, Any]] = {}
    for model, parts in tables.items():
        if reading.part not in parts:
            continue
        table = parts[reading.part]
        items = collapse(table["ids"], table["subjects"], list(score_of(table, reading.measure)))
        if kept is not None:
            items = {key: item for key, item in items.items() if key in kept or key not in conditional}
            if not items:
                raise Unmeasured("the original answers the questions that it builds on for no item")
        found[model] = {
            "ids": list(items),
            "subjects": [subject for subject, _ in items.values()],
            reading.measure: np.array([value for _, value in items.values()]),
        }
        for column in set(GROUPED) & set(table):
            names = collapse(table["ids"], table[column], [0.0] * len(table["ids"]))
            found[model][column] = [names[key][0] for key in items]
    return found


def _each(ids: Sequence[str], subjects: Sequence[str], values: Sequence[float]) -> Items:
    return {key: (subject, value) for key, subject, value in zip(ids, subjects, values, strict=True)}


def is_derived(suite: Suite, reading: Reading) -> bool:
    """Whether a reading has items of its own, rather than the records of a part."""
    return bool(reading.part) and (bool(reading.known) or suite.part(reading.part).grouped)


def items_of(
    suite: Suite, tables: Mapping[str, Mapping[str, Table]], reasons: Mapping[str, str]
) -> tuple[PerItem, dict[str, str]]:
    """Scores per item for every reading.

    Args:
        suite: whose readings they are.
        tables: model -> part, or ``attack.`` and the name of a reading -> table.
        reasons: why a model is not there, by model.

    Returns:
        The scores, in which a derived reading is a role of its own name; and why a reading has no items, by reading.
    """
    every: dict[str, dict[str, Any]] = {model: dict(parts) for model, parts in tables.items()}
    lacking: dict[str, str] = {}
    for reading in suite.readings:
        if not is_derived(suite, reading):
            continue
        try:
            for model, table in derived(suite, reading, tables).items():
                every[model][f"of.{reading.name}"] = table
        except Unmeasured as reason:
            lacking[reading.name] = str(reason)
    return PerItem(every, reasons), lacking
