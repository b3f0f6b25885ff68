"""Two processes evaluate to the tables and texts of one, bit for bit, and share the work."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from expunge.core.canonical import read_json

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("evaluation_cases.py")


def test_two_processes_give_the_tables_and_texts_of_one_and_share_the_work(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    child = subprocess.Popen([sys.executable, str(CHILD), str(tmp_path), port], env=own, start_new_session=True)
    try:
        assert child.wait(timeout=300) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    one, told = np.load(tmp_path / "1-0.npz"), read_json(tmp_path / "1-0.json")
    shares = []
    for rank in (0, 1):
        two, said = np.load(tmp_path / f"2-{rank}.npz"), read_json(tmp_path / f"2-{rank}.json")
        for column in one.files:
            assert np.array_equal(one[column], two[column]), column
        assert (said["said"], said["drawn"]) == (told["said"], told["drawn"])
        assert len(set(said["said"])) > 1
        shares.append((said["scoring"], said["passes"]))
    assert all(0 < part[0] < told["scoring"] and part[1] < told["passes"] for part in shares)
    assert [sum(parts) for parts in zip(*shares, strict=True)] == [told["scoring"], told["passes"]]
