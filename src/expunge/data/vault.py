"""The vault: what must be erasable, each body encrypted (AES-256-GCM) under a key of its own that can be destroyed.

Destroying a key overwrites its file before it is unlinked. What a disk or a snapshot below the file system keeps of old
blocks, and copies of the vault elsewhere, are out of its reach.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
from collections.abc import Generator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from expunge.core.errors import StoreError
from expunge.core.files import PART, delete, write_bytes

FOLDER = "vault"
KEY_BYTES, NONCE_BYTES = 32, 12
_HEAD = b"expunge vault 1\n"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}")
_ERASED = bytes(KEY_BYTES)


class Vault:
    """Bodies by name in a folder of mode 0700: ``NAME.body`` encrypted, ``NAME.key`` its key, ``NAME.gone`` after it.

    Args:
        home: folder in which the vault is or will be; nothing is made before the first ``put``.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / FOLDER

    def __repr__(self) -> str:
        return f"Vault({str(self.folder)!r})"

    def put(self, name: str, body: bytes) -> None:
        """Keep a body, in place of the one of that name.

        Raises:
            StoreError: not a name, or the body of that name was destroyed.
        """
        with self._held(name):
            if self.destroyed(name):
                raise self._gone(name)
            key = self._key(name)
            if key is None:
                key = secrets.token_bytes(KEY_BYTES)
                write_bytes(self._path(name, "key"), key, mode=0o600)
            nonce = secrets.token_bytes(NONCE_BYTES)
            sealed = AESGCM(key).encrypt(nonce, body, name.encode())
            write_bytes(self._path(name, "body"), _HEAD + nonce + sealed, mode=0o600)

    def get(self, name: str) -> bytes:
        """The body of a name.

        Raises:
            StoreError: it was destroyed, was never there, or was tampered with.
        """
        if self.destroyed(name):
            raise self._gone(name)
        key, path = self._key(name), self._path(name, "body")
        try:
            data = path.read_bytes() if key is not None else b""
        except OSError:
            data = b""
        if key is None or not data:
            raise StoreError(
                f"the vault in {self.folder} holds no {name}",
                next="Work where it was put: set EXPUNGE_HOME to that home",
            )
        start = len(_HEAD)
        try:
            if not data.startswith(_HEAD):
                raise InvalidTag
            return AESGCM(key).decrypt(data[start : start + NONCE_BYTES], data[start + NONCE_BYTES :], name.encode())
        except (InvalidTag, ValueError) as error:
            raise StoreError(f"{path} was damaged or changed", why="it does not decrypt under its key") from error

    def holds(self, name: str) -> bool:
        """Whether ``get`` has a body to give."""
        return not self.destroyed(name) and self._key(name) is not None and self._path(name, "body").is_file()

    def destroyed(self, name: str) -> bool:
        """Whether a body of that name was there and its key is erased."""
        traces = (self._path(name, "gone"), self._path(name, "body"))
        return self._key(name) is None and any(path.is_file() for path in (*traces, self._path(name, "key")))

    def key(self, name: str) -> bytes:
        """(32) bytes: the key of a body, for those who look whether it is left anywhere.

        Raises:
            StoreError: there is none.
        """
        key = self._key(name)
        if key is None:
            raise StoreError(f"the vault in {self.folder} holds no key of {name}")
        return key

    def destroy(self, name: str) -> None:
        """Erase the key of a body for good: overwritten, synced, unlinked. Destroying it again changes nothing.

        Raises:
            StoreError: the vault never held that name.
        """
        if not (self.destroyed(name) or self._key(name) is not None):
            raise StoreError(f"the vault in {self.folder} holds no {name}")
        with self._held(name):
            # What was killed may have left the key, or a body, under a temporary name.
            strays = sorted(self.folder.glob(f".{name}.*{PART}*"))
            for path in (self._path(name, "key"), *strays):
                _shred(path)
            write_bytes(self._path(name, "gone"), b"", mode=0o600)
            delete(self._path(name, "body"))

    def _path(self, name: str, what: str) -> Path:
        if not _NAME.fullmatch(name):
            raise StoreError(f"{name!r:.80} is no name for the vault", next="Use letters, digits, - and _")
        return self.folder / f"{name}.{what}"

    def _key(self, name: str) -> bytes | None:
        """The key, None where it is absent or was overwritten by a destruction that was killed."""
        try:
            key = self._path(name, "key").read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"cannot read the key of {name}", why=error.strerror or str(error)) from error
        return key if len(key) == KEY_BYTES and key != _ERASED else None

    def _gone(self, name: str) -> StoreError:
        return StoreError(f"{name} was destroyed in the vault", why="its key was erased, so nobody can read it again")

    @contextlib.contextmanager
    def _held(self, name: str) -> Generator[None]:
        """Let one process at a time change the vault."""
        self._path(name, "key")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise StoreError(f"cannot use {self.folder}", why=error.strerror or str(error)) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _shred(path: Path) -> None:
    """Overwrite a file with zeros, sync, delete."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as stream:
        stream.write(bytes(max(KEY_BYTES, path.stat().st_size)))
        stream.flush()
        os.fsync(stream.fileno())
    delete(path)
