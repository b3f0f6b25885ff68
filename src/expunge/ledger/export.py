"""A log as a folder of text files, for whoever has neither ``EXPUNGE_HOME`` nor SQLite.

``leaves.jsonl`` holds one leaf a line, byte for byte as hashed; ``checkpoints.jsonl`` one signed note a line, as a JSON
string; ``keys.jsonl`` the public keys; ``checkpoint.txt`` the last note, which another party may keep.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expunge.core.errors import ConfigError, LedgerError
from expunge.core.files import replace_folder, write_text
from expunge.ledger import checkpoint as notes
from expunge.ledger.checkpoint import Checkpoint
from expunge.ledger.keys import PublicKey, decode64
from expunge.ledger.log import Log

LEAVES, CHECKPOINTS, KEYS, LAST = "leaves.jsonl", "checkpoints.jsonl", "keys.jsonl", "checkpoint.txt"


def check_free(out: Path) -> None:
    """Raise unless a folder for an export is new or empty.

    Raises:
        ConfigError: it holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty", next="Choose another --out")


def export(log: Log, out: Path) -> Checkpoint:
    """Write a log to a new folder, whole or not at all.

    Args:
        log: to export.
        out: new or empty folder.

    Returns:
        The last checkpoint.

    Raises:
        ConfigError: the folder holds something.
        LedgerError: the log is empty or cannot be read.
    """
    check_free(out)
    with log.snapshot(), replace_folder(out) as folder:
        last = log.checkpoint()
        with (folder / LEAVES).open("wb") as stream:
            stream.writelines(body + b"\n" for _, body in log.bodies())
        with (folder / CHECKPOINTS).open("w") as stream:
            stream.writelines(json.dumps(note) + "\n" for _, note in log.checkpoints())
        with (folder / KEYS).open("w") as stream:
            rows = ({"after": str(after), "public": key.text} for after, key in log.owners())
            stream.writelines(json.dumps(row) + "\n" for row in rows)
        write_text(folder / LAST, str(last.note))
    return last


class ExportedLog:
    """A log that ``export`` wrote.

    Args:
        folder: of the export.

    Raises:
        LedgerError: it is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (LEAVES, CHECKPOINTS, KEYS):
            if not (folder / name).is_file():
                raise LedgerError(f"{folder} is no exported log", why=f"there is no {name}")

    def bodies(self) -> Iterator[tuple[int, bytes]]:
        """(place, bytes) of the leaves."""
        with (self.folder / LEAVES).open("rb") as stream:
            for seq, line in enumerate(stream):
                yield seq, line.removesuffix(b"\n")

    def marks(self) -> None:
        """Nothing: whoever appends needs them, and nobody appends to an export."""

    def nodes(self, level: int) -> None:
        """Nothing: a tree follows from its leaves."""

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """(size, note) of all checkpoints, in the order of the file."""
        for note in self._rows(CHECKPOINTS, str):
            yield notes.parse(note).size, note

    def owners(self) -> list[tuple[int, PublicKey]]:
        """(size, key) as ``Log.owners`` says."""
        rows = self._rows(KEYS, dict)
        try:
            return [(int(row["after"]), PublicKey(decode64(row["public"]))) for row in rows]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LedgerError(f"{self.folder / KEYS} was changed", why="a row is not a size and a key") from error

    def _rows(self, name: str, kind: type) -> Iterator[Any]:
        try:
            with (self.folder / name).open() as stream:
                for line in stream:
                    row = json.loads(line)
                    if not isinstance(row, kind):
                        raise ValueError("not of its form")
                    yield row
        except (ValueError, OSError) as error:
            raise LedgerError(f"{self.folder / name} was changed", why=str(error)) from error
