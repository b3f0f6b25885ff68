"""How fast the log is: appending in batches, proving one leaf, checking all of it; beside it the floor.

Usage: python -m benchmarks.ledger [--leaves N] [--json]
The last line is one JSON object: append_per_s, proof_ms (the median of 200), check_s. The floor is the hashing alone:
one hash a leaf and one a full subtree, over the bytes of the leaves.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from expunge.ledger import tree
from expunge.ledger.check import check
from expunge.ledger.home_log import append, signer_of
from expunge.ledger.leaf import Entry, Kind, State
from expunge.ledger.log import Log, log_path

BATCH, PROOFS = 5000, 200
Clock = Callable[[], float]


def entries(start: int, stop: int) -> list[Entry]:
    """Certificate leaves, the fullest kind."""
    names = ("after", "before", "certificate", "commitment", "plan")
    return [
        Entry(
            Kind.CERTIFICATE, f"r_{i:012x}", State.EMPIRICAL, dict.fromkeys(names, f"sha256:{i:064x}"), {"records": i}
        )
        for i in range(start, stop)
    ]


def floor(log: Log, clock: Clock) -> dict[str, Any]:
    """The least that a check can do: read the leaves and hash them into a root."""
    frontier, size, hashes = tree.Frontier(), 0, 0
    started = clock()
    for _, body in log.bodies():
        hashes += len(frontier.push(tree.leaf_hash(body)))
        size += len(body)
    return {"hashes": hashes, "leaf_bytes": size, "read_and_hash_s": round(clock() - started, 3)}


def measure(leaves: int, home: Path, clock: Clock = time.perf_counter) -> dict[str, Any]:
    """Fill a new log and time what is done with it.

    Args:
        leaves: to append.
        home: empty folder.
        clock: seconds; ``time.process_time`` leaves out the waiting for disk and for other programs.
    """
    append(home, [])
    taken = 0.0
    with Log(log_path(home)) as log:
        with log.writing():
            signer = signer_of(home, log)
        for start in range(0, leaves, BATCH):
            batch = entries(start, min(start + BATCH, leaves))
            started = clock()
            log.append(batch, signer)
            taken += clock() - started
            if start % 100_000 == 0:
                print(f"{start} leaves, {taken:.1f} s", file=sys.stderr)
        size, last = log.size, log.checkpoint()
        draw, proofs = random.Random(7), list[float]()
        for seq in (draw.randrange(size) for _ in range(PROOFS)):
            started = clock()
            path = log.inclusion(seq, size)
            proofs.append((clock() - started) * 1e3)
            if not tree.includes(tree.leaf_hash(log.body(seq)), seq, size, path, last.root):
                raise SystemExit(f"the proof of leaf {seq} does not verify")
        started = clock()
        with log.snapshot():
            found = check(log)
        checked = clock() - started
        if found.problems or found.size != leaves + 1:
            raise SystemExit(f"the log does not verify: {found.problems}")
        least = floor(log, clock)
    stored = sum(path.stat().st_size for path in log_path(home).parent.iterdir())
    return {
        "append_per_s": round(leaves / taken, 1),
        "proof_ms": round(statistics.median(proofs), 3),
        "worst_proof_ms": round(max(proofs), 3),
        "check_s": round(checked, 3),
        "leaves": leaves,
        "batch": BATCH,
        "stored_bytes": stored,
        "floor": least,
    }


def main() -> None:
    """Measure in a folder that is removed afterwards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leaves", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given.leaves, Path(folder) / "home")
    if not given.json:
        least = found["floor"]
        print(f"append: {found['append_per_s']:.0f} leaves/s in batches of {BATCH}")
        print(f"inclusion proof: median {found['proof_ms']} ms, at most {found['worst_proof_ms']} ms")
        print(f"check: {found['check_s']} s; reading and hashing alone {least['read_and_hash_s']} s")
        print(f"floor: {least['hashes']} hashes over {least['leaf_bytes']} bytes; stored {found['stored_bytes']} bytes")
    print(json.dumps(found, sort_keys=True))


if __name__ == "__main__":
    main()
