"""Stages of a run: each is done once, found again by the digests of what went in and what came out."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import expunge
from expunge.core.canonical import digest, digest_file, digest_folder, read_json
from expunge.core.errors import StoreError
from expunge.core.files import write_json

FOLDER = ".stages"
PACKAGES = ("torch", "transformers", "accelerate", "numpy", "scipy", "rouge-score")
RECIPE_CODE = ("core", "ops", "data", "objectives/nll.py", "targets", "engine", "methods/exact/retrain.py")
TRAINING_CODE = ("core", "ops", "data", "objectives", "targets", "engine", "methods", "attacks", "scoping", "metrics")


@lru_cache
def code_digest(*folders: str) -> str:
    """Digest of the package's source files, or of some of its folders and files."""
    root = Path(expunge.__file__).parent
    places = [root / name for name in folders or ("",)]
    files = [p for place in places for p in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    return digest({p.relative_to(root).as_posix(): digest_file(p) for p in files})


def threads() -> int:
    """Threads that a computation uses; part of what fixes its bytes."""
    return int(os.environ.get("OMP_NUM_THREADS", "") or os.cpu_count() or 1)


def versions() -> dict[str, str]:
    """Versions of the packages that a number depends on; absent ones are left out."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def output_digest(path: Path) -> str:
    """Digest of a file or of all files below a folder, empty if there is nothing."""
    if path.is_dir():
        return digest_folder(path)
    return digest_file(path) if path.is_file() else ""


class Stages:
    """The stages of one run.

    Args:
        out: folder of the run.
        key: digest of everything that all stages depend on.
    """

    def __init__(self, out: Path, key: str) -> None:
        self.out, self.key = out, key

    def do(
        self, name: str, inputs: Any, outputs: Sequence[str], make: Callable[[], dict[str, Any] | None]
    ) -> dict[str, Any]:
        """Do a stage, or return what it returned when it was done with the same inputs and its outputs still stand.

        Args:
            name: of the stage.
            inputs: whatever decides its result; hashed.
            outputs: paths below the run that it writes.
            make: writes the outputs and returns a JSON object.
        """
        card = self.out / FOLDER / f"{name}.json"
        wanted = digest([self.key, name, inputs])
        known = self._known(card, wanted, outputs)
        if known is not None:
            return known
        result = make() or {}
        found = {p: output_digest(self.out / p) for p in outputs}
        body = {"inputs": wanted, "outputs": found, "result": result}
        write_json(card, {**body, "digest": digest(body)})
        return result

    def _known(self, card: Path, wanted: str, outputs: Sequence[str]) -> dict[str, Any] | None:
        """What the stage returned, or None where the card is missing, damaged, or about something else."""
        try:
            known = dict(read_json(card))
            if known.pop("digest", "") != digest(known) or known["inputs"] != wanted:
                return None
        except (StoreError, TypeError, ValueError, KeyError):
            return None
        stand = all(output_digest(self.out / p) == known["outputs"].get(p) for p in outputs)
        return known["result"] if stand else None
