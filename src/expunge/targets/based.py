"""That the base which a model was trained from is still where its training found it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.core.errors import TargetError


def require_base(base: Any, what: str) -> None:
    """Raise where a base was a folder and is there no more; that it is the same one, digests say.

    Args:
        base: a folder, a hub name, or the shape of a model.
        what: was trained from it.

    Raises:
        TargetError: names the folder.
    """
    if isinstance(base, str) and Path(base).is_absolute() and not Path(base).is_dir():
        raise TargetError(
            f"the base of {what} is not at {base}",
            why="its training started from there, and without it the model is not whole, or cannot be trained again",
            next="Put it back, or a link to where it is now; its digest is checked",
        )
