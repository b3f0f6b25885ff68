"""The set-up explains itself where it cannot work, and data that is not there is skipped aloud."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def make_venv(checkout, tmp_path):
    """Run tools/make_venv.sh where the only interpreter is one that answers as told."""

    def run(script: str) -> subprocess.CompletedProcess[str]:
        python = tmp_path / "fake-python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        place = {"PATH": os.environ["PATH"], "PYTHON": str(python)}
        command = ["sh", str(checkout / "tools" / "make_venv.sh"), str(tmp_path / "venv")]
        return subprocess.run(command, env=place, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('case "$2" in *"(3, 11)"*) exit 1;; *) echo 3.9.2;; esac', "fake-python is 3.9.2"),
        ('case "$2" in *ensurepip*) exit 1;; *print*) echo 3.11.2;; esac', "lacks the venv module"),
        ("exit 127", "found no Python"),
    ],
)
def test_a_missing_python_is_one_clear_line(make_venv, tmp_path, script, said):
    done = make_venv(script)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "needs Python >= 3.11" in done.stderr
    assert said in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_working_venv_is_left_alone(make_venv, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    done = make_venv("exit 127")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_absent_data_skips_and_in_ci_fails(checkout, tmp_path, ci, outcome):
    shutil.copy(checkout / "tests" / "conftest.py", tmp_path)
    Path(tmp_path, "test_data.py").write_text("def test_it(shared):\n    pass\n")
    place = {**os.environ, "CI": ci, "EXPUNGE_SHARED": str(tmp_path / "nowhere")}
    command = [sys.executable, "-m", "pytest", "-rsE", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True)
    assert outcome in done.stdout.splitlines()[-1]
    assert "needs the data folder beside the checkout" in done.stdout
