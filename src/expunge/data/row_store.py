"""What stores of rows share: ids, streaming, digests, and an erasure that is whole or did not happen."""

from __future__ import annotations

import fcntl
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, overload

from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.example import Example, Examples, records_digest
from expunge.core.files import PART
from expunge.data.id_index import IdIndex
from expunge.data.rows import named_after, require_known, stem_of, to_example

SHARD = 1024
"""Records of a shard: what streaming holds at a time."""


class Shards(Sequence[Examples]):
    """Examples in order, ``SHARD`` at a time; iterating reads them once and holds one shard.

    Args:
        count: number of examples.
        read: position -> the examples from there on.
    """

    def __init__(self, count: int, read: Callable[[int], Iterator[Example]]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return -(-self._count // SHARD)

    @overload
    def __getitem__(self, index: int) -> Examples: ...
    @overload
    def __getitem__(self, index: slice) -> list[Examples]: ...
    def __getitem__(self, index: int | slice) -> Examples | list[Examples]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return Examples(islice(self._read(places * SHARD), SHARD))
        return [self[place] for place in places]

    def __iter__(self) -> Iterator[Examples]:
        stream = self._read(0)
        while items := tuple(islice(stream, SHARD)):
            yield Examples(items)


class RowStore(ABC):
    """Rows in a file or folder, addressed by position. A subclass reads and rewrites them.

    Args:
        path: of the file or folder; links are followed, since erasing must reach what they lead to.
        columns: field of ``Example`` -> column of the file, where they differ.
    """

    def __init__(self, path: Path, columns: Mapping[str, str] | None) -> None:
        self.path, self.columns = Path(path).resolve(), dict(columns or {})
        self.stem = stem_of(self.path)
        self.key = self.columns.get("record_id", "record_id")
        self._stamp = stamp_of(self.path)
        self._digest = ""
        self._ids = self._index()

    @abstractmethod
    def _index(self) -> IdIndex:
        """Read what has to be known about the rows, and check it."""

    @abstractmethod
    def _rows(self, start: int) -> Iterator[tuple[str, Any]]:
        """(where it stands, row) from a position on."""

    @abstractmethod
    def _rewrite(self, gone: Sequence[int]) -> None:
        """Replace file or folder in one step by one without these positions. A row without an id gets its name."""

    def _picked(self, positions: Sequence[int]) -> Iterator[tuple[str, Any]]:
        """(where it stands, row) at sorted positions."""
        stream, at = self._rows(positions[0]), positions[0]
        for position in positions:
            yield next(islice(stream, position - at, None))
            at = position + 1

    def _example(self, position: int, where: str, row: Any) -> Example:
        return to_example(row, where=where, default_id=named_after(self.stem, position), columns=self.columns)

    def check_unchanged(self) -> None:
        """Raise if another process wrote to the file since it was opened.

        Raises:
            StoreError: it did, or the file is gone.
        """
        if stamp_of(self.path) != self._stamp:
            raise StoreError(f"{self.path} changed since it was opened", next="Open it again")

    def ids(self) -> Sequence[str]:
        """All ids, in order."""
        return self._ids

    def examples(self, start: int = 0) -> Iterator[Example]:
        """The examples from a position on, read one after another."""
        self.check_unchanged()
        for position, (where, row) in enumerate(self._rows(start), start):
            yield self._example(position, where, row)

    def get(self, ids: Iterable[str]) -> Examples:
        """The examples with these ids, in the order asked.

        Raises:
            StoreError: an id is not in the store.
        """
        wanted = tuple(ids)
        places = {name: self._ids.find(name) for name in wanted}
        require_known([name for name in wanted if places[name] is None])
        self.check_unchanged()
        positions = sorted({place for place in places.values() if place is not None})
        picked = zip(positions, self._picked(positions), strict=True) if positions else ()
        found = {position: self._example(position, *row) for position, row in picked}
        return Examples(found[place] for name in wanted if (place := places[name]) is not None)

    def all(self) -> Examples:
        """Every example, in memory."""
        return Examples(self.examples())

    def shards(self) -> Sequence[Examples]:
        """All examples, ``SHARD`` at a time."""
        return Shards(len(self._ids), self.examples)

    def digest(self) -> str:
        """Digest over all records, whatever their order."""
        self.check_unchanged()
        self._digest = self._digest or records_digest(self.examples())
        return self._digest

    def erase(self, ids: Iterable[str]) -> Receipt:
        """Rewrite file or folder without the records, in one step. Freed disk blocks are not scanned: BLIND.

        Returns:
            RESIDUE where a link keeps the old bytes under another name.

        Raises:
            StoreError: an id is not in the store, or another process is writing to it; nothing is changed.
        """
        wanted = tuple(dict.fromkeys(ids))
        places = [self._ids.find(name) for name in wanted]
        require_known([name for name, place in zip(wanted, places, strict=True) if place is None])
        gone = sorted(place for place in places if place is not None)
        if not gone:
            return Receipt(store=self.path.name, status="BLIND")
        with held(self.path):
            self.check_unchanged()
            linked = [p.name for p in files_of(self.path) if p.is_symlink() or p.stat().st_nlink > 1]
            self._rewrite(gone)
        self._stamp, self._digest = stamp_of(self.path), ""
        self._ids = self._index()
        if linked:
            return Receipt(self.path.name, "RESIDUE", len(gone), tuple(f"what {name} is linked to" for name in linked))
        return Receipt(store=self.path.name, status="BLIND")


def files_of(path: Path) -> list[Path]:
    """The file itself, or all files below a folder."""
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def stamp_of(path: Path) -> tuple[Any, ...]:
    """What tells whether a file, or any file of a folder, was written to.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        stats = [p.stat() for p in files_of(path)]
    except OSError as error:
        raise StoreError(f"cannot read {path}", why=error.strerror or str(error), next="Check the path") from error
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in stats)


@contextmanager
def held(path: Path) -> Generator[None]:
    """Hold a file or folder against another erasure, and remove what a killed one left beside it.

    Raises:
        StoreError: another process holds it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"another process is writing to {path}", next="Try again when it is done") from error
        if os.fstat(handle).st_ino != path.stat().st_ino:
            raise StoreError(f"{path} changed since it was opened", next="Open it again")
        for left in [p for p in path.parent.iterdir() if p.name.startswith(f".{path.name}{PART}")]:
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
        yield
    finally:
        os.close(handle)
