r"""How far each score, statistic and attack can be trusted: its false alarms and misses on models of known truth.

    python -m benchmarks.trust --out runs/trust --workers 2 --page docs/results/trust.md \
        --keep src/expunge/evaluation/trust.json
    python -m benchmarks.trust --dry-run

Killed, the same command continues. The verdict on each comparison is that of a policy: alarm where it fails.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import write_result
from benchmarks.trust_judging import ATTACK, TABLE, Row, judged_place, rows_of
from benchmarks.trust_margins import margin_of
from benchmarks.trust_models import (
    ARMS,
    CASES,
    EXACT,
    FIRST,
    Folders,
    attack_names,
    attack_place,
    cost_of,
    folders,
    model_place,
    score_place,
    table_names,
    unmeasured,
)
from benchmarks.trust_page import notes, packaged, table_of
from expunge.core.canonical import digest
from expunge.core.files import write_json
from expunge.execution.map import map
from expunge.execution.pool import Pool
from expunge.workflow.stages import code_digest

KEPT = "src/expunge/evaluation/trust.json"
COMMAND = f"python -m benchmarks.trust --out runs/trust --workers 2 --page docs/results/trust.md --keep {KEPT}"
PAIRS, TRIED = 20, 12
"""Pairs on which metrics are read and on which attacks are run. With fewer than 11 the upper end of the interval lies
above what is trusted even where no pair errs."""
SECONDS = {"models": 35.0, "scores": 13.0, "attacks": 8.5, "judging": 35.0}
"""CPU seconds of an item of each stage, as measured on one pair: what is planned is told by them."""


@dataclass(frozen=True)
class Stage:
    """What is done by one function, one item after another.

    Args:
        name: of the stage.
        function: that a worker calls.
        items: what it is given, without the folders of the run.
        labels: of the items.
        places: what each item leaves.
    """

    name: str
    function: str
    items: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    places: Sequence[Path]

    @property
    def minutes(self) -> float:
        """CPU minutes that went into what is there."""
        return sum(cost_of(place) for place in self.places) / 60

    @property
    def left(self) -> int:
        """Items that are not there yet."""
        return sum(not place.exists() for place in self.places)


def plan_of(stages: Sequence[Stage]) -> str:
    """What is to be done and what it takes, a line a stage."""
    minutes = [stage.left * SECONDS[stage.name] / 60 for stage in stages]
    lines = [
        f"{stage.name}: {len(stage.places)}, of which {stage.left} to do, about {left:.0f} CPU minutes"
        for stage, left in zip(stages, minutes, strict=True)
    ]
    rest = sum(left for stage, left in zip(stages, minutes, strict=True) if stage.name != "models")
    return "\n".join(
        [*lines, f"all but models: about {rest:.0f} CPU minutes, {rest / 2:.0f} minutes on two idle cores"]
    )


def stages_of(at: Folders, given: argparse.Namespace) -> list[Stage]:
    """Everything that was asked for, in order; names of metrics and attacks are those of the registries.

    Args:
        at: the folders of the run.
        given: the options.
    """
    tried = min(given.attacked, given.pairs)
    reach = range(given.pairs if "tables" in given.parts else tried)

    def models(cases: Sequence[str]) -> Stage:
        items = [{"pair": pair, "case": case} for pair in reach for case in cases]
        places = [model_place(at, item["pair"], item["case"]) for item in items]
        labels = [f"{item['pair']} {item['case']}" for item in items]
        return Stage("models", "trust_models:trained", items, labels, places)

    def judging(kind: str, names: Sequence[str], pairs: int) -> Stage:
        items = [{"kind": kind, "names": list(names), "pair": pair} for pair in range(pairs)]
        places = [judged_place(at, kind, item["pair"], names) for item in items]
        return Stage("judging", "trust_judging:judged", items, [f"{i['pair']} {kind}" for i in items], places)

    # A model is retrained from the one that learned the records, which has to be there.
    found = [models([case for case in ARMS if case != EXACT]), models([EXACT])]
    if "tables" in given.parts:
        items = [{"pair": pair, "case": case} for pair in reach for case in ARMS]
        places = [score_place(at, item["pair"], item["case"]) for item in items]
        labels = [f"{item['pair']} {item['case']}" for item in items]
        found.append(Stage("scores", "trust_models:scored", items, labels, places))
        found.append(judging(TABLE, table_names(), given.pairs))
    if "attacks" in given.parts:
        # Every attack on the first pair before any on the second: one that breaks does so early.
        items = [{"pair": p, "attack": a, "budget": given.budget} for p in range(tried) for a in attack_names()]
        places = [attack_place(at, item["pair"], item["attack"]) for item in items]
        labels = [f"{item['attack']} {item['pair']}" for item in items]
        found.append(Stage("attacks", "trust_models:attacked", items, labels, places))
        found.append(judging(ATTACK, attack_names(), tried))
    return found


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/trust"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=("tables", "attacks"), default=("tables", "attacks"))
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--attacked", type=int, default=TRIED, help="pairs on which attacks are run")
    parser.add_argument("--budget", default="quick", choices=("quick", "full"))
    parser.add_argument("--page", type=Path, help="of the docs")
    parser.add_argument("--keep", type=Path, help="file in which the package keeps what it found")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and how long it takes")
    given = parser.parse_args()
    if given.pairs < 1 or given.attacked < 1:
        parser.error("--pairs and --attacked are at least 1")
    if given.keep and (set(given.parts) != {"tables", "attacks"} or given.pairs < PAIRS or given.attacked < TRIED):
        parser.error(f"--keep writes what ships: it needs both parts, {PAIRS} pairs and {TRIED} attacked, or more")
    return given


def main() -> None:
    """Train, score, attack, judge; print the table and write the page."""
    given = options()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    at, pool = folders(given.out.resolve(), given.budget), Pool(workers=given.workers)
    stages = stages_of(at, given)
    print(plan_of(stages), file=sys.stderr, flush=True)
    if given.dry_run:
        return
    rows: list[Row] = []
    for stage in stages:
        items = [{"at": at, **item} for item in stage.items]
        map(f"benchmarks.{stage.function}", items, pool=pool, names=stage.labels, stage=stage.name)
        if stage.name == "judging":
            rows += rows_of(stage.places, stage.items[0]["names"])
    code_digest.cache_clear()
    if folders(given.out.resolve(), given.budget) != at:
        sys.exit("the code was changed while this ran, so that nothing is written: run it again")
    if "tables" in given.parts:
        rows += [Row(name, margin_of(name), {case: [] for case in CASES}, [why]) for name, why in unmeasured().items()]
    print(text := table_of(rows))
    spent = {name: sum(stage.minutes for stage in stages if stage.name == name) for name in SECONDS}
    print({name: round(minutes, 1) for name, minutes in spent.items()}, "CPU minutes", file=sys.stderr)
    if given.keep:
        write_json(given.keep, packaged(rows))
    if given.page:
        facts = {"pairs": given.pairs, "attacked": min(given.attacked, given.pairs), "budget": given.budget}
        write_result(
            given.page,
            title="How far each metric and attack can be trusted",
            command=COMMAND,
            data=digest(["demo", FIRST, given.pairs]),
            body=text,
            notes=notes(facts, spent),
        )


if __name__ == "__main__":
    main()
