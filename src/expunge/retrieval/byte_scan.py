"""Byte scan: whether given texts or vectors still lie in any file of a store."""

from __future__ import annotations

import html
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from expunge.core.errors import StoreError
from expunge.core.record import record
from expunge.retrieval.decoding import DAMAGED, Blind, decoded

PIECE = 32
"""Bytes of a marker. A longer value becomes several: a store may split it over pages, or overwrite a part of it."""
CHUNK = 1 << 20
_WORD = 8
_BITS = 20
_MIX = np.uint64(0x9E3779B97F4A7C15)


@record
class Marker:
    """Bytes to look for.

    Args:
        label: what they are a part of, without its content: ``text 3``, ``vector 3``.
        data: the bytes.
        spelling: in which encoding of the whole they stand; pieces of one spelling belong together.
    """

    label: str
    data: bytes
    spelling: str = ""


@dataclass(frozen=True)
class Found:
    """What a scan saw.

    Args:
        hits: by file, how often any marker occurs in it; only files with hits.
        blind: by file, why the scan could not see into it.
        seen: the markers that occurred somewhere.
        files: files that were read.
        scanned: bytes that were read, decoded ones included.
    """

    hits: dict[str, int] = field(default_factory=dict[str, int])
    blind: dict[str, str] = field(default_factory=dict[str, str])
    seen: frozenset[Marker] = frozenset()
    files: int = 0
    scanned: int = 0

    def total(self) -> int:
        """Hits over all files."""
        return sum(self.hits.values())


def pieces(data: bytes) -> list[bytes]:
    """Cut bytes into pieces of ``PIECE``; the last one ends with the data and may overlap the one before.

    >>> [len(piece) for piece in pieces(bytes(70))], pieces(b"short")
    ([32, 32, 32], [b'short'])
    """
    if len(data) <= PIECE:
        return [data] if data else []
    starts = list(range(0, len(data) - PIECE + 1, PIECE))
    if len(data) % PIECE:
        starts.append(len(data) - PIECE)
    return [data[start : start + PIECE] for start in starts]


def spellings(text: str) -> dict[str, bytes]:
    """The encodings in which a text can lie in a file, by name; each byte string once.

    >>> sorted(spellings("né")), sorted(spellings("plain"))
    (['json', 'utf-16-be', 'utf-16-le', 'utf-8'], ['utf-16-be', 'utf-16-le', 'utf-8'])
    """
    escaped = html.escape(text)
    every = {
        "utf-8": text.encode("utf-8", "surrogatepass"),
        "json": json.dumps(text)[1:-1].encode(),
        "json-utf-8": json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass"),
        "html": escaped.encode("utf-8", "surrogatepass"),
        "html-json": json.dumps(escaped)[1:-1].encode(),
        "utf-16-le": text.encode("utf-16-le", "surrogatepass"),
        "utf-16-be": text.encode("utf-16-be", "surrogatepass"),
    }
    distinct: dict[bytes, str] = {}
    for name, data in every.items():
        distinct.setdefault(data, name)
    return {name: data for data, name in distinct.items()}


def markers_of(texts: Iterable[str], vectors: Iterable[Any] = ()) -> tuple[Marker, ...]:
    """Every piece of every spelling of texts, and of vectors as little-endian float32 and float64.

    Args:
        texts: (N,) any text; an empty one has no markers.
        vectors: (M, D) any unit. Rows of numbers.

    Returns:
        Markers labelled ``text 0`` ... and ``vector 0`` ... in the order given.

    >>> [(m.label, m.spelling, m.data) for m in markers_of(["tea"], [[1.5]])][:2]
    [('text 0', 'utf-8', b'tea'), ('text 0', 'utf-16-le', b't\\x00e\\x00a\\x00')]
    """
    found: dict[Marker, None] = {}
    for i, text in enumerate(texts):
        for name, data in spellings(text).items():
            found.update(dict.fromkeys(Marker(f"text {i}", piece, name) for piece in pieces(data)))
    for i, vector in enumerate(vectors):
        for dtype in ("<f4", "<f8"):
            data = np.asarray(vector).astype(dtype).tobytes()
            found.update(dict.fromkeys(Marker(f"vector {i}", piece, dtype) for piece in pieces(data)))
    return tuple(found)


class Searcher:
    """Finds many byte strings in one pass.

    Each string of at least eight bytes is known by an eight-byte word in it that few others have. All words of a chunk
    go through a table of hashes; only those that pass are compared. Shorter strings are looked for one by one.
    """

    def __init__(self, strings: Collection[bytes]) -> None:
        self.longest = max(map(len, strings), default=0)
        self._short = [s for s in set(strings) if 0 < len(s) < _WORD]
        self._by_word: dict[int, list[tuple[int, bytes]]] = {}
        long = {s for s in strings if len(s) >= _WORD}
        words_of = {s: [s[i : i + _WORD] for i in range(0, len(s) - _WORD + 1, 4)] for s in long}
        shared = Counter(word for words in words_of.values() for word in words)
        for string, words in words_of.items():
            own = (i for i, word in enumerate(words) if shared[word] == 1 and len(set(word)) > _WORD // 2)
            start = next(own, None)
            if start is None:
                start = min(range(len(words)), key=lambda i: (shared[words[i]], -len(set(words[i]))))
            word = int.from_bytes(words[start], "little")
            self._by_word.setdefault(word, []).append((4 * start, string))
        self._words = np.array(sorted(self._by_word), dtype=np.uint64)
        self._table = np.zeros(1 << _BITS, dtype=bool)
        self._table[self._slots(self._words)] = True

    @staticmethod
    def _slots(words: np.ndarray) -> np.ndarray:
        return (words * _MIX) >> np.uint64(64 - _BITS)

    def ends(self, data: bytes) -> Iterator[tuple[bytes, int]]:
        """Every occurrence in ``data``: the string and the offset just after it."""
        if self._by_word:
            for shift in range(min(_WORD, max(0, len(data) - _WORD + 1))):
                words = np.frombuffer(data, "<u8", (len(data) - shift) // _WORD, shift)
                passed = np.flatnonzero(self._table[self._slots(words)])
                nearest = np.searchsorted(self._words, words[passed]).clip(max=len(self._words) - 1)
                for at in passed[self._words[nearest] == words[passed]]:
                    for start, string in self._by_word[int(words[at])]:
                        begin = int(at) * _WORD + shift - start
                        if begin >= 0 and data.startswith(string, begin):
                            yield string, begin + len(string)
        for string in self._short:
            at = data.find(string)
            while at >= 0:
                yield string, at + len(string)
                at = data.find(string, at + 1)

    def count(self, stream: IO[bytes]) -> tuple[Counter[bytes], int]:
        """Occurrences in a stream, also across the borders of chunks, and the bytes read."""
        counts: Counter[bytes] = Counter()
        tail, read = b"", 0
        while chunk := stream.read(CHUNK):
            read += len(chunk)
            data = tail + chunk
            counts.update(string for string, end in self.ends(data) if end > len(tail))
            tail = data[-(self.longest - 1) :] if self.longest > 1 else b""
        return counts, read


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    if not root.is_dir():
        yield root.name, root
        return
    for folder, names, files in os.walk(root):
        links = [name for name in names if Path(folder, name).is_symlink()]
        for name in sorted(files + links):
            path = Path(folder, name)
            yield path.relative_to(root).as_posix(), path


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for root in paths:
        if not os.path.lexists(root):
            raise StoreError(f"cannot scan {root}", why="there is no such file or folder")
        for name, path in _files(root):
            while name in named and named[name] != path:
                name = f"{root.name}/{name}" if not name.startswith(f"{root.name}/") else path.as_posix()
            named[name] = path
    return named


def _scan_file(path: Path, searcher: Searcher) -> tuple[Counter[bytes], int, str]:
    if not path.is_file():
        return Counter(), 0, "a link to a folder or to nothing" if path.is_symlink() else "not a regular file"
    inner: Counter[bytes] = Counter()
    try:
        with path.open("rb") as stream:
            counts, read = searcher.count(stream)
            try:
                for part in decoded(stream):
                    more, size = searcher.count(part)
                    inner, read = inner + more, read + size
            except Blind as error:
                return counts | inner, read, str(error)
            except DAMAGED as error:
                return counts | inner, read, f"cannot be decoded: {type(error).__name__}"
            return counts | inner, read, ""
    except OSError as error:
        return Counter(), 0, error.strerror or str(error)


def scan(paths: Iterable[Path], markers: Iterable[Marker]) -> Found:
    """Look for markers in every byte of every file, hidden ones and file names included.

    Folders are walked; a link to a folder is not followed but named as blind. What gzip, bzip2, xz, zlib, zip, Parquet
    or Arrow files hold is decoded and searched too, archives in archives as well. A compressed or encoded file that
    cannot be decoded is named in ``blind``. Where one value lies in a file both raw and decoded, it counts once.

    Args:
        paths: files and folders.
        markers: what to look for.

    Returns:
        Hits and blind spots, by path relative to the folder given, or by name for a file given.

    Raises:
        StoreError: a path does not exist.
    """
    by_data: dict[bytes, list[Marker]] = {}
    for marker in markers:
        by_data.setdefault(marker.data, []).append(marker)
    searcher = Searcher(by_data)
    hits: dict[str, int] = {}
    blind: dict[str, str] = {}
    seen: set[bytes] = set()
    scanned = 0
    named = _named(paths)
    for name, path in sorted(named.items()):
        counts, read, why = _scan_file(path, searcher)
        counts.update(string for string, _ in searcher.ends(os.fsencode(name)))
        scanned += read
        seen.update(counts)
        if counts:
            hits[name] = counts.total()
        if why:
            blind[name] = why
    return Found(hits, blind, frozenset(m for data in seen for m in by_data[data]), len(named), scanned)
