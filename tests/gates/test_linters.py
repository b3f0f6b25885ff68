"""ruff and pyright, as pyproject.toml sets them, catch a planted offence."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LOOSE = '"""Doubles."""\n\n\ndef double(x):\n    """Double."""\n    return x * 2\n'


@pytest.fixture
def run(checkout, tmp_path):
    """Plant files beside a copy of the real configuration and run a program there."""

    def program(name: str, *arguments: str, **files: str) -> subprocess.CompletedProcess[str]:
        shutil.copy(checkout / "pyproject.toml", tmp_path)
        for folder, text in files.items():
            path = tmp_path / "src" / "expunge" / folder / "planted.py"
            path.parent.mkdir(parents=True)
            path.write_text(text)
        command = [Path(sys.executable).with_name(name), *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return program


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("F401", '"""X."""\n\nimport os\n'),
        ("D100", "x = 1\n"),
        ("T201", '"""X."""\n\nprint("hello")\n'),
        ("NPY002", '"""X."""\n\nimport numpy as np\n\nnp.random.seed(0)\n'),
        ("B006", '"""X."""\n\n\ndef f(x=[]):\n    return x\n'),
        ("E501", '"""' + "x " * 59 + '."""\n'),
    ],
)
def test_ruff(run, rule, text):
    done = run("ruff", "check", "--no-cache", "--output-format=concise", ".", engine=text)
    assert done.returncode == 1
    assert f" {rule} " in done.stdout


def test_ruff_format(run):
    assert run("ruff", "format", "--no-cache", "--check", ".", engine="x = 'a'\n").returncode == 1


def test_pyright_is_strict_on_core_and_ledger_and_basic_elsewhere(run, tmp_path):
    done = run("pyright", "--pythonpath", sys.executable, core=LOOSE, ledger=LOOSE, engine=LOOSE)
    assert done.returncode == 1
    assert "core/planted.py" in done.stdout
    assert "ledger/planted.py" in done.stdout
    assert "engine/planted.py" not in done.stdout
    (tmp_path / "src/expunge/engine/planted.py").write_text('x: int = "one"\n')
    assert "engine/planted.py:1" in run("pyright", "--pythonpath", sys.executable).stdout
