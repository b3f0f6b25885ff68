"""That the records of a selection are the rows which a learner holds under their ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.example import Example
from expunge.core.selection import Selection
from expunge.data.rows import FIELDS
from expunge.data.table import row_hashes
from expunge.methods.exact._kept import READ, require_unchanged

ROW = re.compile(r"[0-9a-f]{64}")
"""The question of a row of a table."""
TEXTS = tuple(name for name in FIELDS if name not in ("record_id", "perturbed_answer", "role"))
TRIED = 64
"""Records by which is found of which field a learner of texts was made."""


def require_as_held(target: Any, selection: Selection) -> None:
    """Raise unless the given records are those that a learner was fitted on.

    Rows of a table are compared by features and label, texts by the field that the learner reads. Where a learner was
    fitted on what somebody made of texts, numbers for instance, nothing can be compared.

    Args:
        target: a learner.
        selection: records that the learner does not hold are passed over.

    Raises:
        StoreError: the learner holds another row under the id of one.
    """
    inside = frozenset(target.ids)
    given = {e.record_id: e for role in READ for e in selection.role(role)}
    asked = [name for name in given if name in inside]
    if not asked or not hasattr(target.estimator, "rows"):
        return
    names, X, y = target.estimator.rows(asked)
    records = [given[name] for name in names]
    if X.dtype.kind == "O":
        require_unchanged(_other_texts(target.estimator, records, X, y))
    elif all(ROW.fullmatch(record.question) for record in records):
        require_unchanged(_other_rows(records, X[:, : target.estimator.n_features_in_], y))


def _other_rows(records: Sequence[Example], X: NDArray[Any], y: NDArray[Any] | None) -> list[str]:
    """Ids of the records whose row is another, by the hash of its numbers, or whose label is."""
    hashes = row_hashes([record.record_id for record in records], X)
    labels = [None] * len(records) if y is None else y.tolist()
    rows = zip(records, hashes, labels, strict=True)
    return [e.record_id for e, told, label in rows if e.question != told or not _same(e.answer, label)]


def _same(told: str, label: Any) -> bool:
    """Whether a record has the label that is kept, None for none; as numbers, of which a learner may keep others."""
    held = ",".join(map(str, label if isinstance(label, list) else [label]))
    if label is None or told == held or isinstance(label, (str, bool)):
        return label is None or told == held
    try:
        return [_number(part) for part in told.split(",")] == [float(part) for part in held.split(",")]
    except ValueError:
        return False


def _number(text: str) -> float:
    return float({"True": "1", "False": "0"}.get(text, text))


def _other_texts(estimator: Any, records: Sequence[Example], X: NDArray[Any], y: NDArray[Any] | None) -> set[str]:
    """Ids of the records whose text, or whose label, is another. Of a text no more is compared than is kept."""
    words = _field(records, X, estimator.as_kept)
    labels = None if y is None or y.dtype.kind not in "OU" else _field(records, y, np.asarray)
    pairs = [(words, X, estimator.as_kept), (labels, y, np.asarray)]
    return {name for field, held, kept in pairs if field for name in _apart(field, records, held, kept)}


def _apart(field: str, records: Sequence[Example], held: Any, kept: Any) -> list[str]:
    now = kept([getattr(record, field) for record in records])
    return [record.record_id for record, a, b in zip(records, now, held, strict=True) if a != b]


def _field(records: Sequence[Example], held: NDArray[Any], kept: Any) -> str:
    """The field that gives most of what is held; empty where none gives any of it."""
    at = np.unique(np.linspace(0, len(records) - 1, min(TRIED, len(records))).astype(int)).tolist()
    some, like = [records[i] for i in at], held[at]
    hits = {field: len(some) - len(_apart(field, some, like, kept)) for field in TEXTS}
    best = max(TEXTS, key=hits.__getitem__)
    return best if hits[best] else ""
