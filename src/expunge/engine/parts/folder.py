"""Where a target of parts is built: below a working folder, or in one that goes when the target does."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from expunge.targets.sharded import Sharded


class Place:
    """A folder for a target.

    Args:
        path: of the folder.
        passing: whether it goes when the target does.
    """

    def __init__(self, path: Path, passing: bool) -> None:
        self.path, self.passing = path, passing

    def goes_with(self, target: Sharded) -> None:
        """Remove the folder once nobody holds the target any more, unless it was asked for."""
        if self.passing:
            weakref.finalize(target, shutil.rmtree, self.path, ignore_errors=True)


@contextmanager
def place_for(workdir: Path | None, name: str) -> Generator[Place]:
    """A folder below a working folder, which stays whatever happens; or one that does not outlive an error.

    Args:
        workdir: of the run; None for a passing one.
        name: of the folder below it.
    """
    if workdir is not None:
        yield Place(Path(workdir) / name, passing=False)
        return
    path = Path(tempfile.mkdtemp(prefix="expunge-"))
    try:
        yield Place(path, passing=True)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
