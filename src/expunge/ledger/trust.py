"""Whom a home trusts: one file per public key in ``trusted/``."""

from __future__ import annotations

from pathlib import Path

from expunge.core.canonical import canonical_bytes
from expunge.core.errors import LedgerError
from expunge.core.files import write_bytes
from expunge.ledger.home import private_folder
from expunge.ledger.keys import PublicKey, load_public

UNKNOWN = "UNKNOWN"
"""The name of a signer whom nobody here trusts."""
SHIPPED_KEYIDS: frozenset[str] = frozenset({"ed25519:f6cba18fe507ed72ccb37f254c1396a5cfa5db4746e03de7927b96d754edcfac"})
"""Keys whose private half is in ``expunge.testing``: anyone can sign with them."""


def refuse_shipped(keyid: str, *, allow_demo: bool) -> None:
    """Raise for a key that anyone can sign with.

    Raises:
        LedgerError: the key is one of ``SHIPPED_KEYIDS`` and ``allow_demo`` is not set.
    """
    if keyid in SHIPPED_KEYIDS and not allow_demo:
        raise LedgerError(
            f"the key {keyid} ships with the library",
            why="anyone can sign with it",
            next="Sign with a key of your own, or accept it for a trial with --allow-demo",
        )


def trust(home: Path, public: PublicKey, name: str, *, allow_demo: bool = False) -> Path:
    """Trust a key from now on under a name. Writes ``trusted/<keyid>.json``.

    Raises:
        LedgerError: the key ships with the library, the name is empty, or the home cannot be used.
    """
    refuse_shipped(public.keyid, allow_demo=allow_demo)
    if not name.strip() or name.strip() == UNKNOWN:
        raise LedgerError(
            "a trusted key needs a name", why=f"got {name!r}", next="Name the person or service behind it"
        )
    key = PublicKey(public.raw, name)
    path = private_folder(private_folder(home) / "trusted") / f"{key.keyid}.json"
    write_bytes(path, canonical_bytes({"keyid": key.keyid, "name": name, "public": key.text}), mode=0o600)
    return path


def untrust(home: Path, keyid: str) -> bool:
    """Trust a key no longer. Whatever it signed is by a signer UNKNOWN from now on.

    Returns:
        Whether it was trusted.
    """
    path = home / "trusted" / f"{keyid}.json"
    known = find_trusted(home, keyid) is not None
    path.unlink(missing_ok=True)
    return known


def trusted_keys(home: Path) -> list[PublicKey]:
    """All keys that a home trusts, by id.

    Raises:
        LedgerError: other users could have added one, or a file is not what ``trust`` writes.
    """
    found = (find_trusted(home, path.stem) for path in sorted((home / "trusted").glob("ed25519:*.json")))
    return [key for key in found if key is not None]


def find_trusted(home: Path, keyid: str) -> PublicKey | None:
    """The trusted key with that id. Creates nothing; a home that does not exist trusts nobody.

    Raises:
        LedgerError: other users could have added it, or its file is not what ``trust`` writes.
    """
    path = home / "trusted" / f"{keyid}.json"
    try:
        if not path.is_file():
            return None
        modes = [(place, place.stat().st_mode) for place in (home, path.parent, path)]
    except OSError as error:
        raise LedgerError(f"cannot read the trusted keys in {home}", why=error.strerror or str(error)) from error
    for place, mode in modes:
        if mode & 0o022:
            raise LedgerError(f"{place} can be written by other users", next=f"Check it, then run: chmod go-w {place}")
    key = load_public(path)
    if key.keyid != keyid:
        raise LedgerError(f"{path} holds another key", why=f"its key is {key.keyid}", next="Remove it and trust again")
    return key
