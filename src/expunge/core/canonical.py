"""Canonical bytes and digests: RFC 8785 JSON in which every number is a decimal string."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import re
from pathlib import Path
from typing import Any, cast

import rfc8785

from expunge.core.errors import StoreError


def decimal(value: float) -> str:
    """The shortest decimal string that reads back as the same double.

    Args:
        value: () any unit. A finite number, or nan / inf, which are spelled out.

    Returns:
        A string, stable over platforms.

    >>> decimal(0.1), decimal(3), decimal(float("inf"))
    ('0.1', '3', 'inf')
    """
    if isinstance(value, bool):
        raise TypeError("a bool is not a number here")
    return str(value) if isinstance(value, int) else repr(float(value))


def plain(value: Any) -> Any:
    """Turn dataclasses, enums, tuples and numbers into what canonical JSON can hold.

    A dataclass becomes an object with its type's bare name under ``type``.
    """
    if type(value) is str:
        return value
    if hasattr(value, "canonical"):
        return plain(value.canonical())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        body = {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": type(value).__name__, **body}
    if isinstance(value, enum.Flag):
        return [flag.name for flag in type(value) if flag in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        items = cast("list[Any]", value)
        return list(items) if set(map(type, items)) == {str} else [plain(item) for item in items]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in cast("set[Any]", value))
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        return decimal(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


def without_defaults(value: Any, *names: str) -> dict[str, Any]:
    """What stands for a noun that got fields later: these are left out at their defaults, so that old digests hold.

    Args:
        value: a dataclass.
        names: of its later fields.
    """
    stated = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    for field in dataclasses.fields(value):
        if field.name in names and stated[field.name] == field.default:
            del stated[field.name]
    return {"type": type(value).__name__, **stated}


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
_LATE = re.compile("[\ud800-\U0010ffff]")
"""Characters that UTF-16 sorts otherwise than Unicode does, and halves of pairs, which are none."""


def canonical_bytes(value: Any) -> bytes:
    """RFC 8785 bytes of ``plain(value)``.

    Without numbers Python's own encoder, many times faster, writes the same but for the order of some keys.

    >>> canonical_bytes({"b": 1.5, "a": (True, None)})
    b'{"a":[true,null],"b":"1.5"}'
    """
    held = plain(value)
    text = _encode(held)
    return text.encode() if text.isascii() or not _LATE.search(text) else rfc8785.dumps(held)


def digest(value: Any) -> str:
    """``sha256:`` and the hex digest of the canonical bytes."""
    return digest_bytes(canonical_bytes(value))


def digest_bytes(data: bytes) -> str:
    """``sha256:`` and the hex digest of raw bytes.

    >>> digest_bytes(b"")[:15]
    'sha256:e3b0c442'
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """Digest of a file's bytes, read in blocks of 1 MiB.

    Raises:
        StoreError: the file cannot be read.
    """
    hasher = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                hasher.update(block)
    except OSError as error:
        raise StoreError(f"cannot read {path}", why=error.strerror or str(error)) from error
    return "sha256:" + hasher.hexdigest()


def digest_folder(path: Path) -> str:
    """Digest over the names and digests of all files below a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return digest({p.relative_to(path).as_posix(): digest_file(p) for p in files})


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StoreError: missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot read {path}", why=error.strerror or str(error)) from error
    except ValueError as error:
        raise StoreError(f"{path} is not JSON", why=str(error)) from error
