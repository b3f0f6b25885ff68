"""expunge suite in two processes: the files and the words of one process, written and printed once."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.testing.published import write_published
from expunge.testing.toy import toy_model

pytestmark = pytest.mark.slow

SCORER = """
import os
from pathlib import Path

def score(items):
    with Path(f"asked-{os.environ.get('RANK', 'alone')}").open("a") as stream:
        stream.write("x")
    return [len(item.generated) % 7 / 7 for item in items]
"""


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_processes_write_and_print_once_the_bytes_of_one(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = f"suite_scorer_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SCORER)
    for seed, arm in enumerate(("model", "reference")):
        toy_model(seed=seed).save(Path(arm))
    data = write_published("safety", Path("data"))

    def command(out: str) -> list[str]:
        arms = ["--model", "model", "--reference", "reference", "--data", str(data), "--out", out]
        return ["suite", "safety", *arms, "--scorer", f"toxicity={name}:score"]

    alone = call(*command("one"))
    shutil.copytree("one", "two")  # with the salts, the one thing that is drawn at random
    for written in ("suite.json", "table.txt"):
        Path("two", written).unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launched = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": "true"}
    told = {**os.environ, "OMP_NUM_THREADS": "1", **launched}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "expunge", *command("two")],
            env={**told, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        said = [child.communicate(timeout=600) for child in children]
    finally:
        for child in children:
            child.kill()
    assert ([child.returncode for child in children], alone.code) == ([1, 0], 1), said
    assert [out for out, _ in said] == [alone.out, ""]
    assert "prefix_injection" in alone.out and "toxicity" in alone.out
    assert files(Path("one")) == files(Path("two"))
    assert Path("asked-alone").read_text() == Path("asked-0").read_text() == "xx", "once for each model"
    assert not Path("asked-1").exists(), "the first process alone asks scorers"
