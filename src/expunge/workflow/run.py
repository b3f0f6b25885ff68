"""Walk a road in a folder, or find that it was walked already."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from expunge.core.canonical import digest, read_json
from expunge.core.errors import ConfigError, MissingExtra
from expunge.core.files import write_json
from expunge.core.manifest import NAME, Manifest
from expunge.ledger.home import home
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import trust
from expunge.workflow.stages import code_digest, threads, versions

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
def locked(out: Path) -> Iterator[IO[str]]:
    """Hold a run's folder against a second process.

    Raises:
        ConfigError: another process holds it.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out.parent / f".{out.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"another process is working in {out}", next="Wait for it, or choose another --out") from error
        yield lock


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
        key = digest([identity, code_digest(), versions(), threads(), signer.keyid])
        note = out / DONE
        if note.exists() and (out / NAME).exists():
            known = read_json(note)
            if known.get("key") == key and not Manifest.read(out).changed(out):
                return (out / "table.txt").read_text()
        note.unlink(missing_ok=True)
        table = walk()
        write_json(note, {"key": key})
        return table
