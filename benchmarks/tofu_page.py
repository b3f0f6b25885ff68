"""Write the table that a finished TOFU run printed to its page, with the command and the machine.

expunge bench tofu --data ../shared/data/tofu --model ../shared/models/stories260K --authors 12 --forget 3
python -m benchmarks.tofu_page --run runs/tofu --page docs/results/tofu-small.md --minutes 31
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.results import write_result
from expunge.core.canonical import digest, read_json
from expunge.core.errors import StoreError

DEFAULT = ("grad_ascent", "grad_diff", "npo", "calibrated_ascent")
START = "expunge bench tofu --data ../shared/data/tofu --model ../shared/models/stories260K"

NOTES = """stories260K (Karpathy's tinyllamas, {params:,} parameters, trained on TinyStories), fine-tuned on the last
{last} authors of TOFU, the last {forgotten} of them to be forgotten; never-seen authors from holdout10; general facts
from TOFU's real authors and world facts, on which nothing was trained. A component of utility is left out where the
original is not above chance, and the line that leaves it out says what chance is. Fewer than five forgotten authors
give no 90 % interval: on them no claim can be earned, whatever the numbers are."""


def command(run: Path) -> str:
    """The command that made a run, from what it wrote."""
    run_facts, corpus, rows = facts(run)
    people = {role: corpus[role]["people"] for role in ("forget", "retain")}
    words = [START, "--authors", str(sum(people.values())), "--forget", str(people["forget"])]
    methods = tuple(row["key"] for row in rows if row["key"] not in ("original", "retrained", "second_reference"))
    if methods != DEFAULT:
        words += ["--methods", *methods]
    if run_facts["seeds"] != [0]:
        words += ["--seeds", *map(str, run_facts["seeds"])]
    return " ".join(words)


def facts(run: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Of a run's evidence: facts, people by role, rows.

    Raises:
        StoreError: the run is not finished.
    """
    if not (run / "done.json").is_file():
        raise StoreError(f"{run} holds no finished run", next=f"Run: {START}")
    evidence = read_json(run / "evidence.json")
    return evidence["run"], evidence["run"]["corpus"], evidence["rows"]


def notes(run: Path, minutes: float | None, remark: str) -> str:
    """What the page says above the table."""
    told, corpus, rows = facts(run)
    forgotten, kept = corpus["forget"]["people"], corpus["retain"]["people"]
    trained = sum(row["cells"]["seconds"]["value"] for row in rows) * len(told["seeds"]) / 60
    wall = f"the whole command took {minutes:g} minutes" if minutes else "the whole command was not timed"
    machine = f"{platform.machine()} machine with {os.cpu_count()} cores, on one thread"
    return NOTES.format(params=told["params"], last=forgotten + kept, forgotten=forgotten) + (
        f"\n\nOn a {machine}: {trained:.0f} minutes of training, and {wall}{remark and f' ({remark})'}."
    )


def main() -> None:
    """Copy a run's table to its page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=Path("runs/tofu"))
    parser.add_argument("--page", type=Path, default=Path("docs/results/tofu-small.md"))
    parser.add_argument("--minutes", type=float, help="that the command took on the clock")
    parser.add_argument("--remark", default="", help="on how it was timed")
    given = parser.parse_args()
    plans = [read_json(path)["data"] for path in sorted(given.run.glob("seed-*/plan.json"))]
    write_result(
        given.page,
        title="TOFU on a small pretrained model",
        command=command(given.run),
        data=digest(plans),
        body=(given.run / "table.txt").read_text(),
        notes=notes(given.run, given.minutes, given.remark),
    )


if __name__ == "__main__":
    main()
