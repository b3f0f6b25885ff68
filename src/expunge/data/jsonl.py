"""JSON and JSON Lines files in the TOFU schema, read as a store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.example import Example, Examples
from expunge.core.files import write_bytes
from expunge.data.memory import MemoryStore

FIELDS = tuple(field.name for field in fields(Example))  # type: ignore[arg-type]


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise StoreError(f"cannot read {path}", why=error.strerror or str(error), next="Check the path") from error
    except UnicodeDecodeError as error:
        raise StoreError(f"{path} is not UTF-8 text", why=str(error)) from error
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise StoreError(f"{path} is not JSON", why=str(error)) from error
        yield from ((f"{path}, row {number}", row) for number, row in enumerate(rows, 1))
        return
    # Not splitlines: it also breaks at separators that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except ValueError as error:
                raise StoreError(f"{path}:{number} is not JSON", why=str(error)) from error


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
    return Example(**values, perturbed_answer=tuple(wrong_answers))


def read_examples(path: Path, *, columns: Mapping[str, str] | None = None) -> Examples:
    """Read a JSON array or a JSON Lines file. A row without an id is named after the file and its position.

    Raises:
        StoreError: unreadable, not JSON, a column missing, or an id used twice.
    """
    path = Path(path)
    rows = enumerate(_rows(path))
    return MemoryStore(
        to_example(row, where=where, default_id=f"{path.stem}-{index:05d}", columns=columns)
        for index, (where, row) in rows
    ).all()


def dump_examples(examples: Iterable[Example]) -> bytes:
    """JSON Lines bytes, one example a line, empty fields left out."""
    lines = (json.dumps({k: v for k, v in vars(e).items() if k in FIELDS and v}, ensure_ascii=False) for e in examples)
    return "".join(line + "\n" for line in lines).encode()


class JsonlStore(MemoryStore):
    """A JSON Lines file as a store. Erasing rewrites the file without the records; other rows keep all their columns.

    Args:
        path: the file.
        columns: field of ``Example`` -> column of the file, where they differ.
    """

    def __init__(self, path: Path, *, columns: Mapping[str, str] | None = None) -> None:
        self.path, self._columns = Path(path), dict(columns or {})
        super().__init__(read_examples(self.path, columns=columns))

    def erase(self, ids: Iterable[str]) -> Receipt:
        """Rewrite the file without the records, atomically. Freed disk blocks are not scanned, so the receipt is BLIND.

        Raises:
            StoreError: an id is not in the store; nothing is changed.
        """
        gone = {example.record_id for example in self.get(ids)}
        key = self._columns.get("record_id", "record_id")
        rows = [dict(row) for _, row in _rows(self.path)]
        # A row without an id is named after its place, which the erasure moves: it takes its name along.
        kept = [{**row, key: name} for name, row in zip(self.ids(), rows, strict=True) if name not in gone]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
        write_bytes(self.path, text.encode())
        super().erase(gone)
        return Receipt(store=self.path.name, status="BLIND")
