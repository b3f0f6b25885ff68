"""expunge evaluate in two processes: what one process finds, written once; a process that ends stops the other."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCORER = """
import os, signal
from pathlib import Path

rank = os.environ.get("RANK", "alone")
Path(f"{rank}.pid").write_text(str(os.getpid()))

def score(items):
    with Path(f"asked-{rank}").open("a") as stream:
        stream.write("x")
    return [len(item.generated) % 7 / 7 for item in items]

def ending(items):
    os.kill(int(Path("1.pid").read_text()), signal.SIGKILL)
    return score(items)
"""


def environment(**more: str) -> dict[str, str]:
    """Of a process on a machine without a GPU, in one thread as a small model uses here."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **more}


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def evaluating(world, call, tmp_path, monkeypatch):
    """How to evaluate a result, by a policy one of whose attacks trains, with a scorer."""
    monkeypatch.chdir(tmp_path)
    name = f"together_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SCORER)
    assert call(*world.unlearn(tmp_path / "run", "--steps", "2")).code == 0

    def command(run: str, function: str = "score") -> list[str]:
        return world.evaluate(Path(run), "--policy", "research-tofu", "--scorer", f"toxicity={name}:{function}")

    return command


def test_two_processes_write_and_print_once_the_bytes_of_one(evaluating, call):
    assert call(*evaluating("run")).code == 1, "what is drawn at random stands from now on"
    for copy in ("one", "two"):
        shutil.copytree("run", copy)
    Path("asked-alone").unlink()
    alone = call(*evaluating("one"))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launcher += ["--main_process_port", "0"]
    command = [*launcher, "--quiet", "-m", "expunge", *evaluating("two")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
    assert (done.returncode, alone.code) == (1, 1), done.stderr[-2000:]
    assert "exitcode  : 1" in done.stderr and "rank      : 0" in done.stderr, "the claim is not earned"
    assert done.stdout == alone.out, done.stderr[:3000]
    assert "relearn_gap" in alone.out and "toxicity" in alone.out
    assert files(Path("one")) == files(Path("two"))
    assert Path("asked-alone").read_text() == Path("asked-0").read_text() == "x" * 8
    assert not Path("asked-1").exists(), "the first process alone asks scorers"


def test_a_process_that_ends_stops_the_other_and_nothing_is_written(evaluating):
    before = files(Path("run"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    given = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "expunge", *evaluating("run", "ending")]
    ranks = (environment(**given, RANK=n, LOCAL_RANK=n) for n in ("0", "1"))
    children = [subprocess.Popen(command, env=each, stderr=subprocess.PIPE, text=True) for each in ranks]
    try:
        said = [child.communicate(timeout=600)[1] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [3, -9]
    assert "expunge: another process of the launch ended, or did not come within 7 days." in said[0]
    assert files(Path("run")) == before


def test_what_only_one_process_does_is_refused(monkeypatch, call):
    monkeypatch.setenv("WORLD_SIZE", "2")
    alone = [("evaluate", option, "runs/none", "--reference", "r") for option in ("--from", "--import")]
    for command in (*alone, ("suite", "tofu", "--across=sizes"), ("verify", "mine")):
        said = call(*command)
        assert said.code == 2 and "2 processes were started" in said.err
