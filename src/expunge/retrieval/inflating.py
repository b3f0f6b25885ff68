"""A zlib stream, decompressed as it is read."""

from __future__ import annotations

import codecs
import io
import zlib
from typing import IO

CHUNK = 1 << 16


def is_zlib(head: bytes) -> bool:
    """Whether a file's first bytes are a zlib stream's: the two of its head, and a first block that can be decoded.

    Text may start with "x^", numbers with any of these heads. Streams that need a dictionary are not recognised.

    Args:
        head: enough for the first block's code tables, 4096 bytes.

    >>> is_zlib(zlib.compress(b"tea", 0)), is_zlib(b"x^2 + 3x = 4")
    (True, False)
    """
    if head[:2] not in (b"x\x01", b"x^", b"x\x9c", b"x\xda"):
        return False
    if head[:2] == b"x^" and _is_text(head):
        return False
    try:
        zlib.decompressobj().decompress(head, 1)
    except zlib.error:
        return False
    return True


def _is_text(data: bytes) -> bool:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)


class Inflated(io.RawIOBase):
    """What zlib streams, one after another, hold; seekable by reading again from the start.

    Args:
        packed: seekable, its first byte the first stream's.

    Reading raises ``zlib.error`` or ``EOFError`` where the streams are damaged, cut off, or followed by other bytes.
    """

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._rewind()

    def _rewind(self) -> None:
        self._packed.seek(0)
        self._inflater = zlib.decompressobj()
        self._waiting = b""
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes before the next one, decompressed."""
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Decompress at most as much as there is room for."""
        while len(buffer):
            if self._inflater.eof:
                self._waiting = self._inflater.unused_data or self._packed.read(CHUNK)
                if not self._waiting:
                    return 0
                self._inflater = zlib.decompressobj()
            data = self._waiting or self._packed.read(CHUNK)
            found = self._inflater.decompress(data, len(buffer))
            self._waiting = self._inflater.unconsumed_tail
            if found:
                buffer[: len(found)] = found
                self._at += len(found)
                return len(found)
            if not data and not self._inflater.eof:
                raise EOFError("the zlib stream is cut off")
        return 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; the end is found by decompressing everything before it."""
        if whence == io.SEEK_END:
            while self.read(CHUNK):
                pass
        target = offset + (0 if whence == io.SEEK_SET else self._at)
        if target < 0:
            raise ValueError("before the start")
        if target < self._at:
            self._rewind()
        while self._at < target and self.read(min(CHUNK, target - self._at)):
            pass
        return self._at
