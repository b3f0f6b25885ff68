"""The table of a model whose evaluation another tool logged: no model is loaded, and nothing is judged.

A log holds what its tool scored and nothing more. What is missing is said in its place; no guarantee is earned from a
log, because nobody here attacked the model that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expunge.compat.evaluation_logs import read_log
from expunge.core.canonical import digest_file
from expunge.core.errors import EvidenceError
from expunge.core.policy import Policy
from expunge.evaluation.cells import CELLS, cell, measure_cells
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.utility import Components, components
from expunge.metrics.model_utility import COMPONENTS
from expunge.workflow.verbs import check_apart, find_policy

DRAWS = 2000
JUDGED = "model"
LABELS = {
    "original": "original",
    "retrained": "retrained (the reference)",
    "second_reference": "second reference (against the first)",
    JUDGED: "the imported model",
}
PLAYS = {"original": "original", "retrained": "reference", "second_reference": "second", JUDGED: "model"}
NOT_LOGGED = "the log does not hold it, and there is no model that could be asked"
NO_SECOND = "no log of a second reference was given, so that the distance between two of them is unknown"
NOT_TRIED = "relearning was not tried: a log holds no model to attack"
ALL_PARTS = "no log of the original was given: no part of utility is left out for being at chance"


@dataclass(frozen=True)
class Logs:
    """Which file is the log of which model.

    Args:
        model: the one that unlearned.
        reference: one that was trained without the forgotten records.
        second: another such model, None for none.
        original: the one before unlearning, None for none.
    """

    model: Path
    reference: Path
    second: Path | None = None
    original: Path | None = None

    def by_row(self) -> dict[str, Path]:
        """The files that are given, by row of the table."""
        rows = {"original": self.original, "retrained": self.reference, "second_reference": self.second}
        return {key: path for key, path in {**rows, JUDGED: self.model}.items() if path is not None}


def read_logs(logs: Logs) -> dict[str, Any]:
    """The logs by row of the table: each a ``compat.evaluation_logs.Log`` with its scores item by item.

    Raises:
        StoreError: a file cannot be read.
        EvidenceError: a file is no such log, two are not about the same records, or two are the same log.
    """
    paths = logs.by_row()
    found = {key: read_log(path) for key, path in paths.items()}
    _check_alike({key: (paths[key], log) for key, log in found.items()})
    check_apart({PLAYS[key]: digest_file(path) for key, path in paths.items()})
    return found


def imported_evidence(logs: Logs, *, policy: str | Policy = "research-tofu", seed: int = 0) -> dict[str, Any]:
    """What the logs come to, in the form of ``evidence.json``.

    Args:
        logs: files of open-unlearning or of the older TOFU code.
        policy: gives the level of the intervals; it judges nothing.
        seed: of the resampling.

    Returns:
        Rows of original, references and model, with cells and their intervals over subjects; the digests of the logs
        and what was assumed, in ``run``.

    Raises:
        UnknownName: no such policy.
        StoreError: a file cannot be read.
        EvidenceError: a file is no such log, two are not about the same records, or two are the same log.
    """
    found, level = read_logs(logs), find_policy(policy).level
    reasons = {PLAYS[key]: NOT_LOGGED for key in found} | ({} if logs.second else {"second": NO_SECOND})
    items = PerItem({PLAYS[key]: log.tables for key, log in found.items()}, reasons)
    casts = {key: _cast(items, key, level, seed) for key in found}
    parts = _components(casts[JUDGED], judged_by_original=logs.original is not None)
    shown = {key: c for key, c in CELLS.items() if key != "relearn_gap"}
    notes = list(dict.fromkeys(note for log in found.values() for note in log.notes))
    return {
        "run": {
            "name": "imported",
            "level": level,
            "corpus": _people(found[JUDGED].tables),
            "logs": {key: {"form": found[key].form, "digest": digest_file(p)} for key, p in logs.by_row().items()},
            "notes": [*notes, *([] if logs.original else [ALL_PARTS]), NOT_TRIED],
        },
        "columns": [c.head(key) for key, c in shown.items()],
        "rows": [{"key": k, "label": LABELS[k], "cells": _cells(cast, parts, shown)} for k, cast in casts.items()],
        "utility_components": parts.plain(),
    }


def _check_alike(found: Mapping[str, tuple[Path, Any]]) -> None:
    first, log = found[JUDGED]
    for path, other in found.values():
        if other.form != log.form:
            raise EvidenceError(
                f"{path} is a log of {other.form} and {first} one of {log.form}", next="Give logs of one tool"
            )
        for role in log.answers.keys() & other.answers.keys():
            if log.answers[role] != other.answers[role]:
                raise EvidenceError(
                    f"{path} and {first} are not about the same records",
                    why=f"the right answers of {role} differ",
                    next="Give logs of the same split",
                )


def _cast(items: PerItem, key: str, level: float, seed: int) -> Cast:
    control, other = ("second", "reference") if key == "retrained" else ("reference", "second")
    names = {"model": PLAYS[key], "reference": control, "second": other, "original": "original", "untrained": ""}
    return Cast(items, names, level, DRAWS, seed)


def _components(cast: Cast, *, judged_by_original: bool) -> Components:
    """What utility is made of: our rule where the original is known, else every part that was logged."""
    if judged_by_original:
        return components(cast)
    kept: list[tuple[str, str]] = []
    for part in [(part, name) for role, name in COMPONENTS for part in cast.items.parts(role)]:
        with suppress(Unmeasured):
            if np.isfinite(cast.items.values("model", *part)).any():
                kept.append(part)
    return Components(tuple(kept), ())


def _cells(cast: Cast, parts: Components, shown: Mapping[str, Any]) -> dict[str, Any]:
    estimates, reasons = measure_cells(cast, parts.kept, shown)
    return {name: cell(estimates.get(name), reasons.get(name, "")) for name in shown}


def _people(tables: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    return {role: {"people": len(set(table["subjects"])), "items": len(table["ids"])} for role, table in tables.items()}
