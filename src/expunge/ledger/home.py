"""``EXPUNGE_HOME``: the one folder for keys, trust, vault and ledger, closed to others."""

from __future__ import annotations

import os
from pathlib import Path

from expunge.core.errors import LedgerError

VARIABLE = "EXPUNGE_HOME"
OURS = frozenset({"keys", "ledger", "runs", "trusted", "vault"})


def home_path() -> Path:
    """Where the home is or would be. Creates nothing."""
    return Path(os.environ.get(VARIABLE) or ".expunge")


def home() -> Path:
    """The home, made with mode 0700 if it is absent.

    Returns:
        Its path.

    Raises:
        LedgerError: it cannot be made private.
    """
    return private_folder(home_path())


def private_folder(path: Path) -> Path:
    """Make a folder of mode 0700, or close an existing one that is empty or holds only what we put there.

    Raises:
        LedgerError: it is no folder, cannot be made, or is somebody else's and open to others.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o077:
            strange = sorted(child.name for child in path.iterdir() if child.name not in OURS)
            if strange:
                raise LedgerError(
                    f"{path} is open to other users",
                    why=f"it also holds {strange[0]!r}, so its mode is left alone",
                    next=f"Choose another {VARIABLE}, or close it with: chmod 700 {path}",
                )
            path.chmod(0o700)
    except OSError as error:
        raise LedgerError(f"cannot use {path} as a private folder", why=error.strerror or str(error)) from error
    return path
