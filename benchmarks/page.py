"""Run a benchmark and keep what it printed as a page of docs/results, unless the page stands for this code already.

Usage: python -m benchmarks.page NAME [OPTIONS OF THE BENCHMARK...]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.results import MEASURED_CODE, stands, write_result

ROOT = Path(__file__).resolve().parent.parent
MEASURES = {
    "ingest": ("core", "data", "scoping"),
    "ledger": ("core", "ledger"),
    "lora": MEASURED_CODE,
    "purge": ("core", "retrieval"),
    "scoring": ("core", "data", "engine", "metrics", "ops", "targets"),
    "steps": ("core", "data", "engine", "objectives", "ops", "targets"),
    "two_writers": ("core", "ledger"),
}
MISSED = 3
"""How a benchmark exits whose results agree while a ratio misses its goal: the page is written, and says which."""
NOTES = "One run on a machine with 2 cores, as printed; ratios are of medians within the run, the floor stands beside."


def main(name: str, options: list[str]) -> int:
    """Run one benchmark; returns its exit code, and 0 where its page says which goal it misses."""
    page = ROOT / "docs" / "results" / f"{name.replace('_', '-')}.md"
    if stands(page):
        print(f"{page.name} stands")
        return 0
    command = ["-m", f"benchmarks.{name}", *options]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="")
    if done.returncode in (0, MISSED):
        title = f"Benchmark: {name.replace('_', ' ')}"
        shown = f"python {' '.join(command)}"
        made_of = "none but what it makes itself" if "--data" not in options else " ".join(options)
        write_result(
            page, title=title, command=shown, data=made_of, body=done.stdout, notes=NOTES, measured=MEASURES[name]
        )
    return 0 if done.returncode == MISSED else done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
