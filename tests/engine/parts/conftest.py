"""Small tables, recipes over them, and modules that workers can import."""

import importlib
import os
import sys

import numpy as np
import pytest

from expunge.core.request import Records
from expunge.data.table import Table
from expunge.methods.exact.sisa import sisa
from expunge.scoping.resolve import resolve

NETS = '''
"""Factories of small nets."""
import os
import signal
from pathlib import Path

import torch


def dropping(inputs: int, outputs: int) -> torch.nn.Module:
    """With batch statistics and dropout, so that buffers and what is drawn both count."""
    inner = (torch.nn.Linear(inputs, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Dropout(0.3))
    return torch.nn.Sequential(*inner, torch.nn.Linear(6, outputs))


class Dying(torch.nn.Linear):
    """Ends its process in the step in which a file comes to hold as many bytes as are told."""

    def __init__(self, count: str, at: int) -> None:
        super().__init__(3, 2)
        self.count, self.at = Path(count), at

    def forward(self, x):
        with self.count.open("ab") as stream:
            stream.write(b".")
        if self.count.stat().st_size == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(x)


def unsaid(inputs: int):
    return torch.nn.Linear(inputs, 2)
'''


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No power is lost here: waiting for the disk would take most of the time."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """Name of a module of factories, for this process and for workers."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "nets_of_the_tests.py").write_text(NETS)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    yield "nets_of_the_tests"
    sys.modules.pop("nets_of_the_tests", None)


@pytest.fixture(scope="session")
def table():
    """60 rows of 3 numbers with labels 2 and 5, two rows a subject."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(60, 3))
    y = np.where(X @ [1.0, -0.5, 0.2] + 0.3 * rng.normal(size=60) > 0, 5, 2)
    return Table([f"r{i}" for i in range(60)], X, y, subjects=[f"s{i // 2}" for i in range(60)])


@pytest.fixture(scope="session")
def forget():
    """Unlearn records of a table from a target."""

    def run(target, store, *ids, method=sisa, workdir=None):
        return method.unlearn(target, resolve(Records(*ids), store), seed=99, workdir=workdir)

    return run
