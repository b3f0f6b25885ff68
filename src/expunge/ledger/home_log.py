"""The log of a home together with the key that signs it, which can be rotated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from expunge.ledger.keys import FileSigner, PublicKey, ensure_key, new_key
from expunge.ledger.leaf import Entry, Kind, State
from expunge.ledger.log import Log, log_path
from expunge.ledger.trust import trust

NEXT = "next.key"
OWN = "this installation"


def signer_of(home: Path, log: Log) -> FileSigner:
    """The key that the log is signed with now. Called inside a ``writing`` block.

    A rotation that was cut short is finished if the log names the new key, and undone if it does not.

    Raises:
        LedgerError: the home or the key cannot be used.
    """
    waiting = home / "keys" / NEXT
    if waiting.exists():
        keys = log.owners()
        if keys and FileSigner(waiting).public.raw == keys[-1][1].raw:
            waiting.replace(waiting.with_name("default.key"))
        else:
            waiting.unlink()
    return ensure_key(home)


def append(home: Path, entries: Sequence[Entry], *, once: bool = False) -> list[int]:
    """Append leaves to a home's log; log and key are made if they are absent, and a new key is trusted here.

    Args:
        home: ``EXPUNGE_HOME``.
        entries: what happened.
        once: for each entry take the leaf that says the same, if there is one.

    Returns:
        The places of the leaves.

    Raises:
        LedgerError: home, key or log cannot be used.
    """
    with Log(log_path(home), create=True) as log, log.writing():
        # A key that was here before, where trust was given or taken, may have been untrusted on purpose.
        ours = not (home / "keys" / "default.key").exists() or not (log.size or (home / "trusted").exists())
        signer = signer_of(home, log)
        if ours:
            trust(home, signer.public, OWN)
        return log.append_within(entries, signer, once=once)


def rotate(home: Path) -> tuple[PublicKey, PublicKey]:
    """Replace the home's key. The old key signs the leaf that names the new one, and its private half is removed.

    Both public halves stay trusted here, and the log keeps them, so that whatever the old key signed still verifies.

    Returns:
        The old key and the new one.

    Raises:
        LedgerError: home, key or log cannot be used.
    """
    with Log(log_path(home), create=True) as log:
        with log.writing():
            old = signer_of(home, log)
            new = new_key(home, NEXT)
            for key in (old, new):
                trust(home, key.public, OWN)
            log.rotate_within(old, new.public)
        with log.writing():
            signer_of(home, log)
    return old.public, new.public


def note_trust(home: Path, keyid: str, *, trusted: bool) -> None:
    """Log that a key is trusted from now on, or no longer."""
    state = State.TRUSTED if trusted else State.UNTRUSTED
    append(home, [Entry(Kind.KEY, state=state, digests={"key": keyid.replace("ed25519:", "sha256:", 1)})])
