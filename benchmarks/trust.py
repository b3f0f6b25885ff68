"""How far each score, statistic and attack can be trusted: its false alarms and misses on models of known truth.

    python -m benchmarks.trust --out runs/trust --workers 2 --page docs/results/trust.md
    python -m benchmarks.trust --parts tables

Killed, the same command continues. The verdict on each comparison is that of a policy: alarm where it fails.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import MEASURED_CODE, write_result
from benchmarks.trust_models import CASES, CORPORA, GIVEN_UP, NEVER, TRAINED, arms, attack_names, table_names
from expunge.core.canonical import digest, read_json
from expunge.core.evidence import Estimate
from expunge.core.policy import Status, equivalence
from expunge.core.registry import policies
from expunge.core.seeds import keyed_order
from expunge.evaluation.attacking import attack_statistic
from expunge.evaluation.contrast import Cast, contrast, distance
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.score_table import load_tables
from expunge.execution.map import map
from expunge.execution.pool import Pool
from expunge.workflow.stages import code_digest

PAIRS, SPLITS, ATTACKED = 20, 10, 8
MARGIN = 0.1
"""Where no policy of this package gives one."""
DRAWS, LEVEL = 1000, 0.9
CAUGHT, WRONG = 0.5, 0.35
"""What is relied on catches more than this, at the lower end, and is wrong less often than that, at the upper end."""


def margins() -> dict[str, float]:
    """The margin of each name in the policies; the smallest where they differ."""
    found: dict[str, float] = {}
    for _, policy in policies.items():
        for criterion in policy.criteria:
            found[criterion.attack] = min(criterion.margin, found.get(criterion.attack, math.inf))
    return found


def wilson(mean: float, n: int) -> tuple[float, float]:
    """90 % interval of a share. Source: Wilson 1927; n counts clusters, as if all of one cluster were one trial.

    >>> [round(end, 3) for end in wilson(0.25, 20)]
    [0.127, 0.432]
    """
    z = 1.6448536269514722
    middle, spread = mean + z * z / (2 * n), z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


def half(tables: Mapping[str, Any], pair: int, split: int) -> dict[str, Any]:
    """The rows of half of the subjects of each role, drawn by a keyed order."""
    found: dict[str, Any] = {}
    for role, table in tables.items():
        subjects = sorted(set(table["subjects"]))
        order = keyed_order(subjects, split, "trust", pair, role)
        kept = {subjects[i] for i in order[: max(2, len(subjects) // 2)]}
        rows = [i for i, subject in enumerate(table["subjects"]) if subject in kept]
        found[role] = {
            name: column[rows] if isinstance(column, np.ndarray) else [column[i] for i in rows]
            for name, column in table.items()
        }
    return found


def verdict(name: str, items: PerItem, margin: float, case: str, seed: int) -> Status:
    """What a policy would say of one comparison.

    Raises:
        Unmeasured: it cannot be made.
    """
    statistic, never_knew = attack_statistic(name)
    names = {"model": case, "reference": "control", "second": "second", "original": TRAINED}
    cast = Cast(items, names, LEVEL, DRAWS, seed)
    wide = (-max(1.0, 2 * margin), max(1.0, 2 * margin))
    aimed = statistic.target is not None
    function, keys = distance(statistic, "model") if aimed else contrast(statistic, {"model": "model"}, never_knew)
    found: Estimate = cast.estimate(function, keys, wide)
    return equivalence(found, margin)


@dataclass(frozen=True)
class Row:
    """What is known of one name.

    Args:
        name: of a metric or an attack.
        kind: ``table`` or ``attack``.
        margin: that it was read at.
        statuses: case -> one list a pair of the verdicts of its splits.
        why: reason where nothing could be measured.
    """

    name: str
    kind: str
    margin: float
    statuses: Mapping[str, Sequence[Sequence[Status]]]
    why: str = ""

    def share(self, cases: Iterable[str], status: Status) -> tuple[float, float, float]:
        """Share of a verdict with its interval over pairs."""
        means = [np.mean([s == status for s in splits]) for case in cases for splits in self.statuses[case]]
        pairs = max(len(self.statuses[case]) for case in cases)
        return (float(np.mean(means)), *wilson(float(np.mean(means)), pairs))

    @property
    def trust(self) -> str:
        """Whether it tells a model that knows from one that never did."""
        if self.why:
            return "not measured"
        caught, missed, alarm = self.share([TRAINED], "failed"), self.share([TRAINED], "earned"), self.false_alarm
        if caught[1] > CAUGHT and missed[2] < WRONG and alarm[2] < WRONG:
            return "yes"
        return "no" if caught[2] < CAUGHT or alarm[1] > WRONG or missed[1] > WRONG else "unclear"

    @property
    def false_alarm(self) -> tuple[float, float, float]:
        """Share of alarms on models that never saw the records, of both kinds."""
        return self.share([case for case in CASES if case != TRAINED], "failed")


def row_of(name: str, kind: str, tables: Sequence[Mapping[str, Any]], splits: int) -> Row:
    """All verdicts on one name; with no splits, one a pair on all of its people."""
    margin = margins().get(name, MARGIN)
    statuses: dict[str, list[list[Status]]] = {case: [] for case in CASES}
    try:
        for pair, models in enumerate(tables):
            parts = [{who: half(t, pair, split) for who, t in models.items()} for split in range(splits)] or [models]
            halves = [PerItem(part) for part in parts]
            for case in CASES:
                statuses[case].append([verdict(name, items, margin, case, k) for k, items in enumerate(halves)])
    except Unmeasured as reason:
        return Row(name, kind, margin, statuses, str(reason))
    return Row(name, kind, margin, statuses)


def judged(item: Mapping[str, Any]) -> dict[str, Any]:
    """One row, as JSON, by a worker."""
    out, name, kind = Path(item["out"]), item["name"], item["kind"]
    tables: list[dict[str, Any]] = []
    for pair in range(item["pairs"]):
        if kind == "table":
            who = arms(pair, item["of"])
            tables.append({key: load_tables(out / "scores" / f"{p:02d}-{case}") for key, (p, case) in who.items()})
            continue
        place = out / "attacks" / f"{pair:02d}-{name}"
        if (place / GIVEN_UP).is_file():
            return {
                "name": name,
                "kind": kind,
                "margin": MARGIN,
                "statuses": {},
                "why": read_json(place / GIVEN_UP)["why"],
            }
        tables.append({who: {name: table} for who, table in load_tables(place).items()})
    row = row_of(name, kind, tables, item["splits"])
    return {"name": name, "kind": kind, "margin": row.margin, "statuses": dict(row.statuses), "why": row.why}


def _cell(share: tuple[float, float, float]) -> str:
    return f"{share[0]:.2f} [{share[1]:.2f}, {share[2]:.2f}]"


def table_of(rows: Sequence[Row]) -> str:
    """One line a name."""
    head = f"{'name':<28}{'margin':>7}{'caught':>20}{'missed':>20}{'false alarm':>20}{'earned, never':>20}  trust"
    lines = [head, "-" * len(head)]
    for row in rows:
        if row.why:
            lines.append(f"{row.name:<28}{row.margin:>7g}  not measured: {row.why}")
            continue
        never = row.share([case for case in CASES if case != TRAINED], "earned")
        cells = [row.share([TRAINED], "failed"), row.share([TRAINED], "earned"), row.false_alarm, never]
        lines.append(f"{row.name:<28}{row.margin:>7g}" + "".join(f"{_cell(c):>20}" for c in cells) + f"  {row.trust}")
    return "\n".join(lines)


NOTES = """Models: the demo's shape on {corpora} sets of fictitious people, {pairs} pairs. `trained` learned the
records, `never` did not and has another seed, `retrained` is the trained one after the method `retrain`; the control
and the second reference are the `never` models of the next two pairs on the same people. Each metric is read {splits}
times a pair, on half of the people drawn anew; each attack, at its {budget} budget, on the first {attacked} pairs, on
all. The verdict is that of a policy: the 90 % interval of the difference to the control against the margin; the
positive control, which keeps a blind attack from earning anything, is left out here, for blindness is what is looked
for. Caught: the trained model fails. Missed: the trained model earns it, which is the error that matters. False
alarm: a model that never saw the records fails. Earned, never: such a model earns it; what is missing to 1 is
inconclusive or an alarm. Intervals are Wilson's over pairs, as if the splits of a pair were one trial. Trust is `yes`
where at least {caught:g} are caught and at most {wrong:g} missed or false, at the worse ends of the intervals; `no`
where that is excluded. What is not `yes` earns nothing in a policy of this package. The margin is that of the
policies, or {margin:g}. All of it took {minutes:.0f} minutes."""


def main() -> None:
    """Train, score, attack, judge; print the table and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/trust"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parts", nargs="+", choices=("tables", "attacks"), default=("tables", "attacks"))
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--attacked", type=int, default=ATTACKED, help="pairs on which attacks are run")
    parser.add_argument("--budget", default="quick", choices=("quick", "full"))
    parser.add_argument("--minutes", type=float, help="that it took, where it was killed and continued")
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    if given.pairs % CORPORA or given.pairs < 3 * CORPORA:
        parser.error(f"--pairs is a multiple of {CORPORA}, and at least {3 * CORPORA}: controls are of the same people")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    started, pool = time.time(), Pool(workers=given.workers)
    out = given.out / code_digest(*MEASURED_CODE, "attacks", "workflow").partition(":")[2][:12]
    rows = measured(out, given, pool)
    print(text := table_of(rows))
    if given.page:
        facts = {"corpora": CORPORA, "pairs": given.pairs, "splits": SPLITS, "attacked": given.attacked}
        limits = {"caught": CAUGHT, "wrong": WRONG, "margin": MARGIN, "budget": given.budget}
        write_result(
            given.page,
            title="How far each metric and attack can be trusted",
            command="python -m benchmarks.trust --out runs/trust --workers 2 --page docs/results/trust.md",
            data=digest(["demo", CORPORA]),
            body=text,
            notes=NOTES.format(**facts, **limits, minutes=given.minutes or (time.time() - started) / 60),
            measured=(*MEASURED_CODE, "attacks"),
        )


def measured(out: Path, given: argparse.Namespace, pool: Pool) -> list[Row]:
    """Every part that was asked for, in order."""
    shared = {"out": str(out), "pairs": given.pairs}

    def do(function: str, items: Sequence[Mapping[str, Any]], stage: str, labels: Sequence[str]) -> list[Any]:
        return map(f"benchmarks.{function}", list(items), pool=pool, names=labels, stage=stage)

    for cases in ((TRAINED, NEVER), ("retrained",)):
        items = [{**shared, "pair": pair, "case": case} for pair in range(given.pairs) for case in cases]
        do("trust_models:trained", items, "models", [f"{i['pair']} {i['case']}" for i in items])
    found: list[Any] = []
    if "tables" in given.parts:
        items = [{**shared, "pair": pair, "case": case} for pair in range(given.pairs) for case in CASES]
        do("trust_models:scored", items, "scores", [f"{i['pair']} {i['case']}" for i in items])
        each = {**shared, "kind": "table", "of": given.pairs, "splits": SPLITS}
        names = table_names()
        found += do("trust:judged", [{**each, "name": name} for name in names], "judging", names)
    if "attacks" in given.parts:
        count = min(given.attacked, given.pairs)
        names = list(attack_names())
        items = [
            {**shared, "pair": pair, "attack": name, "budget": given.budget} for name in names for pair in range(count)
        ]
        do("trust_models:attacked", items, "attacks", [f"{i['attack']} {i['pair']}" for i in items])
        each = {"out": str(out), "kind": "attack", "of": given.pairs, "pairs": count, "splits": 0}
        found += do("trust:judged", [{**each, "name": name} for name in names], "judging", names)
    return [Row(**row) for row in found]


if __name__ == "__main__":
    main()
