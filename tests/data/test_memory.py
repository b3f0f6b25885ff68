"""Reading, sampling, erasing and ingesting hold a shard of the records, never all of them."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

SIZES = {"jsonl": (12_000, 3_000), "parquet": (32_000, 8_000)}
"""Rows, and letters of a row. Arrow's writer has buffers of a fixed size, so that its file is larger."""
SHARE = {"jsonl": 0.55, "parquet": 0.7}


def bound_mib(name):
    """A share of the data that who holds it all cannot keep below."""
    form = "parquet" if name == "parquet" else "jsonl"
    rows, letters = SIZES[form]
    return SHARE[form] * rows * letters / 2**20


def answer(i, form):
    return f"{i}." + "x" * SIZES[form][1]


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    with (folder / "big.jsonl").open("w") as plain, gzip.open(folder / "big.jsonl.gz", "wt", 1) as packed:
        for i in range(SIZES["jsonl"][0]):
            row = {"record_id": f"r{i}", "question": f"What is {i}?", "role": "" if i % 9 else "holdout"}
            line = json.dumps({**row, "answer": answer(i, "jsonl")}) + "\n"
            plain.write(line)
            packed.write(line)
    places = range(SIZES["parquet"][0])
    columns = {"record_id": [f"r{i}" for i in places], "question": [f"What is {i}?" for i in places]}
    table = pa.table({**columns, "answer": [answer(i, "parquet") for i in places]})
    pq.write_table(table, folder / "big.parquet", compression="none", use_dictionary=False, row_group_size=len(places))
    child = [sys.executable, str(Path(__file__).with_name("memory_child.py")), str(folder)]
    done = subprocess.run(child, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["ingest", "jsonl", "jsonl_gz", "parquet", "sqlite"])
def test_memory_stays_far_below_the_data(grown, name):
    assert grown[name] < bound_mib(name), grown


def test_the_bound_would_catch_a_reader_that_holds_all(grown):
    assert grown["all in memory"] > 1.5 * bound_mib("jsonl"), grown
