"""The log in ``EXPUNGE_HOME``: leaves, the nodes of their Merkle tree and signed checkpoints in one SQLite file.

Every append is one transaction that ends in a checkpoint, so a killed writer leaves nothing half-appended and two
writers take turns. A proof reads O(log n) nodes.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expunge.core.errors import LedgerError
from expunge.ledger import checkpoint as notes
from expunge.ledger import leaf as leaves
from expunge.ledger import tree
from expunge.ledger.checkpoint import Checkpoint
from expunge.ledger.home import private_folder
from expunge.ledger.keys import PublicKey, Signer
from expunge.ledger.leaf import Entry, Kind, Leaf, State

FOLDER, FILE = "ledger", "log.db"
FORMAT = 1
PATIENCE = 60.0
"""Seconds to wait for another writer."""
PAUSE = 0.005
"""Seconds between two tries to make a new log."""
LEVEL_BITS = 48
_TABLES = """
CREATE TABLE leaves (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, mark INTEGER NOT NULL);
CREATE INDEX marks ON leaves (mark);
CREATE TABLE nodes (place INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
CREATE TABLE keys (after INTEGER PRIMARY KEY, public BLOB NOT NULL);
"""


def mark(said: bytes) -> int:
    """A number by which leaves that say the same are found; whoever reads compares them whole.

    Args:
        said: ``leaf.spell(entry.body)``.
    """
    return int.from_bytes(hashlib.sha256(said).digest()[:8], "big", signed=True)


def place(level: int, index: int) -> int:
    """Where a node is stored."""
    return level << LEVEL_BITS | index


def log_path(home: Path) -> Path:
    """Where a home keeps its log. Creates nothing."""
    return home / FOLDER / FILE


def origin_of(keyid: str) -> str:
    """The name of a log by its first key."""
    return f"expunge/{keyid.removeprefix('ed25519:')[:16]}"


def key_digest(key: PublicKey) -> str:
    """A key as a leaf names it."""
    return key.keyid.replace("ed25519:", "sha256:", 1)


class Log:
    """A log, open for reading or appending. Close it, or use it in a ``with``.

    Args:
        path: of the file; ``log_path(home)`` as a rule.
        create: make it if it is absent.

    Raises:
        LedgerError: there is none, or it is no log.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path
        if create:
            private_folder(private_folder(path.parent.parent) / path.parent.name)
        elif not path.is_file():
            raise LedgerError(
                f"there is no log at {path}", next="Whatever is certified is logged there, in EXPUNGE_HOME"
            )
        try:
            mode = "rwc" if create else "rw"
            self._db = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=PATIENCE, isolation_level=None
            )
            self._prepare(create)
        except sqlite3.Error as error:
            raise LedgerError(f"cannot open the log {path}", why=str(error)) from error

    def _prepare(self, create: bool) -> None:
        run = self._db.execute
        run("PRAGMA synchronous = FULL")
        run("PRAGMA cache_size = -65536")
        if create and self._one("PRAGMA user_version") == 0:
            self._switch_to_wal()
            run("BEGIN IMMEDIATE")
            if self._one("PRAGMA user_version") == 0:
                for statement in _TABLES.split(";"):
                    run(statement)
                run(f"PRAGMA user_version = {FORMAT}")
            run("COMMIT")
            self.path.chmod(0o600)
        if self._one("PRAGMA user_version") != FORMAT:
            raise LedgerError(f"{self.path} is no log of this version")

    def _switch_to_wal(self) -> None:
        """Wait for others that open a new log. SQLite's own patience does not cover the switch: two that both read and
        both want to write would wait for each other, so it refuses one at once."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(PAUSE)
            else:
                return

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def rows(self, query: str, *values: int) -> Iterator[Any]:
        """Rows of a query.

        Raises:
            LedgerError: the file is damaged.
        """
        try:
            # Not "yield from": it closes the cursor of a query that is not read to its end, maybe after the database.
            for row in self._db.execute(query, values):  # noqa: UP028
                yield row
        except sqlite3.Error as error:
            raise LedgerError(f"cannot read the log {self.path}", why=str(error)) from error

    def _one(self, query: str, *values: int) -> Any:
        row = next(self.rows(query, *values), None)
        return None if row is None else row[0]

    @property
    def size(self) -> int:
        """Leaves."""
        last = self._one("SELECT max(seq) FROM leaves")
        return 0 if last is None else last + 1

    def owners(self) -> list[tuple[int, PublicKey]]:
        """(size, key): each key signs the checkpoints larger than that size, up to the next key's."""
        return [
            (after, PublicKey(raw))
            for after, raw in self.rows("SELECT after, CAST(public AS BLOB) FROM keys ORDER BY after")
        ]

    @property
    def origin(self) -> str:
        """The log's name, made of its first key; empty before the first leaf."""
        keys = self.owners()
        return origin_of(keys[0][1].keyid) if keys else ""

    def body(self, seq: int) -> bytes:
        """The bytes of a leaf.

        Raises:
            LedgerError: there is no such leaf.
        """
        found = self._one("SELECT CAST(body AS BLOB) FROM leaves WHERE seq = ?", seq)
        if found is None:
            raise LedgerError(f"leaf {seq} is missing", why=f"the log has {self.size}")
        return found

    def bodies(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """(seq, bytes) of the leaves from a place on."""
        return self.rows("SELECT seq, CAST(body AS BLOB) FROM leaves WHERE seq >= ? ORDER BY seq", start)

    def marks(self) -> Iterator[int]:
        """The marks of all leaves, in their order."""
        return (row[0] for row in self.rows("SELECT mark FROM leaves WHERE seq >= 0 ORDER BY seq"))

    def node(self, level: int, index: int) -> bytes:
        """A stored hash of the tree.

        Raises:
            LedgerError: it is missing.
        """
        found = self._one("SELECT CAST(hash AS BLOB) FROM nodes WHERE place = ?", place(level, index))
        if found is None:
            raise LedgerError(f"node {index} of level {level} is missing from the tree")
        return found

    def nodes(self, level: int) -> Iterator[bytes]:
        """The stored hashes of one level, from left to right."""
        query = "SELECT CAST(hash AS BLOB) FROM nodes WHERE place BETWEEN ? AND ? ORDER BY place"
        return (row[0] for row in self.rows(query, place(level, 0), place(level + 1, 0) - 1))

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """(size, note) of all kept checkpoints, by size."""
        return self.rows("SELECT size, CAST(note AS TEXT) FROM checkpoints ORDER BY size")

    def checkpoint(self, above: int | None = None) -> Checkpoint:
        """The last checkpoint, or the smallest that holds leaf ``above``.

        Raises:
            LedgerError: there is none.
        """
        query = "SELECT CAST(note AS TEXT) FROM checkpoints "
        if above is None:
            found = self._one(f"{query} ORDER BY size DESC LIMIT 1")
        else:
            found = self._one(f"{query} WHERE size > ? ORDER BY size LIMIT 1", above)
        if found is None:
            raise LedgerError("the log has no such checkpoint", why="it is empty, or its tail was cut")
        return notes.parse(found)

    def inclusion(self, seq: int, size: int) -> list[bytes]:
        """The inclusion proof of a leaf in the first ``size`` leaves."""
        return tree.inclusion_path(seq, size, self.node)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The proof that the first ``second`` leaves begin with the first ``first``."""
        return tree.consistency_path(first, second, self.node)

    def find(self, entry: Entry) -> int | None:
        """The place of the first leaf that says the same."""
        for seq, found in self.rows(
            "SELECT seq, CAST(body AS BLOB) FROM leaves WHERE mark = ? ORDER BY seq", mark(leaves.spell(entry.body))
        ):
            if leaves.read(found).entry == entry:
                return seq
        return None

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Read the log as it is now, whatever others append meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    @contextmanager
    def writing(self) -> Generator[None]:
        """Hold the log against other writers. What is appended inside is there when the block ends, or not at all.

        Raises:
            LedgerError: another writer does not let go of it, or the file cannot be written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise LedgerError(f"cannot write the log {self.path}", why=str(error)) from error

    def append(self, entries: Sequence[Entry], signer: Signer, *, once: bool = False) -> list[int]:
        """Append leaves and a checkpoint over them. The first leaf of a log names its key.

        Args:
            entries: what happened.
            signer: with the log's key.
            once: for each entry take the leaf that says the same, if there is one.

        Returns:
            The places of the leaves.

        Raises:
            LedgerError: the signer's key is not the log's, or what the leaves would follow was tampered with.
        """
        with self.writing():
            return self.append_within(entries, signer, once=once)

    def append_within(self, entries: Sequence[Entry], signer: Signer, *, once: bool = False) -> list[int]:
        """``append`` inside a ``writing`` block."""
        if not self.size:
            self._adopt(signer.public, 0)
            created = Entry(Kind.KEY, state=State.CREATED, digests={"key": key_digest(signer.public)})
            self._extend([created], signer)
        if not once:
            return self._extend(entries, signer) if entries else []
        places: list[int] = []
        fresh: list[Entry] = []
        start = self.size
        for entry in entries:
            seq = self.find(entry)
            if seq is None:
                if entry not in fresh:
                    fresh.append(entry)
                seq = start + fresh.index(entry)
            places.append(seq)
        if fresh:
            self._extend(fresh, signer)
        return places

    def rotate_within(self, signer: Signer, fresh: PublicKey) -> int:
        """Hand over to another key inside a ``writing`` block: the old key signs the leaf that names the new one."""
        digests = {"before": key_digest(signer.public), "key": key_digest(fresh)}
        [seq] = self.append_within([Entry(Kind.KEY, state=State.ROTATED, digests=digests)], signer)
        self._adopt(fresh, seq + 1)
        return seq

    def _adopt(self, key: PublicKey, after: int) -> None:
        self._db.execute("INSERT INTO keys VALUES (?, ?)", (after, key.raw))

    def _head(self, signer: Signer) -> tuple[tree.Frontier, str]:
        """The right edge and the digest of the last leaf, checked against the last checkpoint."""
        size, keys = self.size, self.owners()
        if not keys or keys[-1][1].raw != signer.public.raw:
            owner = keys[-1][1].keyid if keys else "nobody"
            raise LedgerError(
                "the log belongs to another key",
                why=f"it is {owner}, the signer is {signer.keyid}",
                next="Sign with that key, or start a log of its own in another EXPUNGE_HOME",
            )
        if not size:
            return tree.Frontier(), leaves.NO_LEAF
        last = self.checkpoint()
        frontier = tree.Frontier(size, (self.node(*peak) for peak in tree.peaks_at(size)))
        held = [key for after, key in keys if after < last.size]
        tip = tree.leaf_hash(self.body(size - 1))
        if last.size != size or last.root != frontier.root() or not held or not last.signed_by(held[-1]):
            what = "the log does not end as its last checkpoint says"
        elif tip != self.node(0, size - 1):
            what = f"leaf {size - 1} was changed"
        else:
            return frontier, f"sha256:{tip.hex()}"
        raise LedgerError(what, why="it was tampered with", next="Run expunge ledger check")

    def _extend(self, entries: Sequence[Entry], signer: Signer) -> list[int]:
        frontier, prev = self._head(signer)
        start, actor, now = frontier.size, signer.keyid, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        rows: list[tuple[int, bytes, int]] = []
        nodes: list[tuple[int, bytes]] = []
        for seq, entry in enumerate(entries, start=start):
            body = Leaf(seq, now, actor, prev, entry).body()
            value = tree.leaf_hash(body)
            prev = f"sha256:{value.hex()}"
            rows.append((seq, body, mark(leaves.spell(entry.body))))
            nodes += [(place(level, seq >> level), found) for level, found in frontier.push(value)]
        self._db.executemany("INSERT INTO leaves VALUES (?, ?, ?)", rows)
        self._db.executemany("INSERT INTO nodes VALUES (?, ?)", sorted(nodes))
        made = notes.sign(self.origin, frontier.size, frontier.root(), signer)
        self._db.execute("INSERT INTO checkpoints VALUES (?, ?)", (made.size, str(made.note)))
        return list(range(start, frontier.size))
