"""A datastore: records that are retrieved, never learned. SQLite rows, a text index, and a vector index beside them."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest, digest_bytes
from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.example import Example, Examples
from expunge.core.files import replace_folder, sweep, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Indexed, Provenance
from expunge.retrieval import vector_index
from expunge.retrieval.byte_scan import Marker, markers_of, pieces
from expunge.retrieval.crypto_shred import SubjectKeys
from expunge.retrieval.journal import RECEIPT, Journal, KeyGone, Step
from expunge.retrieval.purging import WORD, purge, resume
from expunge.retrieval.sqlite import check, check_words, connect

DATA, CARD, LOCK = "store.sqlite", "target.json", "store.lock"
_SCHEMA = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE records(n INTEGER PRIMARY KEY AUTOINCREMENT, record_id TEXT UNIQUE NOT NULL, question TEXT, answer TEXT,
    rest TEXT, key_id TEXT, sealed BLOB, vector BLOB);
CREATE VIRTUAL TABLE words USING fts5(question, answer, content='records', content_rowid='n',
    tokenize='unicode61 remove_diacritics 0');
INSERT INTO words(words, rank) VALUES('secure-delete', 1);
CREATE TRIGGER added AFTER INSERT ON records WHEN new.sealed IS NULL BEGIN
    INSERT INTO words(rowid, question, answer) VALUES (new.n, new.question, new.answer); END;
CREATE TRIGGER erased AFTER DELETE ON records WHEN old.sealed IS NULL BEGIN
    INSERT INTO words(words, rowid, question, answer) VALUES ('delete', old.n, old.question, old.answer); END;
"""
_COLUMNS = "record_id, question, answer, rest, key_id, sealed, vector"
_PLAIN = ("record_id", "question", "answer")


@dataclass(frozen=True)
class Hit:
    """What a search found.

    Args:
        record_id: of the record.
        score: BM25, or minus the squared distance; higher is nearer.
    """

    record_id: str
    score: float


def _fields(example: Example, *without: str) -> dict[str, Any]:
    return {k: v for k, v in asdict(example).items() if v and k not in without}


def _spoken(record_id: str, question: str, answer: str, rest: Mapping[str, Any]) -> Example:
    texts: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in rest.items()}
    return Example(record_id, question, answer, **texts)


def _texts(example: Example) -> list[str]:
    values = _fields(example, "record_id", "role", "relation", "subset", "subgroup").values()
    return [text for value in values for text in ((value,) if isinstance(value, str) else value) if text]


class Files:
    """The datastore as the purge sees it."""

    def __init__(self, store: Datastore) -> None:
        self._store, self.name, self.digest = store, store.name, store.digest

    def erase(self, ids: Sequence[str]) -> None:
        """Delete rows; words leave the text index in the same transaction."""
        db = self._store.checked()
        with db:
            db.executemany("DELETE FROM records WHERE record_id = ?", ((i,) for i in ids))
            self._store.changed()

    def compact(self) -> None:
        """Merge the text index, give back pages if many are free, and rewrite the vector index from what is left.

        No aggregate of erased rows stays: centroids are computed anew, and FTS5 counts for BM25 the rows that it holds.
        """
        db = self._store.checked()
        db.execute("INSERT INTO words(words) VALUES('optimize')")
        if db.pragma("freelist_count") * 4 > db.pragma("page_count"):
            db.execute("VACUUM")
        self._store.reindex()

    def files(self) -> list[Path]:
        """The folder, with whatever lies in it."""
        return [self._store.path]


class Datastore:
    """Records with texts and vectors in a folder, for one process at a time. ``Target`` and ``Store`` at once.

    ``erase`` is a purge: rows, words and vectors are removed, and every file is searched for their bytes.

    Args:
        path: a folder that ``create`` or ``save`` made.
        keys: of the subjects, if the records are sealed.

    Raises:
        MissingExtra: apsw is not installed.
        StoreError: no datastore, or another process holds it.
    """

    kind: Literal["datastore"] = "datastore"

    def __init__(self, path: str | Path, *, keys: SubjectKeys | None = None) -> None:
        self.path, self.keys = Path(path), keys
        if not (self.path / DATA).is_file():
            raise StoreError(f"no datastore in {path}", next="Make one with Datastore.create")
        self._lock = (self.path / LOCK).open("wb")
        self._connection: Any = None
        self._index: Any = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(f"{self.path} is in use", why="another process or handle holds the datastore") from error
        sweep(self.path)
        self._connection = connect(self.path / DATA)
        check_words(self._db, "words")
        self._meta: dict[str, str] = dict(self._db.execute("SELECT name, value FROM meta"))
        self.name, self.dimensions = self._meta["store"], int(self._meta["dimensions"])
        if self.sealed and self.keys is None:
            raise StoreError(f"{self.path} is sealed", next="Give the SubjectKeys that its records were sealed with")

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        name: str = "",
        dimensions: int = 0,
        index: Literal["flat", "ivf"] = "flat",
        keys: SubjectKeys | None = None,
    ) -> Datastore:
        """Make an empty datastore.

        Args:
            path: of a folder that does not exist.
            name: under which receipts and guarantees speak of it; the folder's name if empty.
            dimensions: of the vectors, 0 for none.
            index: over the vectors: ``flat`` is exact, ``ivf`` faster on many.
            keys: seal the records, each under its subject's key. Sealed texts cannot be searched, vectors can.

        Raises:
            StoreError: the folder exists, or a setting is unknown.
        """
        path = Path(path)
        if path.exists():
            raise StoreError(f"{path} exists", next="Open it with Datastore(path), or choose another folder")
        if index not in vector_index.KINDS or dimensions < 0:
            raise StoreError("no such index", why=f"got {index!r} of {dimensions} dimensions")
        settings = {"store": name or path.name, "dimensions": dimensions, "index": index, "sealed": int(bool(keys))}
        with replace_folder(path) as fresh:
            db = connect(fresh / DATA)
            with db:
                db.execute(_SCHEMA)
                meta = {**settings, "salt": secrets.token_hex(16), "generation": 0}
                db.executemany("INSERT INTO meta VALUES (?, ?)", ((k, str(v)) for k, v in meta.items()))
            db.close()
            write_json(fresh / CARD, {"kind": cls.kind})
        path.chmod(0o700)
        return cls(path, keys=keys)

    def __enter__(self) -> Datastore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.close()

    @property
    def _db(self) -> Any:
        if self._connection is None:
            raise StoreError(f"the datastore in {self.path} is closed", next="Open it again with Datastore(path)")
        return self._connection

    @property
    def provenance(self) -> Provenance:
        """Records are looked up, not learned."""
        return Indexed(self.name)

    @property
    def sealed(self) -> bool:
        """Whether records are encrypted under their subjects' keys."""
        return self._meta["sealed"] == "1"

    def checked(self) -> Any:
        """The connection, if deleting still overwrites.

        Raises:
            StoreError: a setting was changed.
        """
        check(self._db)
        check_words(self._db, "words")
        return self._db

    def add(self, examples: Iterable[Example], vectors: Any = None) -> None:
        """Add records, all or none.

        Args:
            examples: with ids that are not in the store.
            vectors: (N, D) any unit. One row an example; None in a store without vectors.

        Raises:
            StoreError: an id is taken, the vectors do not fit, or a purge is unfinished.
        """
        items = tuple(examples)
        if Journal(self.path).open:
            raise StoreError("a purge is unfinished", why="new records could not be told from erased ones")
        given = np.zeros((len(items), 0), np.float32) if vectors is None else vectors
        array = vector_index.as_vectors(given, len(items), self.dimensions)
        wanted = [e.record_id for e in items]
        twice = self._known(wanted)
        if twice or len(set(wanted)) < len(wanted):
            raise StoreError("a record id is taken", why=f"{len(twice)} are in the store already, or one comes twice")
        rows = ((*self._row(e), v.tobytes() if self.dimensions else None) for e, v in zip(items, array, strict=True))
        with self.checked():
            self._db.executemany(f"INSERT INTO records({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self.changed()

    def _row(self, example: Example) -> tuple[Any, ...]:
        if self.keys is None or not self.sealed:
            rest = json.dumps(_fields(example, *_PLAIN), ensure_ascii=False)
            return example.record_id, example.question, example.answer, rest, None, None
        body = json.dumps(_fields(example, "record_id"), ensure_ascii=False).encode()
        return (
            example.record_id,
            None,
            None,
            None,
            *self.keys.seal(example.subject or example.record_id, body, example.record_id),
        )

    def changed(self) -> None:
        """Note inside a transaction that the rows are others: an index file of before does not count any more."""
        self._index = None
        self._db.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")

    def _known(self, ids: Iterable[str]) -> set[str]:
        query = "SELECT record_id FROM records WHERE record_id IN (SELECT value FROM json_each(?))"
        return {row[0] for row in self._db.execute(query, (json.dumps(list(ids)),))}

    def ids(self) -> Sequence[str]:
        """All ids, in the order in which they came."""
        return tuple(row[0] for row in self._db.execute("SELECT record_id FROM records ORDER BY n"))

    def __len__(self) -> int:
        return self._db.execute("SELECT count(*) FROM records").get

    def _rows(self, ids: Iterable[str]) -> list[tuple[Any, ...]]:
        wanted = tuple(ids)
        query = f"SELECT {_COLUMNS} FROM records WHERE record_id IN (SELECT value FROM json_each(?))"
        found = {row[0]: row for row in self._db.execute(query, (json.dumps(wanted),))}
        missing = [i for i in wanted if i not in found]
        if missing:
            count = f"{len(missing)} record ids are" if len(missing) > 1 else "a record id is"
            raise StoreError(f"{count} not in the data", why=f"for example {', '.join(missing[:3])}")
        return [found[i] for i in wanted]

    def _example(self, row: tuple[Any, ...]) -> Example:
        record_id, question, answer, rest, key_id, sealed, _ = row
        if sealed is None or self.keys is None:
            return _spoken(record_id, question, answer, json.loads(rest))
        body = json.loads(self.keys.unseal(key_id, sealed, record_id))
        return _spoken(record_id, body.pop("question", ""), body.pop("answer", ""), body)

    def get(self, ids: Iterable[str]) -> Examples:
        """The examples with these ids, in the order asked.

        Raises:
            StoreError: an id is not in the store, or the key of a record was destroyed.
        """
        return Examples(map(self._example, self._rows(ids)))

    def shards(self) -> Sequence[Examples]:
        """One shard."""
        return (self.get(self.ids()),)

    def digest(self) -> str:
        """Salted digest over all rows and vectors, whatever their order."""
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM records")
        hashes = sorted(hashlib.sha256(b"\0".join(_framed(row))).digest() for row in rows)
        return digest([self._meta["salt"], digest_bytes(b"".join(hashes))])

    def oracle(self, access: Access) -> Oracle:
        """A handle that grants searching, and the files."""
        return Oracle(self, access & (Access.TEXT | Access.STORE_FILES))

    def save(self, path: Path) -> Manifest:
        """Write a copy that holds the live rows alone. Keys of subjects are not copied.

        Raises:
            StoreError: a purge is unfinished.
        """
        if Journal(self.path).open:
            raise StoreError("a purge is unfinished", why="a copy might hold what is being erased")
        with replace_folder(Path(path)) as fresh:
            self._db.execute("VACUUM INTO ?", (str(fresh / DATA),))
            shutil.copy(self.path / CARD, fresh / CARD)
        Path(path).chmod(0o700)
        return Manifest(tuple(entry(Path(path), p, personal=p.name == DATA) for p in sorted(Path(path).iterdir())))

    def search(self, query: Any, k: int = 10) -> list[Hit]:
        """The nearest records: by BM25 for a text, by Euclidean distance for a vector.

        Args:
            query: () any text: records with any of its words. Or (D,) a vector.
            k: most hits.

        Raises:
            StoreError: the records are sealed, or the store has no such vectors.
        """
        if k < 1:
            return []
        if isinstance(query, str):
            return self._by_words(query, k)
        vector = vector_index.as_vectors(np.asarray(query)[None], 1, self.dimensions)[0]
        if not self.dimensions:
            raise StoreError("the store has no vectors")
        near = vector_index.nearest(self._current_index(), vector, k)
        query_ids = "SELECT n, record_id FROM records WHERE n IN (SELECT value FROM json_each(?))"
        names = dict(self._db.execute(query_ids, (json.dumps([n for n, _ in near]),)))
        return [Hit(names[n], -far) for n, far in near if n in names]

    def _by_words(self, text: str, k: int) -> list[Hit]:
        if self.sealed:
            raise StoreError("sealed records cannot be searched by text", why="their words are encrypted")
        words = re.findall(r"\w+", text)
        if not words:
            return []
        query = """SELECT record_id, -bm25(words) FROM words JOIN records ON n = words.rowid
            WHERE words MATCH ? ORDER BY bm25(words), n LIMIT ?"""
        return [Hit(*row) for row in self._db.execute(query, (" OR ".join(f'"{w}"' for w in words), k))]

    def _current_index(self) -> Any:
        if self._index is None:
            path = self._index_path()
            self._index = vector_index.read(path, len(self)) if path.exists() else None
        if self._index is None:
            self.reindex()
        return self._index

    def _index_path(self) -> Path:
        generation = self._db.execute("SELECT value FROM meta WHERE name = 'generation'").get
        return self.path / f"vectors-{generation}.faiss"

    def reindex(self) -> None:
        """Build the vector index from the rows, write it under the rows' generation, and remove those of before."""
        path = self._index_path()
        if self.dimensions:
            rows = list(self._db.execute("SELECT n, vector FROM records ORDER BY n"))
            vectors = np.frombuffer(b"".join(row[1] for row in rows), "<f4").reshape(-1, self.dimensions)
            numbers = np.array([row[0] for row in rows], np.int64)
            self._index = vector_index.build(self._meta["index"], numbers, vectors)
            vector_index.write(self._index, path)
        sweep(self.path)
        for old in self.path.glob("vectors-*.faiss"):
            if old != path:
                old.unlink()

    def erase(self, ids: Iterable[str], *, at: Step | None = None) -> Receipt:
        """Purge records. After a kill at any point the same call continues, also when its rows are gone already.

        Args:
            ids: of the records.
            at: told each step as it is done.

        Raises:
            StoreError: an id is not in the store, and was not in the last purge; nothing is changed.
        """
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return Receipt(self.name, "BLIND", where=("no record was named",))
        self.checked()
        journal = Journal(self.path)
        if not journal.open:
            done = None if self._known(wanted) else journal.receipt_for(wanted)
            if done is not None:
                return done
            self._rows(wanted)
        return purge(
            Files(self),
            wanted,
            lambda: self._markers(wanted),
            journal=self.path,
            live=lambda: self._live(set(wanted)),
            extra=None if journal.open else [_fields(e) for e in self._readable(wanted)],
            at=at or (lambda step: None),
        )

    def resume(self, *, final: bool = False) -> Receipt:
        """Carry an unfinished purge to its end, whatever it was of.

        Args:
            final: give up after ``RESIDUE`` too: the journal is destroyed, and the store takes new records again.

        Raises:
            StoreError: there is none.
        """
        return resume(Files(self), self.path, final=final)

    def unfinished(self) -> Examples:
        """The records of an unfinished purge, as the journal keeps them; none if it cannot be read."""
        journal = Journal(self.path)
        if not journal.open:
            return Examples()
        try:
            kept = journal.read()["extra"]
        except (KeyGone, FileNotFoundError):
            return Examples()
        return Examples(_spoken(r.pop("record_id"), r.pop("question", ""), r.pop("answer", ""), r) for r in kept)

    def _readable(self, ids: Iterable[str]) -> Iterator[Example]:
        for row in self._rows(ids):
            try:
                yield self._example(row)
            except StoreError:
                yield Example(row[0], "", "")

    def _markers(self, ids: Sequence[str]) -> list[Marker]:
        found: list[Marker] = []
        for i, row in enumerate(self._rows(ids)):
            vector = [np.frombuffer(row[6], "<f4")] if row[6] is not None else []
            texts = [] if row[5] is not None else _texts(self._example(row))
            found += (Marker(f"{i}/{m.label}", m.data, m.spelling) for m in markers_of(texts, vector))
            found += (Marker(f"{i}/sealed", piece, "raw") for piece in pieces(row[5] or b""))
            words = {w.lower() for text in row[1:3] if text for w in re.findall(r"\w{4,}", text)}
            found += (Marker(f"{i}/word", piece, WORD) for w in words for piece in pieces(w.encode()))
        return found

    def _live(self, gone: set[str]) -> Iterator[bytes]:
        # What the files say of themselves: a word such as "question" stands in the schema too.
        yield from (path.read_bytes() for name in (CARD, RECEIPT) if (path := self.path / name).exists())
        own = [*self._db.execute("SELECT sql FROM sqlite_schema"), *self._db.execute("SELECT name, value FROM meta")]
        own += [*self._db.execute("SELECT k, v FROM words_config"), *self._db.execute("SELECT name FROM sqlite_schema")]
        said = "\0".join(str(value) for row in own for value in row)
        block = [said.encode(), said.lower().encode()]
        for row in self._db.execute(f"SELECT {_COLUMNS} FROM records"):
            if row[0] not in gone:
                texts = "\0".join(text for text in row[:4] if text)
                block += (texts.encode(), texts.lower().encode(), row[5] or b"", row[6] or b"")
            if len(block) > 4000:
                yield b"\0".join(block)
                block = []
        yield b"\0".join(block)


def _framed(row: Sequence[Any]) -> Iterator[bytes]:
    for value in row:
        data = value.encode() if isinstance(value, str) else value or b""
        yield len(data).to_bytes(8, "big") + data
