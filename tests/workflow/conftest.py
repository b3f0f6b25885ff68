"""The demo in miniature: its own code on few people, with a small model and little training."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from expunge.core.training import Training
from expunge.workflow import demo

METHODS = ("grad_ascent", "npo", "prompt_filter")
SETTINGS = {
    "METHODS": METHODS,
    "PEOPLE": {"forget": 4, "retain": 6, "validation": 2, "holdout": 4, "general": 8},
    "SHAPE": {"hidden": 16, "layers": 1, "heads": 2, "kv_heads": 1, "inner": 32, "context": 64},
    "TRAINING": Training(lr=3e-3, epochs=4, batch_size=16),
}
SEED = 3


@dataclass(frozen=True)
class Finished:
    """A folder in which the demo was walked, and what it printed."""

    out: Path
    home: Path
    table: str


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The demo's settings made small."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setattr(demo, name, value)
        yield


@pytest.fixture(scope="session")
def original_run(small: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The run itself: tests that change something copy it."""
    folder = tmp_path_factory.mktemp("walked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_HOME", str(folder / "home"))
        table = demo.demo(folder / "runs" / "demo", seed=SEED)
    return Finished(folder / "runs" / "demo", folder / "home", table)


@pytest.fixture
def walked(original_run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """A copy of the run, with its home."""
    shutil.copytree(original_run.out, tmp_path / "runs" / "demo")
    shutil.copytree(original_run.home, tmp_path / "home")
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    return Finished(tmp_path / "runs" / "demo", tmp_path / "home", original_run.table)


@pytest.fixture
def environment(walked: Finished) -> dict[str, str]:
    """For a second process that uses the same home."""
    return {**os.environ, "EXPUNGE_HOME": str(walked.home)}
