"""Millions of JSON Lines into a SQLite store, a row at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from expunge.core.errors import StoreError
from expunge.core.files import PART
from expunge.core.progress import report
from expunge.data.extra import need
from expunge.data.jsonl import lines_of, parse
from expunge.data.rows import FIELDS, named_after, stem_of, to_example
from expunge.data.sqlite import SqliteStore, connect

TABLE = "records"
FILLED = ("record_id", "question", "answer")
"""Fields that are never empty."""
BETWEEN_REPORTS = 4096


def _schema() -> str:
    columns = ["record_id TEXT NOT NULL PRIMARY KEY", "question TEXT NOT NULL", "answer TEXT NOT NULL"]
    columns += [f"{field} TEXT" for field in FIELDS if field not in FILLED]
    return f"CREATE TABLE {TABLE} ({', '.join(columns)}, other TEXT)"


def ingest(
    source: str | Path, store: str | Path, *, id: str = "record_id", columns: Mapping[str, str] | None = None
) -> SqliteStore:
    """Copy a JSON Lines file into a new SQLite store, in memory that does not grow with the file.

    The store appears under its name when it is whole. A killed call leaves a hidden part beside it that the same call
    starts again from nothing. Columns that are no field of an example stand as JSON in the column ``other``; the rowid
    is the line.

    Args:
        source: JSON Lines, gzipped or not.
        store: where the database goes; must not exist.
        id: column that holds the record id; a row without one is named after the file and its place.
        columns: field of ``Example`` -> column of the file, where they differ.

    Returns:
        The store, open.

    Raises:
        StoreError: a line is malformed, two share an id (both are named), or the store exists. Nothing is left then.
        MissingExtra: apsw is not installed.
    """
    source, store = Path(source), Path(store)
    names = {field: field for field in FIELDS} | dict(columns or {}) | {"record_id": id}
    apsw = need("apsw", to="a SQLite store")
    with _new(store) as part, closing(connect(part, create=True)) as base:
        # The part is thrown away by whoever finds it, so it needs no journal of its own.
        for name, value in (("journal_mode", "OFF"), ("synchronous", 0), ("cache_size", -8000)):
            base.pragma(name, value)
        base.execute(_schema())
        at = [0]
        marks = ", ".join("?" * (len(FIELDS) + 2))
        base.execute("BEGIN")
        try:
            into = f"INSERT INTO {TABLE} (rowid, {', '.join(FIELDS)}, other) VALUES ({marks})"
            base.executemany(into, _bound(source, names, at))
        except apsw.ConstraintError as error:
            raise _twice(base, source, names, at[0]) from error
        base.execute("COMMIT")
    return SqliteStore(store)


def _bound(source: Path, names: Mapping[str, str], at: list[int]) -> Iterator[tuple[Any, ...]]:
    """The values of each row, checked; ``at[0]`` is the line that was read last."""
    stem, size, known = stem_of(source), 0, set(names.values())
    for position, (number, offset, text) in enumerate(lines_of(source)):
        at[0] = number
        if position % BETWEEN_REPORTS == 0:
            size = size or source.stat().st_size
            report("ingesting", min(offset, size), size, f"{position} rows")
        where = f"{source}:{number}"
        row = parse(text, where)
        example = to_example(row, where=where, default_id=named_after(stem, position), columns=names)
        other = {name: value for name, value in row.items() if name not in known}
        cells = (getattr(example, field) for field in FIELDS)
        stored = (json.dumps(cell, ensure_ascii=False) if isinstance(cell, tuple) and cell else cell for cell in cells)
        yield number, *(cell or None for cell in stored), json.dumps(other) if other else None
    report("ingesting", size, size)


def _twice(base: Any, source: Path, names: Mapping[str, str], line: int) -> StoreError:
    """The error that names both lines of an id."""
    for position, (number, _, text) in enumerate(lines_of(source)):
        if number == line:
            where = f"{source}:{line}"
            default = named_after(stem_of(source), position)
            name = to_example(parse(text, where), where=where, default_id=default, columns=names).record_id
            first = base.execute(f"SELECT rowid FROM {TABLE} WHERE record_id = ?", (name,)).fetchall()
            return StoreError(
                f"two records share the id {name!r}",
                why=f"{source}:{first[0][0]} and {where}",
                next="Give every record an id of its own",
            )
    return StoreError(f"{source} changed while it was read", next="Try again")


@contextmanager
def _new(path: Path) -> Generator[Path]:
    """Yield an empty hidden part, held against other processes, that gets the name on success.

    Raises:
        StoreError: the name is taken, or another process is writing it.
    """
    if path.exists():
        raise StoreError(f"{path} is there already", next="Choose another name, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}{PART}ingest")
    handle = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"another process is writing {path}", next="Wait for it") from error
        try:
            os.ftruncate(handle, 0)
            yield part
            os.fsync(handle)
            part.chmod(0o644)
            part.rename(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    finally:
        os.close(handle)
