"""The contracts on imports in pyproject.toml keep a clean skeleton and break on each kind of wrong import."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LOW = ("core", "ops", "charts", "execution", "data", "objectives", "metrics", "targets", "scoping", "engine")
MIDDLE = ("methods", "methods/exact", "methods/gradient", "retrieval", "attacks", "evaluation", "attribution", "ledger")
HIGH = ("compat", "testing", "workflow", "service", "cli")


@pytest.fixture
def lint(checkout, tmp_path):
    """Lay out every folder of the constitution, plant modules in it, and run lint-imports with the real contracts."""

    def run(**planted: str) -> subprocess.CompletedProcess[str]:
        for folder in ("", *LOW, *MIDDLE, *HIGH):
            package = tmp_path / "expunge" / folder
            package.mkdir(exist_ok=True, parents=True)
            (package / "__init__.py").touch()
        for folder, statement in planted.items():
            (tmp_path / "expunge" / folder.replace("__", "/") / "planted.py").write_text(f"{statement}\n")
        shutil.copy(checkout / "pyproject.toml", tmp_path)
        command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
        place = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True)

    return run


def test_imports_downwards_are_kept(lint):
    done = lint(
        cli="from expunge import workflow",
        workflow="from expunge import compat, testing, evaluation, ledger",
        testing="from expunge import ledger, engine",
        evaluation="from expunge import methods, attacks, metrics",
        methods__gradient="from expunge import engine, objectives",
        ledger="import cryptography\nfrom expunge import core",
        ops="import torch\nfrom expunge import core",
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("folder", "statement", "said"),
    [
        ("core", "import torch", "expunge.core is not allowed to import torch"),
        ("core", "def late():\n    import scipy.stats", "expunge.core is not allowed to import scipy"),
        ("core", "from expunge import ops", "expunge.core is not allowed to import expunge.ops"),
        ("ops", "from expunge import charts", "expunge.ops is not allowed to import expunge.charts"),
        ("objectives", "from expunge import data", "expunge.objectives is not allowed to import expunge.data"),
        ("engine", "from expunge import methods", "expunge.engine is not allowed to import expunge.methods"),
        ("methods__exact", "from expunge.methods import gradient", "not allowed to import expunge.methods.gradient"),
        ("ledger", "from expunge import data", "expunge.ledger is not allowed to import expunge.data"),
        ("ledger", "from expunge import evaluation", "expunge.ledger is not allowed to import expunge.evaluation"),
        ("evaluation", "from expunge import testing", "expunge.evaluation is not allowed to import expunge.testing"),
        ("cli", "from expunge import compat", "expunge.cli.planted -> expunge.compat"),
        ("cli", "from expunge import service", "expunge.cli is not allowed to import expunge.service"),
    ],
)
def test_a_wrong_import_is_caught(lint, folder, statement, said):
    done = lint(**{folder: statement})
    assert done.returncode == 1, done.stdout
    assert said in " ".join(done.stdout.split())


def test_a_folder_that_has_no_place_is_caught(lint, tmp_path):
    stray = tmp_path / "expunge" / "stray"
    stray.mkdir(parents=True)
    (stray / "__init__.py").touch()
    done = lint()
    assert done.returncode == 1
    assert "expunge.stray" in done.stdout


def test_core_may_not_reach_torch_through_the_root_package(lint, tmp_path):
    (tmp_path / "expunge").mkdir()
    (tmp_path / "expunge" / "__init__.py").write_text("def late():\n    import torch\n")
    done = lint(core="from expunge import late")
    assert done.returncode == 1
    assert "expunge.core is not allowed to import torch" in done.stdout
