"""Files that are either whole or absent: written to a temporary name, synced, renamed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

PART = ".part-"


def sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replace_file(path: Path, *, mode: int = 0o644) -> Generator[Path]:
    """Yield an empty file beside ``path`` that takes its place on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}{PART}")
    os.close(handle)
    fresh = Path(name)
    try:
        yield fresh
        with fresh.open("rb") as stream:
            os.fsync(stream.fileno())
        fresh.chmod(mode)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file in one step; a reader sees the old bytes or the new ones."""
    with replace_file(path, mode=mode) as fresh:
        fresh.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys and a final newline. NaN is refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def delete(path: Path) -> None:
    """Unlink a file or a link, if it is there, and sync its folder, so that a crash does not bring it back."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written below a folder. The caller holds the folder against others."""
    for path in sorted(folder.rglob(f".*{PART}*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync_folders(root: Path) -> None:
    for folder in (root, *(p for p in root.rglob("*") if p.is_dir())):
        sync_folder(folder)


def _exchanged(one: Path, other: Path) -> bool:
    """Swap two folders in one step (renameat2 of Linux); False where system or file system cannot."""
    here, swap = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h>
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), swap) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _swap(one: Path, other: Path) -> None:
    """Swap two folders. Where that takes two steps, a kill between them leaves the old one beside its name, whole."""
    if _exchanged(one, other):
        return
    aside = Path(tempfile.mkdtemp(dir=other.parent, prefix=f".{other.name}{PART}"))
    other.rename(aside / other.name)
    try:
        one.rename(other)
    except BaseException:
        (aside / other.name).rename(other)
        aside.rmdir()
        raise
    shutil.rmtree(aside)


@contextlib.contextmanager
def replace_folder(path: Path) -> Generator[Path]:
    """Yield an empty folder beside ``path`` that takes its place on success and vanishes on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}{PART}"))
    try:
        yield fresh
        for file in fresh.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        _sync_folders(fresh)
        fresh.chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o755)
        if path.exists():
            _swap(fresh, path)
        else:
            fresh.rename(path)
        sync_folder(path.parent)
    finally:
        # After an exchange it is the old folder that stands under the temporary name.
        shutil.rmtree(fresh, ignore_errors=True)
