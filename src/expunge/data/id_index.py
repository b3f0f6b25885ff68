"""Many record ids in little memory: their UTF-8 bytes in one block, and 24 bytes each to find them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import overload

import numpy as np

from expunge.core.errors import StoreError


def _hash(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


class IdIndex(Sequence[str]):
    """Ids in order, found by hash and then compared, so that a collision does no harm.

    Args:
        ids: read once.
        where: position -> where that row stands, for the error message.

    Raises:
        StoreError: two records share an id.
    """

    def __init__(self, ids: Iterable[str], *, where: Callable[[int], str]) -> None:
        block, ends, hashes = bytearray(), array("Q", [0]), array("Q")
        for name in ids:
            text = name.encode()
            block += text
            ends.append(len(block))
            hashes.append(_hash(text))
        self._block, self._ends = bytes(block), ends
        drawn = np.frombuffer(hashes, dtype=np.uint64)
        self._order = np.argsort(drawn, kind="stable")
        self._hashes = drawn[self._order]
        self._check_unique(where)

    def _check_unique(self, where: Callable[[int], str]) -> None:
        for place in np.flatnonzero(self._hashes[1:] == self._hashes[:-1]):
            first = int(self._order[place])
            again = [p for p in self._positions(_hash(self._text(first))) if self._text(p) == self._text(first)]
            if len(again) > 1:
                raise StoreError(
                    f"two records share the id {self[first]!r}",
                    why=f"{where(again[0])} and {where(again[1])}",
                    next="Give every record an id of its own",
                )

    def _text(self, position: int) -> bytes:
        return self._block[self._ends[position] : self._ends[position + 1]]

    def _positions(self, hashed: int) -> Iterator[int]:
        place = int(np.searchsorted(self._hashes, np.uint64(hashed)))
        while place < len(self._hashes) and int(self._hashes[place]) == hashed:
            yield int(self._order[place])
            place += 1

    def find(self, name: str) -> int | None:
        """Position of an id, None if it is not there."""
        text = name.encode(errors="surrogatepass")
        return next((p for p in self._positions(_hash(text)) if self._text(p) == text), None)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __len__(self) -> int:
        return len(self._hashes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        places = range(len(self))[index]
        return self._text(places).decode() if isinstance(places, int) else [self._text(p).decode() for p in places]
