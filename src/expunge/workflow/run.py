"""Walk a road in a folder, or find that it was walked already."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from expunge.core.canonical import digest, digest_file, read_json
from expunge.core.errors import ConfigError, MissingExtra, StoreError
from expunge.core.files import sweep, write_json
from expunge.core.manifest import NAME, Manifest
from expunge.ledger.home import home
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import trust
from expunge.workflow.stages import code_digest, versions

DONE = "done.json"
PARTS = ("torch", "transformers", "accelerate", "safetensors", "scipy", "rouge_score")


def require_extra(command: str) -> None:
    """Raise unless the packages of the extra ``hf`` are installed. Imports none of them.

    Raises:
        MissingExtra: names the first that is missing and the line that installs it.
    """
    import importlib.util

    for name in PARTS:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(command, "hf", name)


@contextmanager
def locked(out: Path) -> Generator[IO[str]]:
    """Hold a run's folder against a second process. Folders made for it vanish if nothing is written into them.

    Raises:
        ConfigError: another process holds it, or it cannot be made.
    """
    place = out.resolve()
    made = [folder for folder in (place, *place.parents) if not folder.exists()]
    path = place.parent / f".{place.name}.lock"
    try:
        try:
            place.mkdir(parents=True, exist_ok=True)
            lock = _hold(path)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process is working in {out}", next="Wait for it, or choose another folder"
            ) from error
        except OSError as error:
            raise ConfigError(
                f"cannot work in {out}", why=error.strerror or str(error), next="Choose another folder"
            ) from error
        with lock:
            try:
                sweep(place)
                yield lock
            finally:
                path.unlink(missing_ok=True)
    finally:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _hold(path: Path) -> IO[str]:
    """Lock a file that may be unlinked by whoever held it before: only the file that still has the name counts."""
    while True:
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
        except BaseException:
            lock.close()
            raise
        lock.close()


def _stands(out: Path, key: str) -> bool:
    """Whether a run ended with this key and every file that it listed is as it was."""
    try:
        note = read_json(out / DONE)
        return note == {"key": key, "manifest": digest_file(out / NAME)} and not Manifest.read(out).changed(out)
    except StoreError:
        return False


def walk_once(out: Path, identity: Any, walk: Callable[[], str]) -> str:
    """Return the table of a finished run whose files still stand, else walk and note that it is done.

    Args:
        out: folder of the run.
        identity: what the command was asked; hashed with code, versions and thread count.
        walk: walks the road, writes everything, returns the table.
    """
    with locked(out):
        signer = ensure_key(home())
        trust(home(), signer.public, "this installation")
        key = digest([identity, code_digest(), versions(), signer.keyid])
        if _stands(out, key):
            return (out / "table.txt").read_text()
        (out / DONE).unlink(missing_ok=True)
        table = walk()
        write_json(out / DONE, {"key": key, "manifest": digest_file(out / NAME)})
        return table
