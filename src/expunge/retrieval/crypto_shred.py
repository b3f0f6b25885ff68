"""One key per subject: destroying it makes the subject's records unreadable in every copy of the data.

Two things lie outside. An old backup of the key file undoes the destruction. Vectors, and an index over them, are not
encrypted, because they could not be searched: rows must still be purged to be rid of those.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from expunge.core.earning import CLEAN
from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.retrieval.byte_scan import Marker, scan
from expunge.retrieval.sqlite import connect

_NONCE = 12


class SubjectKeys:
    """A file of AES-256 keys, one per subject, in which a destroyed key is overwritten.

    Args:
        path: of the file; best not beside the data, so that a copy of the data holds no key.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._db: Any = connect(self.path)
        self.path.chmod(0o600)
        self._db.execute("CREATE TABLE IF NOT EXISTS keys(subject TEXT PRIMARY KEY, id TEXT UNIQUE, key BLOB)")

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def seal(self, subject: str, body: bytes, bound: str) -> tuple[str, bytes]:
        """Encrypt under the subject's key, made if there is none.

        Args:
            subject: whose key.
            body: to be encrypted.
            bound: what the body belongs to; opening needs the same.

        Returns:
            The key's public id, and the nonce with the ciphertext.
        """
        row = self._db.execute("SELECT id, key FROM keys WHERE subject = ?", (subject,)).fetchone()
        if row is None:
            row = (secrets.token_hex(16), AESGCM.generate_key(256))
            self._db.execute("INSERT INTO keys VALUES (?, ?, ?)", (subject, *row))
        nonce = secrets.token_bytes(_NONCE)
        return row[0], nonce + AESGCM(row[1]).encrypt(nonce, body, bound.encode())

    def unseal(self, key_id: str, sealed: bytes, bound: str) -> bytes:
        """Decrypt.

        Raises:
            StoreError: the key was destroyed, or the bytes were changed or moved to another record.
        """
        key = self._db.execute("SELECT key FROM keys WHERE id = ?", (key_id,)).get
        if key is None:
            raise StoreError("a record cannot be read any more", why="the key of its subject was destroyed")
        try:
            return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound.encode())
        except InvalidTag as error:
            raise StoreError("a record cannot be read", why="its bytes do not fit its key") from error

    def destroy(self, subject: str) -> Receipt:
        """Overwrite a subject's key, and look whether it is gone from the file of keys.

        Returns:
            A receipt about the file of keys. ``BLIND`` if there was no such key: it may have been destroyed before.
        """
        key = self._db.execute("SELECT key FROM keys WHERE subject = ?", (subject,)).get
        if key is None:
            return Receipt(self.path.name, "BLIND", where=("there is no key of this subject",))
        marker = [Marker("key", key)]
        before = scan(self._files(), marker)
        self._db.execute("DELETE FROM keys WHERE subject = ?", (subject,))
        after = scan(self._files(), marker)
        status = "RESIDUE" if after.hits else "BLIND" if after.blind or not before.seen else CLEAN
        where = (*(f"{name}: {count}" for name, count in after.hits.items()), *after.blind)
        return Receipt(
            *(self.path.name, status, after.total(), where),
            control=len(before.seen),
            records=1,
            scanned=after.scanned,
            notes=("a backup of the file of keys would undo this",),
        )

    def _files(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.name}*"))
