"""What a compressed or encoded file holds, as plain streams, as far as a reader is at hand.

A format is known by the first bytes of a file: a compressed part that starts further inside is not seen.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import IO, Any, cast

from expunge.retrieval.inflating import Inflated, is_zlib

DEPTH = 4
"""Archives in archives are opened this deep."""
HEAD = 4096
"""Bytes from which a format is known."""

_OPAQUE = {
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\xff\x06\x00\x00sNaPpY": "Snappy",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
    b"ORC": "ORC",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"%PDF-": "PDF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"Obj\x01": "Avro",
}
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
DAMAGED = (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What readers raise, here and while a stream is read, on a damaged or encrypted file."""


class Blind(Exception):
    """The bytes of a file do not show what it holds, and why."""


def decoded(stream: IO[bytes], depth: int = DEPTH) -> Iterator[IO[bytes]]:
    """The decoded contents of a file, stream by stream; nothing for a file of plain bytes.

    Args:
        stream: seekable, open for reading.
        depth: archives within archives that are still opened.

    Raises:
        Blind: the format is known and has no reader here, or the file is damaged or encrypted.
    """
    stream.seek(0)
    head = stream.read(HEAD)
    for magic, name in _OPAQUE.items():
        if head.startswith(magic):
            raise Blind(f"{name} has no reader here")
    if depth == DEPTH and _tail(stream) == b"LANC":
        raise Blind("Lance encodes what it holds")
    stream.seek(0)
    try:
        if head.startswith((b"PAR1", b"ARROW1")):
            yield from _arrow(stream, parquet=head.startswith(b"PAR1"))
            return
        for part in _parts(stream, head):
            if depth <= 0:
                raise Blind(f"archives in archives, more than {DEPTH} deep")
            yield part
            yield from decoded(part, depth - 1)
    except DAMAGED as error:
        raise Blind(f"cannot be decoded: {type(error).__name__}") from error


def _tail(stream: IO[bytes]) -> bytes:
    stream.seek(max(0, stream.seek(0, io.SEEK_END) - 4))
    return stream.read(4)


def _parts(stream: IO[bytes], head: bytes) -> Iterator[IO[bytes]]:
    for magic, opener in _COMPRESSED.items():
        if head.startswith(magic):
            with cast("AbstractContextManager[IO[bytes]]", opener(stream, "rb")) as part:
                yield part
            return
    if is_zlib(head):
        yield cast("IO[bytes]", io.BufferedReader(Inflated(stream)))
    elif head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                with archive.open(info) as part:
                    yield part


def _arrow(stream: IO[bytes], *, parquet: bool) -> Iterator[IO[bytes]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise Blind("Parquet and Arrow files need the extra 'stores'") from None
    try:
        if parquet:
            batches = pq.ParquetFile(stream).iter_batches()
        else:
            reader = pa.ipc.open_file(stream)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        for batch in batches:
            for column in batch.columns:
                yield from _buffers(pa, column)
    except pa.ArrowException as error:
        raise Blind(f"cannot be decoded: {type(error).__name__}") from error


def _buffers(pa: Any, array: Any) -> Iterator[IO[bytes]]:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_dictionary(array.type):
        yield from _buffers(pa, array.dictionary)
    elif "dictionary<" in str(array.type):
        raise Blind("a dictionary inside a nested column")
    else:
        yield from (io.BytesIO(buffer) for buffer in array.buffers() if buffer is not None)
