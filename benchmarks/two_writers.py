"""Two processes that append to one log at the same time: no leaf is lost, and every prefix verifies.

Usage: python -m benchmarks.two_writers [--seconds S] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from expunge.ledger import checkpoint as notes
from expunge.ledger import leaf as leaves
from expunge.ledger import tree
from expunge.ledger.check import check
from expunge.ledger.home_log import append
from expunge.ledger.leaf import Entry, Kind
from expunge.ledger.log import Log, log_path

ROOT = Path(__file__).resolve().parent.parent


def entry(writer: int, number: int) -> Entry:
    """What a writer appends as its leaf of that number."""
    return Entry(Kind.PLAN, digests={"plan": f"sha256:{writer:032x}{number:032x}"})


def write(home: Path, writer: int, seconds: float, most: int) -> None:
    """Append batches of 1 up to ``most`` leaves, each as a transaction, and print where each leaf went."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count = number % most + 1
        places = append(home, [entry(writer, number + i) for i in range(count)])
        for i, seq in enumerate(places):
            print(seq, number + i)
        sys.stdout.flush()
        number += count


def start(home: Path, writer: int, seconds: float, most: int = 3) -> subprocess.Popen[str]:
    """A writer in a process of its own."""
    options = ["--home", str(home), "--writer", str(writer), "--seconds", str(seconds), "--most", str(most)]
    command = [sys.executable, "-m", "benchmarks.two_writers", *options]
    place = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=place, stdout=subprocess.PIPE, text=True)


def prefixes(log: Log) -> int:
    """Prove that the first n leaves, for every n, continue the first n - 1 and begin the whole; returns how many n."""
    last, before = log.checkpoint(), tree.EMPTY
    signed = {size: notes.parse(note).root for size, note in log.checkpoints()}
    for size in range(1, last.size + 1):
        root = signed.get(size) or tree.root_at(size, log.node)
        for first, second, ends in ((size - 1, size, (before, root)), (size, last.size, (root, last.root))):
            if not tree.consistent(first, second, *ends, log.consistency(first, second)):
                raise SystemExit(f"the first {second} leaves do not continue the first {first}")
        before = root
    return last.size


def run(seconds: float, home: Path) -> dict[str, Any]:
    """Let two writers write, then look for every leaf and verify every prefix.

    Args:
        seconds: to write for.
        home: empty folder.
    """
    append(home, [])
    writers = [start(home, number, seconds) for number in (1, 2)]
    said = [writer.communicate(timeout=seconds + 120)[0] for writer in writers]
    if any(writer.returncode for writer in writers):
        raise SystemExit("a writer failed")
    counts = [0, 0]
    with Log(log_path(home)) as log:
        for number, lines in enumerate(said, start=1):
            for line in lines.splitlines():
                seq, own = map(int, line.split())
                if leaves.read(log.body(seq)).entry != entry(number, own):
                    raise SystemExit(f"leaf {seq} is not what writer {number} appended there")
                counts[number - 1] += 1
        if log.size != 1 + sum(counts):
            raise SystemExit(f"{sum(counts)} leaves were appended, the log has {log.size - 1}")
        found = check(log)
        if found.problems:
            raise SystemExit(f"the log does not verify: {found.problems}")
        return {"leaves": counts, "prefixes": prefixes(log), "seconds": seconds}


def main() -> None:
    """Be one writer, or run two and check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--writer", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--most", type=int, default=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.writer is not None:
        write(given.home, given.writer, given.seconds, given.most)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = run(given.seconds, Path(folder) / "home")
    if not given.json:
        print(f"{sum(found['leaves'])} leaves by two writers, {found['prefixes']} prefixes, all verify")
    print(json.dumps(found, sort_keys=True))


if __name__ == "__main__":
    main()
