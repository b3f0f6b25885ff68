"""The journal of a purge: what is to be erased and looked for, kept encrypted until the scan is done.

Order of the files, each written whole and synced before the next step:

1. ``purge.key``: a one-time key. Alone it means nothing was begun.
2. ``purge.intent``: ids, markers and the positive control, encrypted. From here on the purge can be resumed.
3. ``purge.pending``: what the scan found. It is no receipt yet, because key and intent still give the data back.
4. Key overwritten and removed, intent removed.
5. ``purge.receipt.json``: the receipt. 6. ``purge.pending`` removed.

An intent without its key, and nothing pending, can only be reported as BLIND: nobody knows any more what to look for.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from expunge.core.canonical import read_json
from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.files import sync_folder, write_bytes, write_json

KEY, INTENT, PENDING, RECEIPT = "purge.key", "purge.intent", "purge.pending", "purge.receipt.json"
Step = Callable[[str], None]


class KeyGone(Exception):
    """The intent is there and cannot be read."""


def commitment(salt: str, ids: Iterable[str]) -> str:
    """Which ids a purge was asked for, without saying them."""
    return hashlib.sha256((salt + json.dumps(sorted(set(ids)))).encode()).hexdigest()


def another() -> StoreError:
    """The error of a second purge before the first has ended."""
    return StoreError("a purge of other records is unfinished", next="Finish it first: call resume()")


class Journal:
    """The files of one purge in a folder.

    Args:
        folder: held by this process alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def _at(self, name: str) -> Path:
        return self.folder / name

    def files(self) -> list[Path]:
        """Those that are there, half-written ones included."""
        return sorted(path for path in self.folder.iterdir() if path.name.lstrip(".").startswith("purge."))

    @property
    def open(self) -> bool:
        """Whether a purge was begun and has no receipt yet."""
        return self._at(INTENT).exists() or self._at(PENDING).exists()

    def begin(self, body: dict[str, Any]) -> None:
        """Make key and intent durable. ``body`` holds ids under ``ids`` and what else the purge will need."""
        key, nonce = AESGCM.generate_key(256), secrets.token_bytes(12)
        write_bytes(self._at(KEY), key, mode=0o600)
        sealed = nonce + AESGCM(key).encrypt(nonce, json.dumps(body).encode(), None)
        write_bytes(self._at(INTENT), sealed, mode=0o600)

    def read(self) -> dict[str, Any]:
        """What ``begin`` was given.

        Raises:
            KeyGone: the key does not open it.
        """
        sealed = self._at(INTENT).read_bytes()
        try:
            return json.loads(AESGCM(self._at(KEY).read_bytes()).decrypt(sealed[:12], sealed[12:], None))
        except (FileNotFoundError, InvalidTag, ValueError) as error:
            raise KeyGone from error

    def conclude(self, receipt: Receipt, ids: Iterable[str]) -> None:
        """Make what the scan found durable; it is not a receipt before ``finish``."""
        salt = secrets.token_hex(16)
        write_json(self._at(PENDING), {"salt": salt, "ids": commitment(salt, ids), "found": asdict(receipt)})

    def concluded(self, ids: Collection[str]) -> bool:
        """Whether the scan was done, so that only ``finish`` is left.

        Raises:
            StoreError: it was a purge of other ids than those given.
        """
        if not self._at(PENDING).exists():
            return False
        found = read_json(self._at(PENDING))
        if ids and found["ids"] != commitment(found["salt"], ids):
            raise another()
        return True

    def finish(self, at: Step) -> Receipt:
        """Destroy key and intent, then hand out the receipt. May be repeated until it returns."""
        key = self._at(KEY)
        if key.exists():
            with key.open("r+b") as stream:
                stream.write(bytes(key.stat().st_size))
                stream.flush()
                os.fsync(stream.fileno())
            at("key overwritten")
        for path in [p for p in self.files() if p.name.lstrip(".").startswith((KEY, INTENT))]:
            path.unlink()
        sync_folder(self.folder)
        at("intent removed")
        found = read_json(self._at(PENDING))
        write_json(self._at(RECEIPT), found)
        at("receipt written")
        self._at(PENDING).unlink()
        sync_folder(self.folder)
        return Receipt(**found["found"])

    def receipt_for(self, ids: Iterable[str]) -> Receipt | None:
        """The last receipt, if it is of a purge of these ids."""
        if not self._at(RECEIPT).exists():
            return None
        found = read_json(self._at(RECEIPT))
        return Receipt(**found["found"]) if found["ids"] == commitment(found["salt"], ids) else None
