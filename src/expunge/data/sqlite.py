"""SQLite through apsw, with ``secure_delete`` on: what is deleted is overwritten with zeros in the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.example import Example, Examples, records_digest
from expunge.data.extra import need
from expunge.data.row_store import SHARD, Shards
from expunge.data.rows import check_columns, require_known, stem_of, to_example

PATIENCE_MS = 5000
MOST_VALUES = 500
"""Bound values of one statement; SQLite allows more, but not without limit."""


def connect(path: Path, *, create: bool = False) -> Any:
    """An apsw connection on which ``secure_delete`` is on.

    Raises:
        StoreError: unreadable, no SQLite database, or built without secure_delete.
        MissingExtra: apsw is not installed.
    """
    apsw = need("apsw", to="a SQLite store")
    flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    try:
        connection = apsw.Connection(str(path), flags=flags)
        connection.set_busy_timeout(PATIENCE_MS)
        if connection.pragma("secure_delete", True) != 1:
            raise StoreError("SQLite does not erase what it deletes", why="secure_delete cannot be turned on")
        connection.pragma("schema_version")
    except apsw.Error as error:
        raise StoreError(f"cannot read {path} as a SQLite database", why=str(error), next="Check the path") from error
    return connection


def quoted(name: str) -> str:
    """A name as an SQL identifier.

    >>> quoted('a "b" c')
    '"a ""b"" c"'
    """
    return '"' + name.replace('"', '""') + '"'


def groups(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """The values, as many at a time as a statement can bind."""
    return (values[at : at + MOST_VALUES] for at in range(0, len(values), MOST_VALUES))


def marks(values: Sequence[str]) -> str:
    """``(?, ?, ...)`` for these values."""
    return f"({', '.join('?' * len(values))})"


class SqliteStore:
    """A table of a SQLite database. Nothing is held in memory but a page of rows.

    ``perturbed_answer`` is a text that holds a JSON list. A row without an id is named after the file and its rowid,
    which an erasure leaves alone; VACUUM does so only where the table has an INTEGER PRIMARY KEY.

    Args:
        path: of the database.
        columns: field of ``Example`` -> column of the table, where they differ.
        table: its name; needed where several tables have the columns.

    Raises:
        StoreError: unreadable, no such table or column, or an id used twice.
    """

    def __init__(self, path: Path, *, columns: Mapping[str, str] | None = None, table: str | None = None) -> None:
        self.path = Path(path).resolve()
        self.columns = dict(columns or {})
        if not self.path.is_file():
            raise StoreError(f"cannot read {path}", why="there is no such file", next="Check the path")
        self._base = connect(self.path)
        self._apsw = need("apsw", to="a SQLite store")
        self.table = self._chosen(table)
        self._table = quoted(self.table)
        names = check_columns(f"{self.path}, table {self.table},", self._present(self._table), self.columns)
        self._fields = {field: quoted(name) for field, name in names.items() if field != "record_id"}
        self._rowid = self._row_name()
        self._key = self._key_of(names.get("record_id"))
        self._check_unique()
        self._digest: tuple[Any, str] = (None, "")

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._base.execute(sql, values).fetchall()
        except self._apsw.Error as error:
            raise StoreError(f"cannot read {self.path}", why=str(error)) from error

    def _present(self, table: str) -> list[str]:
        return [row[1] for row in self._ask(f"PRAGMA table_info({table})")]

    def _chosen(self, table: str | None) -> str:
        known = [row[0] for row in self._ask("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
        known = [name for name in known if not name.startswith("sqlite_")]
        wanted = {self.columns.get(field, field) for field in ("question", "answer")}
        fit = [name for name in known if wanted <= set(self._present(quoted(name)))]
        found = [name for name in known if name == table] if table else fit or known
        if len(found) == 1:
            return found[0]
        what = f"{self.path} has no table {table!r}" if table else f"{self.path} has {len(found)} tables of records"
        raise StoreError(what, why=f"its tables are {', '.join(known) or 'none'}", next="Name one with table=")

    def _row_name(self) -> str:
        """A name of the rowid that no column has taken."""
        taken = {name.lower() for name in self._present(self._table)}
        free = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
        without = self._ask("SELECT 1 FROM pragma_table_list WHERE name = ? AND wr = 1", (self.table,))
        if free is None or without:
            raise StoreError(f"{self.path}, table {self.table}, has no rowid", next="Copy it into an ordinary table")
        return free

    def _key_of(self, column: str | None) -> str:
        """SQL of a row's id. Plain texts keep their index; BINARY, because ids that differ in case are two."""
        place = f"{self._apsw.format_sql_value(stem_of(self.path))} || printf('-%05d', {self._rowid} - 1)"
        if column is None:
            return f"({place})"
        name = quoted(column)
        other = self._ask(f"SELECT 1 FROM {self._table} WHERE typeof({name}) != 'text' LIMIT 1")
        if not other:
            return f"{name} COLLATE BINARY"
        if column != "record_id" and self._ask(f"SELECT 1 FROM {self._table} WHERE {name} IS NULL LIMIT 1"):
            raise StoreError(f"{self.path} has a row without {column!r}, the column of record ids")
        return f"coalesce(CAST({name} AS TEXT), {place}) COLLATE BINARY"

    def _check_unique(self) -> None:
        twice = self._ask(f"SELECT {self._key} AS k FROM {self._table} GROUP BY k HAVING count(*) > 1 LIMIT 1")
        if twice:
            raise StoreError(f"two records share the id {twice[0][0]!r}", next="Give every record an id of its own")

    def _examples(self, rest: str, values: Sequence[Any] = ()) -> list[tuple[int, Example]]:
        """(rowid, example) of the rows that the rest of a SELECT finds."""
        asked = ", ".join((self._rowid, self._key, *self._fields.values()))
        found: list[tuple[int, Example]] = []
        for rowid, name, *cells in self._ask(f"SELECT {asked} FROM {self._table} {rest}", values):
            where = f"{self.path}, row {rowid}"
            row = dict(zip(self._fields, cells, strict=True))
            if row.get("perturbed_answer") is not None:
                row["perturbed_answer"] = _list(row["perturbed_answer"])
            found.append((rowid, to_example({"record_id": name, **row}, where=where)))
        return found

    def ids(self) -> Sequence[str]:
        """All ids, in the order of rows; each is read when it is asked for."""
        return _Ids(self)

    def count(self) -> int:
        """Number of records."""
        return self._ask(f"SELECT count(*) FROM {self._table}")[0][0]

    def names(self, start: int = 0) -> Iterator[str]:
        """Ids from a position on."""
        for page in self._pages(start, f"{self._rowid}, {self._key}"):
            yield from (name for _, name in page)

    def _pages(self, start: int, asked: str) -> Iterator[list[tuple[Any, ...]]]:
        # Page by page, so that no open statement holds the file against an erasure.
        after = self._before(start)
        rest = f"WHERE {self._rowid} > ? ORDER BY {self._rowid} LIMIT {SHARD}"
        while page := self._ask(f"SELECT {asked} FROM {self._table} {rest}", (after,)):
            yield page
            after = page[-1][0]

    def _before(self, start: int) -> int:
        if not start:
            return -(2**63)
        order = f"SELECT {self._rowid} FROM {self._table} ORDER BY {self._rowid} LIMIT 1 OFFSET ?"
        found = self._ask(order, (start - 1,))
        return found[0][0] if found else 2**63 - 1

    def known(self, names: Sequence[str]) -> set[str]:
        """Those of the names that are ids in the store."""
        sql = f"SELECT {self._key} FROM {self._table} WHERE {self._key} IN "
        # What is no text in Unicode can be no id, and could not be bound.
        names = [name for name in names if name.isascii() or name == name.encode(errors="replace").decode()]
        return {row[0] for some in groups(names) for row in self._ask(sql + marks(some), some)}

    def examples(self, start: int = 0) -> Iterator[Example]:
        """The examples from a position on, read a page at a time."""
        after = self._before(start)
        rest = f"WHERE {self._rowid} > ? ORDER BY {self._rowid} LIMIT {SHARD}"
        while page := self._examples(rest, (after,)):
            yield from (example for _, example in page)
            after = page[-1][0]

    def get(self, ids: Iterable[str]) -> Examples:
        """The examples with these ids, in the order asked.

        Raises:
            StoreError: an id is not in the store.
        """
        wanted = tuple(ids)
        unique = tuple(dict.fromkeys(wanted))
        known = self.known(unique)
        require_known([name for name in wanted if name not in known])
        pages = (self._examples(f"WHERE {self._key} IN {marks(some)}", some) for some in groups(unique))
        found = {example.record_id: example for page in pages for _, example in page}
        return Examples(found[name] for name in wanted)

    def all(self) -> Examples:
        """Every example, in memory."""
        return Examples(self.examples())

    def shards(self) -> Sequence[Examples]:
        """All examples, a page at a time."""
        return Shards(self.count(), self.examples)

    def digest(self) -> str:
        """Digest over all records, whatever their order; kept until the database changes."""
        version = (self._base.pragma("data_version"), self._base.total_changes())
        if self._digest[0] != version:
            self._digest = (version, records_digest(self.examples()))
        return self._digest[1]

    def erase(self, ids: Iterable[str]) -> Receipt:
        """Delete the rows in one transaction; the file holds zeros in their place.

        Returns:
            BLIND, since nobody looked at copies that older deletions, indexes or the disk may hold; RESIDUE where the
            write-ahead log could not be emptied.

        Raises:
            StoreError: an id is not in the store, or the database cannot be written; nothing is changed.
        """
        wanted = tuple(dict.fromkeys(ids))
        try:
            self._base.execute("BEGIN IMMEDIATE")
            try:
                known = self.known(wanted)
                require_known([name for name in wanted if name not in known])
                for some in groups(wanted):
                    self._base.execute(f"DELETE FROM {self._table} WHERE {self._key} IN {marks(some)}", some)
                self._base.execute("COMMIT")
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            log = self.path.with_name(self.path.name + "-wal")
            if self._base.pragma("journal_mode") == "wal" and self._ask("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
                return Receipt(self.path.name, "RESIDUE", len(wanted), (log.name,))
        except self._apsw.Error as error:
            raise StoreError(f"cannot erase from {self.path}", why=str(error), next="Try again") from error
        return Receipt(store=self.path.name, status="BLIND")


def _list(text: Any) -> Any:
    """The list in a text of JSON; whatever else it holds is left for the check of the row."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


class _Ids(Sequence[str]):
    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return self._store.count()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._store.known([name]))

    def __iter__(self) -> Iterator[str]:
        return self._store.names()

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return next(self._store.names(places))
        return [self[place] for place in places]
