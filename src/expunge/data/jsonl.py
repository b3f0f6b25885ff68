"""JSON Lines and JSON files, plain or gzipped, in the TOFU schema."""

from __future__ import annotations

import gzip
import json
import zlib
from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples
from expunge.core.files import replace_file
from expunge.data.id_index import IdIndex
from expunge.data.row_store import RowStore
from expunge.data.rows import to_row

GZIP = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def is_gzip(path: Path) -> bool:
    """Whether a file begins as gzip does."""
    with path.open("rb") as stream:
        return stream.read(2) == GZIP


@contextmanager
def reading(path: Path) -> Generator[Any]:
    """The bytes of a file, unpacked if it is gzipped.

    Raises:
        StoreError: unreadable, or packed bytes that are damaged.
    """
    try:
        with gzip.open(path) if is_gzip(path) else path.open("rb") as stream:
            yield stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise StoreError(f"{path} is damaged", why=str(error)) from error
    except OSError as error:
        raise StoreError(f"cannot read {path}", why=error.strerror or str(error), next="Check the path") from error


def parse(text: bytes, where: str) -> Any:
    """The value that a line holds.

    Raises:
        StoreError: it is no UTF-8 or no JSON.
    """
    try:
        return json.loads(text.decode())
    except UnicodeDecodeError as error:
        raise StoreError(f"{where} is not UTF-8 text", why=str(error)) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{where} is not JSON", why=str(error)) from error


def lines_of(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line, offset, bytes) of the lines that are not blank, one read at a time. The byte order mark is left out."""
    with reading(path) as stream:
        offset = 0
        for number, line in enumerate(stream, 1):
            text = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
            if text.strip():
                yield number, offset + len(line) - len(text), text
            offset += len(line)


def read_array(path: Path) -> list[Any] | None:
    """The rows of a JSON array, all in memory; None if the file holds lines.

    Raises:
        StoreError: unreadable, or not JSON.
    """
    first = next(lines_of(path), (0, 0, b""))[2]
    if not first.lstrip().startswith(b"["):
        return None
    with reading(path) as stream:
        return parse(stream.read().removeprefix(BYTE_ORDER_MARK), str(path))


def dump_examples(examples: Iterable[Example]) -> bytes:
    """JSON Lines bytes, one example a line, empty fields left out."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    return "".join(encode(to_row(e)) + "\n" for e in examples).encode()


class JsonlStore(RowStore):
    """A file of JSON Lines, read a line at a time, or a JSON array, which is held whole.

    A row without an id is named after the file and its place; when a row is erased the others take their names along,
    and all else of theirs stays as it stands in the file.

    Args:
        path: the file.
        columns: field of ``Example`` -> column of the file, where they differ.

    Raises:
        StoreError: unreadable, not JSON, a column missing, or an id used twice.
    """

    def __init__(self, path: Path, *, columns: Mapping[str, str] | None = None) -> None:
        super().__init__(path, columns)

    def _index(self) -> IdIndex:
        self._array = read_array(self.path)
        self._offsets, self._numbers = array("Q"), array("Q")
        return IdIndex(self._checked(), where=self._where)

    def _where(self, position: int) -> str:
        return f"{self.path}{f', row {position + 1}' if self._array is not None else f':{self._numbers[position]}'}"

    def _checked(self) -> Iterator[str]:
        for position, row in enumerate(self._array or ()):
            yield self._example(position, self._where(position), row).record_id
        if self._array is None:
            for position, (number, offset, text) in enumerate(lines_of(self.path)):
                self._offsets.append(offset)
                self._numbers.append(number)
                where = self._where(position)
                yield self._example(position, where, parse(text, where)).record_id

    def _rows(self, start: int) -> Iterator[tuple[str, Any]]:
        for position, text in self._texts(range(start, len(self._ids))):
            yield self._where(position), text if self._array is not None else parse(text, self._where(position))

    def _picked(self, positions: Sequence[int]) -> Iterator[tuple[str, Any]]:
        for position, text in self._texts(positions):
            yield self._where(position), text if self._array is not None else parse(text, self._where(position))

    def _texts(self, positions: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """(position, line) of sorted positions, or (position, row) of an array."""
        if self._array is not None:
            yield from ((position, self._array[position]) for position in positions)
            return
        with reading(self.path) as stream:
            for position in positions:
                if stream.tell() != self._offsets[position]:
                    stream.seek(self._offsets[position])
                yield position, stream.readline()

    def _rewrite(self, gone: Sequence[int]) -> None:
        out = set(gone)
        kept = (position for position in range(len(self._ids)) if position not in out)
        with replace_file(self.path, mode=self.path.stat().st_mode & 0o7777) as fresh, fresh.open("wb") as raw:
            packed = gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) if is_gzip(self.path) else None
            stream: Any = packed or raw
            opening, between, end = (b"[\n", b",\n", b"\n]\n") if self._array is not None else (b"", b"", b"")
            stream.write(opening)
            for number, (position, text) in enumerate(self._texts(kept)):
                stream.write((between if number else b"") + self._named(position, text))
            stream.write(end)
            if packed:
                packed.close()

    def _named(self, position: int, text: Any) -> bytes:
        """The row's own bytes; written anew where it must take a name along."""
        row = text if self._array is not None else parse(text, self._where(position))
        if row.get(self.key) is None:
            row = {**row, self.key: self._ids[position]}
        elif self._array is None:
            return text if text.endswith(b"\n") else text + b"\n"
        return (json.dumps(row, ensure_ascii=False) + ("\n" if self._array is None else "")).encode()


def read_examples(path: Path, *, columns: Mapping[str, str] | None = None) -> Examples:
    """All of a JSON or JSON Lines file, in memory. A row without an id is named after the file and its position.

    Raises:
        StoreError: unreadable, not JSON, a column missing, or an id used twice.
    """
    return JsonlStore(Path(path), columns=columns).all()
