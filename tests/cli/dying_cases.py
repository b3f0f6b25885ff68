"""An estimator that ends its process, or the one that started it, in a step that is told: no clock decides."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from .exact_cases import SISA

MODULE = "dying_of_the_tests"
COUNT, AT, WHOM = "DYING_COUNT", "DYING_AT", "DYING_WHOM"
SOURCE = f'''
"""Steps are counted in a file that all processes share; one dies, once."""
import os
import signal
from pathlib import Path

from sklearn.linear_model import SGDClassifier


class Dying(SGDClassifier):
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        if "{COUNT}" in os.environ:
            count = Path(os.environ["{COUNT}"])
            with count.open("ab") as stream:
                stream.write(b".")
            if count.stat().st_size >= int(os.environ["{AT}"]):
                _die(count.with_suffix(".died"))
        return super().partial_fit(X, y, classes, sample_weight)


def _die(once):
    try:
        once.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getppid() if os.environ["{WHOM}"] == "parent" else os.getpid(), signal.SIGKILL)
    signal.pause()
'''
SLICED = SISA.replace("slices: 2", "slices: 3").replace("epochs: 3", "epochs: 6")
"""Three epochs a slice: nine steps a shard."""
STEPS = 9


def make_dying(folder: Path) -> None:
    """The module, and ``dying.yaml``, a recipe of two shards with three slices each."""
    (folder / f"{MODULE}.py").write_text(SOURCE)
    path = "path: sklearn.linear_model:SGDClassifier"
    (folder / "dying.yaml").write_text(SLICED.replace(path, f"path: {MODULE}:Dying") + "salt: 00ff\n")


def told(count: Path, *, at: int, whom: str) -> dict[str, str]:
    """The environment in which a process is killed in the step with that number.

    Args:
        count: file of the steps.
        at: number of the step, over all processes.
        whom: ``self``, or ``parent`` for the process that started the one that steps.
    """
    return {COUNT: str(count), AT: str(at), WHOM: whom}


def killed(command: list[str], modules: Path, **environment: str) -> None:
    """Run a command in a process of its own, which must be killed."""
    place = os.pathsep.join([str(modules), *(path for path in sys.path if path)])
    shell = {**os.environ, "PYTHONPATH": place, **environment}
    process = subprocess.run([sys.executable, "-m", "expunge", *command], env=shell, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


def steps(count: Path) -> int:
    """How many steps were taken."""
    return count.stat().st_size if count.exists() else 0
