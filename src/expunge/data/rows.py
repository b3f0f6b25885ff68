"""From rows to examples and back: one check of what a row holds, whatever file it stands in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from expunge.core.errors import StoreError
from expunge.core.example import Example

FIELDS = tuple(field.name for field in fields(Example))  # type: ignore[arg-type]
HALF_OF_A_PAIR = re.compile(r"[\ud800-\udfff]")


def stem_of(path: Path) -> str:
    """Name of a file without the endings that say what form it has; a folder's whole name.

    >>> stem_of(Path("tofu.forget.jsonl.gz"))
    'tofu.forget'
    """
    return path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem


def named_after(stem: str, position: int) -> str:
    """Id of a row that has none: by its file and its place when it was first read.

    >>> named_after("corpus", 7)
    'corpus-00007'
    """
    return f"{stem}-{position:05d}"


def require_known(missing: Sequence[str]) -> None:
    """Raise if ids are missing.

    Raises:
        StoreError: counts them and names the first.
    """
    if missing:
        count = f"{len(missing)} record ids are" if len(missing) > 1 else "a record id is"
        raise StoreError(f"{count} not in the data", why=f"for example {', '.join(missing[:3])}")


def check_columns(where: str, present: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Field of ``Example`` -> column of a table, for those that the table has.

    Raises:
        StoreError: a column that is needed or was named is not there.
    """
    unknown = sorted(set(columns) - set(FIELDS))
    if unknown:
        raise StoreError(f"an example has no field {unknown[0]!r}", next=f"Its fields are {', '.join(FIELDS)}")
    names = {field: columns.get(field, field) for field in FIELDS}
    wanted = {field: name for field, name in names.items() if field in ("question", "answer") or name != field}
    missing = [name for name in wanted.values() if name not in present]
    if missing:
        raise StoreError(
            f"{where} has no column {missing[0]!r}",
            why=f"its columns are {', '.join(present) or 'none'}",
            next="Name the columns of question and answer, with columns= where they are called otherwise",
        )
    return {field: name for field, name in names.items() if name in present}


def to_example(row: Any, *, where: str, default_id: str = "", columns: Mapping[str, str] | None = None) -> Example:
    """Check one row and make it an example.

    Args:
        row: an object with at least a question and an answer.
        where: for the error message.
        default_id: id of a row that has none.
        columns: field of ``Example`` -> column of the file, where they differ.

    Raises:
        StoreError: a column is missing or of the wrong type.
    """
    if not isinstance(row, Mapping):
        raise StoreError(f"{where} is not an object", why=f"it is a {type(row).__name__}")
    names = {field: (columns or {}).get(field, field) for field in FIELDS}
    values = {field: row[column] for field, column in names.items() if row.get(column) is not None}
    for field in ("question", "answer"):
        if not str(values.get(field, "")).strip():
            raise StoreError(
                f"{where} has no {names[field]!r}",
                why=f"its columns are {', '.join(map(str, row)) or 'none'}",
                next="Name the columns question and answer",
            )
    if "record_id" not in values and names["record_id"] != "record_id":
        raise StoreError(f"{where} has no {names['record_id']!r}", why="it was named as the column of record ids")
    values["record_id"] = str(values.get("record_id", default_id))
    wrong_answers = values.pop("perturbed_answer", ())
    wrong = [field for field, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise StoreError(f"{where} has a {names[wrong[0]]!r} that is not text")
    if not isinstance(wrong_answers, (list, tuple)) or not all(isinstance(text, str) for text in wrong_answers):
        raise StoreError(f"{where} has a {names['perturbed_answer']!r} that is not a list of texts")
    halves = [f for f, text in values.items() if _half(text)] or ["perturbed_answer"] * any(map(_half, wrong_answers))
    if halves:
        why = "it holds half of a surrogate pair, which is no character"
        raise StoreError(f"{where} has a {names[halves[0]]!r} that is not text", why=why)
    return Example(**values, perturbed_answer=tuple(wrong_answers))


def _half(text: str) -> bool:
    return not text.isascii() and bool(HALF_OF_A_PAIR.search(text))


def to_row(example: Example) -> dict[str, Any]:
    """The fields of an example that are not empty."""
    return {name: value for name in FIELDS if (value := getattr(example, name))}
