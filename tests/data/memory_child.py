"""How much memory reading or ingesting took, each in a fork of one process: prints MiB by name as JSON.

usage: memory_child.py FOLDER    FOLDER holds big.jsonl, big.jsonl.gz and big.parquet
"""

import json
import os
import resource
import sys
from pathlib import Path

import apsw  # noqa: F401
import pyarrow.compute
import pyarrow.parquet  # noqa: F401

from expunge.core.request import Records
from expunge.data.ingest import ingest
from expunge.data.jsonl import JsonlStore
from expunge.data.parquet import ParquetStore
from expunge.data.sqlite import SqliteStore
from expunge.scoping.resolve import resolve

root = Path(sys.argv[-1])
SAMPLE = {"retain": 50, "holdout": 5}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def grown(work):
    """MiB by which a fork that does the work grew."""
    out, into = os.pipe()
    if not os.fork():
        before = peak()
        work()
        os.write(into, str(peak() - before).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as stream:
        found = stream.read()
    os.wait()
    return float(found)


def use(store):
    """Whatever passes over a whole store."""
    resolve(Records("r3"), store, sample=SAMPLE)
    store.get(["r7", "r5000"])
    store.erase(["r5"])


WORK = {
    "ingest": lambda: ingest(root / "big.jsonl", root / "big.sqlite"),
    "jsonl": lambda: use(JsonlStore(root / "big.jsonl")),
    "jsonl_gz": lambda: JsonlStore(root / "big.jsonl.gz").digest(),
    "parquet": lambda: use(ParquetStore(root / "big.parquet")),
    "sqlite": lambda: use(SqliteStore(root / "big.sqlite")),
    "all in memory": lambda: JsonlStore(root / "big.jsonl").all(),
}
if __name__ == "__main__":
    # Whatever is loaded once is loaded before the forks.
    (root / "small.jsonl").write_text('{"record_id": "r1", "question": "?", "answer": "!"}\n')
    ingest(root / "small.jsonl", root / "small.sqlite").digest()
    print(json.dumps({name: grown(work) for name, work in WORK.items()}))
