"""Purges copies of a run, each in a process that kills itself before one change of a file, and then once more.

Usage: purge_killer.py FOLDER [bench], which holds ``made`` with a run and its home. Prints one JSON line a kill. With
``bench`` what is purged has several seeds, and only every seventh change is the last.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge.workflow.purge import purge
from expunge.workflow.purge_seeds import purge_seeds
from expunge.workflow.purged import Purge

CHANGES = ("fsync", "unlink", "replace", "rename", "rmdir", "open")


def killing(number: int) -> None:
    """Die before the change with that number; opening a file counts if it may write."""
    count = itertools.count(1)

    def counted(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*given: Any, **more: Any) -> Any:
            writes = name != "open" or (len(given) > 1 and given[1] & (os.O_WRONLY | os.O_RDWR))
            if writes and next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*given, **more)

        return changed

    for name in CHANGES:
        setattr(os, name, counted(name, getattr(os, name)))


def forked(work: Callable[[], Any]) -> tuple[int, str]:
    """Run in a process of its own; returns the signal that ended it, and what it wrote."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with open(writer, "w") as stream, contextlib.redirect_stderr(stream):
            stream.write(str(work()))
        os._exit(0)
    os.close(writer)
    with open(reader) as stream:
        said = stream.read()
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status), said


def told(folder: Path, run: str) -> str | list[str]:
    """What the run, or each of its seeds, says of its purge at this moment."""
    found = [
        Purge.read(out).status if (out / "purge.json").is_file() else ""
        for out in sorted((folder / run).glob("seed-*")) or [folder / run]
    ]
    return found if run == "t" else found[0]


def secrets_of(folder: Path) -> tuple[bytes, ...]:
    """The key in the vault."""
    return tuple(key.read_bytes() for key in (folder / "home" / "vault").glob("r_*.key"))


def main(root: Path, run: str = "run", step: int = 1) -> None:
    from purge_folder import leaks

    secrets = secrets_of(root / "made")

    def work(folder: Path) -> str:
        return purge_seeds(folder / run).status if run == "t" else purge(str(folder / run)).status

    for number in itertools.count(1, step):
        folder = root / f"copy{number}"
        shutil.copytree(root / "made", folder)
        os.environ["EXPUNGE_HOME"] = str(folder / "home")

        def die(folder: Path = folder, number: int = number) -> str:
            killing(number)
            return work(folder)

        ended, _ = forked(die)
        halfway = {"told": told(folder, run), "leaks": len(leaks(folder / run, folder / "home", secrets=secrets))}
        again, status = forked(lambda folder=folder: work(folder))
        left = leaks(folder / run, folder / "home", secrets=secrets)
        strays = [p.name for p in folder.rglob("*") if ".part-" in p.name and not p.name.startswith(".ed25519")]
        strays += [p.name for p in (folder / "home" / "vault").iterdir() if p.suffix in (".key", ".body")]
        end = {"again": again, "status": status, "left": left, "strays": strays}
        print(json.dumps({"ended": ended, "halfway": halfway, **end}))
        shutil.rmtree(folder)
        if ended != signal.SIGKILL:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(("t", 7) if "bench" in sys.argv else ()))
