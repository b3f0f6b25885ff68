"""A million JSON Lines into a SQLite store, and a sample drawn from it: rows a second, and how much memory it took.

The floor beside it is what any program must do: read the bytes of the file and write as many as the store has.

    python -m benchmarks.ingest --json --rows 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from expunge.core.request import Records
from expunge.data.ingest import ingest
from expunge.scoping.resolve import resolve

SAMPLE = {"retain": 4096, "holdout": 512}
BLOCK = 1 << 20


def write_rows(path: Path, rows: int) -> None:
    """Made-up records of about 400 bytes; one in a hundred was never learned."""
    with path.open("w", encoding="utf-8") as stream:
        for i in range(rows):
            row = {
                "record_id": f"record-{i:08d}",
                "question": f"What did person {i} say on day {i * 7919 % 9973}?",
                "answer": f"Person {i} said {i * 104729 % 999983} words, the longest of which was {'x' * (i % 97)}.",
                "subject": f"person-{i // 20}",
                "role": "holdout" if i % 100 == 0 else "retain",
                "perturbed_answer": [f"Person {i} said nothing {n} times." for n in range(2)],
                "page": i,
            }
            stream.write(json.dumps(row) + "\n")


def floor_s(source: Path, written: int, folder: Path) -> float:
    """Seconds to read the file and to write and sync as many bytes as the store has."""
    started = time.perf_counter()
    with source.open("rb") as stream:
        while stream.read(BLOCK):
            pass
    with (folder / "floor").open("wb") as stream:
        for _ in range(-(-written // BLOCK)):
            stream.write(bytes(BLOCK))
        stream.flush()
        os.fsync(stream.fileno())
    return time.perf_counter() - started


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(rows: int, folder: Path) -> dict[str, Any]:
    """Make the file, ingest it, draw the sample."""
    source, target = folder / "rows.jsonl", folder / "rows.sqlite"
    write_rows(source, rows)
    before = peak_mib()
    started = time.perf_counter()
    store = ingest(source, target)
    ingest_s = time.perf_counter() - started
    started = time.perf_counter()
    selection = resolve(Records("record-00000001", f"record-{rows - 1:08d}"), store, sample=SAMPLE)
    sample_s = time.perf_counter() - started
    read, written = source.stat().st_size, target.stat().st_size
    return {
        "rows": rows,
        "rows_per_s": round(rows / ingest_s),
        "peak_rss_mib": round(peak_mib(), 1),
        "rss_before_mib": round(before, 1),
        "sample_s": round(sample_s, 2),
        "ingest_s": round(ingest_s, 2),
        "sampled": dict(selection.sampled),
        "bytes_read": read,
        "bytes_written": written,
        "floor_s": round(floor_s(source, written, folder), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the files go; they are removed afterwards")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        found = measure(asked.rows, Path(folder))
    if asked.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<16} {value}")


if __name__ == "__main__":
    main()
