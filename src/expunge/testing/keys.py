"""A signing key that everybody has, for trials and tests. ``verify`` refuses it unless it is told to allow it."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from expunge.ledger.keys import PublicKey

SEED = hashlib.sha256(b"expunge: a key that everybody has").digest()


class DemoSigner:
    """Signs with the shipped key; always the same one."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(SEED)

    @property
    def public(self) -> PublicKey:
        """The other half, in ``SHIPPED_KEYIDS``."""
        return PublicKey(self._key.public_key().public_bytes_raw(), "the demo key that everybody has")

    @property
    def keyid(self) -> str:
        """Digest of the public half."""
        return self.public.keyid

    def sign(self, data: bytes) -> bytes:
        """(64) bytes: the Ed25519 signature."""
        return self._key.sign(data)
