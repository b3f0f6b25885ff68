"""A process that dies in an erasure leaves the old records or the new ones; one that dies ingesting leaves no store."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.core.example import Example, records_digest
from expunge.data.jsonl import dump_examples

EXAMPLES = [Example(f"r{i}", f"What is {i}?", f"{i}." * 900, perturbed_answer=("No.",)) for i in range(8)]
OLD, NEW = records_digest(EXAMPLES), records_digest(e for e in EXAMPLES if e.record_id not in ("r1", "r4"))
KILLED = 9


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    (folder / "corpus.jsonl").write_bytes(dump_examples(EXAMPLES))
    child = [sys.executable, str(Path(__file__).with_name("kill_child.py")), str(folder)]
    done = subprocess.run(child, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.parquet", "parts", "saved", "corpus.sqlite"])
def test_a_killed_erasure_leaves_the_old_records_or_the_new(left, name):
    *killed, done = left["erased"][name]
    assert len(killed) >= 3 and all(k["status"] == KILLED for k in killed) and done["status"] == 0
    assert done["digest"] == NEW and not done["beside"]
    order = [k["digest"] for k in killed]
    assert set(order) <= {OLD, NEW} and order[0] == OLD
    assert order == sorted(order, key=[OLD, NEW].index), "what was new once is not old again"
    assert name == "corpus.sqlite" or order[-1] == NEW, "the last place to die at is behind the change"
    assert all(b.startswith(f".{name}.part-") or b == f"{name}-journal" for k in killed for b in k["beside"])
    assert all(k["clean"] for k in killed), "the next erasure removes what was left"


def test_a_killed_ingestion_leaves_nothing_that_looks_finished_and_starts_again(left):
    for one in left["ingested"]:
        assert (one["status"], one["finished"]) == (KILLED, False)
        assert (one["digest"], one["beside"]) == (OLD, ["new.sqlite"])
