"""Ed25519 keys: signers and public keys."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from expunge.core.errors import LedgerError
from expunge.ledger.home import private_folder

PUBLIC_BYTES = 32


def keyid_of(raw: bytes) -> str:
    """``ed25519:`` and the SHA-256 of a raw public key, in hex."""
    return "ed25519:" + hashlib.sha256(raw).hexdigest()


def decode64(text: str) -> bytes:
    """Bytes of a text in the standard base64 alphabet, padded, with no other spelling of the same bytes allowed.

    Raises:
        ValueError: not base64, or not the one canonical form.

    >>> decode64("aGk=")
    b'hi'
    """
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 in another form than the canonical one")
    return data


@dataclass(frozen=True)
class PublicKey:
    """Half of a key that checks signatures.

    Args:
        raw: (32) bytes.
        name: whose it is, empty if unknown.

    Raises:
        LedgerError: wrong length, or a name that cannot be printed.
    """

    raw: bytes
    name: str = ""

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_BYTES:
            raise LedgerError(
                "not an Ed25519 public key", why=f"it has {len(self.raw)} bytes instead of {PUBLIC_BYTES}"
            )
        if not self.name.isprintable():
            raise LedgerError("a key's name must be printable", why=f"got {self.name!r:.80}")

    @property
    def keyid(self) -> str:
        """Digest of the key."""
        return keyid_of(self.raw)

    @property
    def text(self) -> str:
        """The key in base64."""
        return base64.b64encode(self.raw).decode()

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature over the data is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@runtime_checkable
class Signer(Protocol):
    """What can sign: a file, a hardware token, a key service."""

    @property
    def keyid(self) -> str: ...
    @property
    def public(self) -> PublicKey: ...
    def sign(self, data: bytes) -> bytes: ...


class FileSigner:
    """Signs with a private key in a PEM file (PKCS 8, not encrypted) that only its owner can read.

    Args:
        path: of the file.

    Raises:
        LedgerError: missing, open to other users, or no Ed25519 private key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = _read_private(path)

    def __repr__(self) -> str:
        return f"FileSigner({str(self.path)!r}, {self.keyid})"

    @property
    def public(self) -> PublicKey:
        """The other half."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    @property
    def keyid(self) -> str:
        """Digest of the public half."""
        return self.public.keyid

    def sign(self, data: bytes) -> bytes:
        """(64) bytes: the Ed25519 signature, the same for the same data."""
        return self._key.sign(data)


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        handle = os.open(path, os.O_RDONLY)
        with os.fdopen(handle, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if mode & 0o077:
                raise LedgerError(
                    f"the private key {path} is open to other users",
                    why=f"its mode is {stat.S_IMODE(mode):04o}",
                    next=f"If nobody has copied it, close it with: chmod 600 {path}",
                )
            data = stream.read()
        key = serialization.load_pem_private_key(data, password=None)
    except OSError as error:
        raise LedgerError(f"cannot read the private key {path}", why=error.strerror or str(error)) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise LedgerError(f"{path} is not a private key", why="a PEM file without encryption is needed") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError(f"{path} is not an Ed25519 key", next="Make one by removing the file and running again")
    return key


def ensure_key(home: Path) -> FileSigner:
    """The home's own key, made if it is absent. An existing key is never replaced.

    Raises:
        LedgerError: the home or the key cannot be used.
    """
    return new_key(home, "default.key")


def new_key(home: Path, name: str) -> FileSigner:
    """The key in a file below ``keys/``, made if it is absent.

    Raises:
        LedgerError: the home or the key cannot be used.
    """
    path = private_folder(private_folder(home) / "keys") / name
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write_once(path, pem)
    return FileSigner(path)


def _write_once(path: Path, data: bytes) -> None:
    # A link, unlike a rename, fails when another process was first, so that no key that has signed is lost.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(name, path)
    except FileExistsError:
        return
    except OSError as error:
        raise LedgerError(f"cannot write the private key {path}", why=error.strerror or str(error)) from error
    finally:
        Path(name).unlink(missing_ok=True)


def load_public(source: Path | str) -> PublicKey:
    """Read a public key: a PEM file, a file from ``trusted/``, the base64 of its raw bytes, or any of these as text.

    Raises:
        LedgerError: no public key, or a private one.
    """
    text = _text_of(source).strip()
    shown = str(source) if len(str(source)) <= 80 else "the given text"
    if "PRIVATE KEY-----" in text:
        raise LedgerError(
            f"{shown} is a private key", next="Give the public half; a private key never leaves its owner"
        )
    try:
        if text.startswith("-----BEGIN"):
            key = serialization.load_pem_public_key(text.encode())
            if not isinstance(key, Ed25519PublicKey):
                raise ValueError("not an Ed25519 key")
            return PublicKey(key.public_bytes_raw())
        return _from_entry(json.loads(text)) if text.startswith("{") else PublicKey(decode64(text))
    except (ValueError, UnsupportedAlgorithm, RecursionError) as error:
        next = "Give a PEM file, a file from trusted/ or the key's base64"
        raise LedgerError(f"{shown} is neither a file nor a public key", why=str(error), next=next) from error


def _text_of(source: Path | str) -> str:
    try:
        if isinstance(source, Path) or (len(source) < 4096 and "\n" not in source and Path(source).is_file()):
            return Path(source).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LedgerError(f"cannot read the public key {source}", why=why) from error
    return source


def _from_entry(value: Any) -> PublicKey:
    if not isinstance(value, dict) or set(cast("dict[str, Any]", value)) != {"keyid", "name", "public"}:
        raise ValueError("its fields are not keyid, name and public")
    entry = cast("dict[str, Any]", value)
    if not all(isinstance(item, str) for item in entry.values()):
        raise ValueError("keyid, name and public are not all text")
    key = PublicKey(decode64(entry["public"]), entry["name"])
    if key.keyid != entry["keyid"]:
        raise ValueError("keyid is not the digest of public")
    return key
