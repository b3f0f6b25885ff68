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
from collections.abc import Callable, Mapping, Sequence
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
from benchmarks.trust_page import SHADOW_NOTES, SUBSET_NOTES, notes, packaged, table_of
from benchmarks.trust_shadows import LEARNED, UNLEARNED, shadow_names, shadow_place, verdict_place
from benchmarks.trust_subset_people import SUBSET_ARMS
from benchmarks.trust_subsets import (
    FEWEST,
    PAIRS_OF_SUBSETS,
    READINGS,
    subset_model_place,
    subset_score_place,
    subset_verdict_place,
)
from benchmarks.trust_subsets import (
    LEARNED as SAID,
)
from benchmarks.trust_subsets import (
    SECONDS as SUBSET_SECONDS,
)
from expunge.core.canonical import digest
from expunge.core.files import write_json
from expunge.execution.map import map
from expunge.execution.pool import Pool
from expunge.workflow.stages import code_digest

KEPT = "src/expunge/evaluation/trust.json"
COMMAND = f"python -m benchmarks.trust --out runs/trust --workers 2 --page docs/results/trust.md --keep {KEPT}"
PARTS = ("tables", "attacks", "shadows", "subsets")
PAIRS, TRIED = 20, 12
"""Pairs on which metrics are read and on which attacks are run. With fewer than 11 the upper end of the interval lies
above what is trusted even where no pair errs."""
SHADOWED, SHADOWS = 8, 4
"""Pairs that have shadow models, and how many each: of each person two with and two without, the fewest that LiRA
accepts. An evaluation trains eight; with fewer an attack sees no more."""
SECONDS = {"models": 35.0, "scores": 13.0, "attacks": 8.5, "judging": 35.0}
"""CPU seconds of an item of each stage, as measured on one pair: what is planned is told by them."""
SHADOW_SECONDS = {LEARNED: 47.0, UNLEARNED: 31.0}
"""CPU seconds of a shadow model: one learns half of the people who are forgotten or never seen beside all the rest."""


@dataclass(frozen=True)
class Stage:
    """What is done by one function, one item after another.

    Args:
        name: of the stage.
        function: that a worker calls.
        items: what it is given, without the folders of the run.
        labels: of the items.
        places: what each item leaves.
        seconds: of CPU an item takes, where it is not what is usual for the stage.
    """

    name: str
    function: str
    items: Sequence[Mapping[str, Any]]
    labels: Sequence[str]
    places: Sequence[Path]
    seconds: float = 0.0

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
    minutes = [stage.left * (stage.seconds or SECONDS[stage.name]) / 60 for stage in stages]
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
    asked = {"tables": given.pairs, "attacks": tried, "shadows": shadowed_pairs(given), "subsets": 0}
    reach = range(max(asked[part] for part in given.parts))
    scored = range(max((asked[part] for part in given.parts if part != "attacks"), default=0))

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
    if scored:
        items = [{"pair": pair, "case": case} for pair in scored for case in ARMS]
        places = [score_place(at, item["pair"], item["case"]) for item in items]
        labels = [f"{item['pair']} {item['case']}" for item in items]
        found.append(Stage("scores", "trust_models:scored", items, labels, places))
    if "tables" in given.parts:
        found.append(judging(TABLE, table_names(), given.pairs))
    if "shadows" in given.parts:
        found += shadow_stages(at, shadowed_pairs(given), given.shadows)
    if "attacks" in given.parts:
        # Every attack on the first pair before any on the second: one that breaks does so early.
        items = [{"pair": p, "attack": a, "budget": given.budget} for p in range(tried) for a in attack_names()]
        places = [attack_place(at, item["pair"], item["attack"]) for item in items]
        labels = [f"{item['attack']} {item['pair']}" for item in items]
        found.append(Stage("attacks", "trust_models:attacked", items, labels, places))
        found.append(judging(ATTACK, attack_names(), tried))
    if "subsets" in given.parts:
        found += subset_stages(at, given.subset_pairs)
    return [stage for stage in found if stage.items]


def shadowed_pairs(given: argparse.Namespace) -> int:
    """Pairs that have shadow models."""
    return min(given.shadowed, given.pairs) if "shadows" in given.parts else 0


def shadow_stages(at: Folders, pairs: int, count: int) -> list[Stage]:
    """The shadow models of so many pairs, so many each, and the verdicts by them; they are retrained once trained."""
    found: list[Stage] = []
    for part in (LEARNED, UNLEARNED):
        items = [{"pair": pair, "part": part, "number": n} for pair in range(pairs) for n in range(count)]
        places = [shadow_place(at, **item) for item in items]
        labels = [f"{item['pair']} {part} {item['number']}" for item in items]
        found.append(Stage("models", "trust_shadows:shadow", items, labels, places, SHADOW_SECONDS[part]))
    names = shadow_names()
    items = [{"pair": pair, "count": count, "names": names} for pair in range(pairs)]
    places = [verdict_place(at, pair, count, names) for pair in range(pairs)]
    labels = [f"{pair} shadows" for pair in range(pairs)]
    return [*found, Stage("judging", "trust_shadows:judged", items, labels, places)]


def subset_stages(at: Folders, pairs: int) -> list[Stage]:
    """The models of so many pairs whose people have records of special kinds, their scores and the verdicts."""

    def each(name: str, does: str, cases: Sequence[str], place: Callable[[Folders, int, str], Path]) -> Stage:
        items = [{"pair": pair, "case": case} for pair in range(pairs) for case in cases]
        places = [place(at, item["pair"], item["case"]) for item in items]
        labels = [f"{item['pair']} subsets {item['case']}" for item in items]
        return Stage(name, f"trust_subsets:{does}", items, labels, places, SUBSET_SECONDS[name])

    items = [{"pair": pair, "names": list(READINGS)} for pair in range(pairs)]
    places = [subset_verdict_place(at, pair) for pair in range(pairs)]
    labels = [f"{pair} subsets" for pair in range(pairs)]
    return [
        each("models", "trained", [case for case in SUBSET_ARMS if case != EXACT], subset_model_place),
        each("models", "trained", [EXACT], subset_model_place),
        each("scores", "scored", SUBSET_ARMS, subset_score_place),
        Stage("judging", "trust_subsets:judged", items, labels, places, SUBSET_SECONDS["judging"]),
    ]


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/trust"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--attacked", type=int, default=TRIED, help="pairs on which attacks are run")
    parser.add_argument("--shadowed", type=int, default=SHADOWED, help="pairs that have shadow models")
    parser.add_argument("--shadows", type=int, default=SHADOWS, help="shadow models of each, an even number from 4 on")
    parser.add_argument("--subset-pairs", type=int, default=PAIRS_OF_SUBSETS, help="pairs with special records")
    parser.add_argument("--budget", default="quick", choices=("quick", "full"))
    parser.add_argument("--page", type=Path, help="of the docs")
    parser.add_argument("--keep", type=Path, help="file in which the package keeps what it found")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and how long it takes")
    given = parser.parse_args()
    if min(given.pairs, given.attacked, given.shadowed, given.subset_pairs) < 1:
        parser.error("--pairs, --attacked, --shadowed and --subset-pairs are at least 1")
    if given.shadows < SHADOWS or given.shadows % 2:
        parser.error(f"--shadows is an even number from {SHADOWS} on")
    few = given.pairs < PAIRS or given.attacked < TRIED or given.shadowed < SHADOWED
    few = few or given.subset_pairs < FEWEST
    if given.keep and (set(given.parts) != set(PARTS) or few):
        least = f"{PAIRS} pairs, {TRIED} attacked, {SHADOWED} with shadow models, {FEWEST} with subsets"
        parser.error(f"--keep writes what ships: it needs all parts, {least}, or more")
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
        left = {name: why for name, why in unmeasured().items() if name not in {row.name for row in rows}}
        rows += [Row(name, margin_of(name), {case: [] for case in CASES}, [why]) for name, why in left.items()]
    # What has no record of its kind among the people of the tables is read on people who have.
    rows = list({row.name: row for row in rows}.values())
    print(text := table_of(rows))
    spent = {name: sum(stage.minutes for stage in stages if stage.name == name) for name in SECONDS}
    print({name: round(minutes, 1) for name, minutes in spent.items()}, "CPU minutes", file=sys.stderr)
    if given.keep:
        write_json(given.keep, packaged(rows))
    if given.page:
        facts = {"pairs": given.pairs, "attacked": min(given.attacked, given.pairs), "budget": given.budget}
        shadowed = {"pairs": shadowed_pairs(given), "count": given.shadows}
        special = {"pairs": given.subset_pairs, "learned": SAID, "names": ", ".join(f"`{name}`" for name in READINGS)}
        more = SHADOW_NOTES.format(**shadowed) if "shadows" in given.parts else ""
        more += SUBSET_NOTES.format(**special) if "subsets" in given.parts else ""
        write_result(
            given.page,
            title="How far each metric and attack can be trusted",
            command=COMMAND,
            data=digest(["demo", FIRST, given.pairs]),
            body=text,
            notes=notes(facts, spent) + more,
        )


if __name__ == "__main__":
    main()
