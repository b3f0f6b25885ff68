"""What a purge costs, and what each way of deleting leaves in the files: 100 of 5,000 rows of text and 64 floats.

Usage: python -m benchmarks.purge [--json] [--rounds N]

Each round makes every store anew and purges it, the ways in turn, so that a busy moment strikes all alike. Counted are
erased records of which a piece of the vector, or of the text, still lies in any file of the store (byte scan).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.example import Example
from expunge.retrieval.byte_scan import markers_of, scan
from expunge.retrieval.datastore import DATA, Datastore, Files

ROWS, D, GONE = 5000, 64, range(0, 5000, 50)


def _example(i: int) -> Example:
    draw = np.random.default_rng([1, i])
    words = " ".join(f"{n:08x}" for n in draw.integers(2**32, size=12))
    return Example(f"r{i}", f"What is known of person {i:05d}?", f"marker-{i:05d}-{draw.integers(2**60):015x} {words}")


EXAMPLES = [_example(i) for i in range(ROWS)]
VECTORS = np.random.default_rng(0).normal(size=(ROWS, D)).astype("f4")
IDS = [f"r{i}" for i in GONE]
MARKERS = markers_of([EXAMPLES[i].answer for i in GONE], [VECTORS[i] for i in GONE])


def _left(folder: Path) -> dict[str, int]:
    seen = {m.label for m in scan([folder], MARKERS).seen}
    return {kind: sum(label.startswith(kind) for label in seen) for kind in ("text", "vector")}


def _purge(store: Datastore) -> dict[str, Any]:
    receipt = store.erase(IDS)
    return {"status": receipt.status, "bytes_scanned": receipt.scanned, "control": receipt.control}


def _erase_and_compact(store: Datastore) -> dict[str, Any]:
    """The same deletion without control, journal and scan."""
    files = Files(store)
    files.erase(IDS)
    files.compact()
    return {}


def _delete(store: Datastore, *after: str) -> dict[str, Any]:
    """Delete as SQLite does by default; the vector index is left as it was."""
    db = store.checked()
    db.pragma("secure_delete", 0)
    db.execute("INSERT INTO words(words, rank) VALUES('secure-delete', 0)")
    with db:
        db.executemany("DELETE FROM records WHERE record_id = ?", ((i,) for i in IDS))
    for statement in after:
        db.execute(statement)
    return {}


def _delete_and_vacuum(store: Datastore) -> dict[str, Any]:
    found = _delete(store, "INSERT INTO words(words) VALUES('optimize')", "VACUUM")
    store.reindex()
    return found


def _rebuild(store: Datastore) -> dict[str, Any]:
    """Copy what stays to a new store and take its place."""
    gone = set(IDS)
    kept = [i for i in range(ROWS) if f"r{i}" not in gone]
    fresh = store.path.with_name("fresh")
    with Datastore.create(fresh, dimensions=D) as new:
        new.add([EXAMPLES[i] for i in kept], VECTORS[kept])
        new.reindex()
    for old in store.path.iterdir():
        old.unlink()
    for file in fresh.iterdir():
        file.rename(store.path / file.name)
    return {}


WAYS: dict[str, Callable[[Datastore], dict[str, Any]]] = {
    "purge (control, erase, compact, scan)": _purge,
    "erase and compact alone": _erase_and_compact,
    "DELETE, nothing set": _delete,
    "DELETE, optimize, VACUUM, reindex": _delete_and_vacuum,
    "rebuild a copy": _rebuild,
}


def _once(way: Callable[[Datastore], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kb"
        with Datastore.create(path, dimensions=D) as store:
            started = time.perf_counter()
            store.add(EXAMPLES, VECTORS)
            store.reindex()
            ingest = ROWS / (time.perf_counter() - started)
            before = _left(path)
            started, busy = time.perf_counter(), time.process_time()
            found = way(store)
            ms, cpu = 1000 * (time.perf_counter() - started), 1000 * (time.process_time() - busy)
        size = (path / DATA).stat().st_size
        return {
            "ms": ms,
            "cpu_ms": cpu,
            "ingest": ingest,
            "before": before,
            "after": _left(path),
            "bytes": size,
            **found,
        }


def measure(rounds: int) -> dict[str, Any]:
    """Every way in turn, ``rounds`` times: medians, and the largest number of records left."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for number in range(rounds):
        for name, way in WAYS.items():
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
            runs[name].append(_once(way))
    table = [
        {
            "way": name,
            "ms": round(statistics.median(run["ms"] for run in found), 1),
            "cpu_ms": round(statistics.median(run["cpu_ms"] for run in found), 1),
            "ms_low_high": [round(f(run["ms"] for run in found), 1) for f in (min, max)],
            "before": found[0]["before"],
            "after": {k: max(run["after"][k] for run in found) for k in ("text", "vector")},
            **{k: found[-1][k] for k in ("status", "control", "bytes_scanned", "bytes") if k in found[-1]},
        }
        for name, found in runs.items()
    ]
    ingest = statistics.median(run["ingest"] for found in runs.values() for run in found)
    settings = {"rows": ROWS, "dimensions": D, "erased": len(IDS), "rounds": rounds}
    return {**settings, "ingest_rows_per_second": round(ingest), "ways": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = measure(options.rounds)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(
        f"{found['ingest_rows_per_second']} rows/s in; {len(IDS)} of {ROWS} rows erased; texts/vectors still in a file"
    )
    for row in found["ways"]:
        low, high = row["ms_low_high"]
        left = "/".join(str(row["after"][k]) for k in ("text", "vector"))
        seen = "/".join(str(row["before"][k]) for k in ("text", "vector"))
        took = f"{row['ms']:>8.1f} ms ({low:.0f}-{high:.0f}), cpu {row['cpu_ms']:>4.0f} ms"
        print(f"{row['way']:<40} {took}   before {seen}   after {left}")


if __name__ == "__main__":
    main()
