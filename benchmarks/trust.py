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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import MEASURED_CODE, write_result
from benchmarks.trust_margins import Margin, margin_of
from benchmarks.trust_models import (
    ARMS,
    CASES,
    CONTROL,
    EXACT,
    FIRST,
    GIVEN_UP,
    NEVER,
    NOT_HAD,
    SECOND,
    TRAINED,
    attack_names,
    attack_place,
    table_names,
)
from expunge.core.attack import ORIGINAL, needs_of
from expunge.core.canonical import digest, read_json
from expunge.core.measure import Statistic
from expunge.core.policy import Status, equivalence
from expunge.core.registry import attacks, metrics, policies
from expunge.evaluation.attacking import attack_statistic
from expunge.evaluation.contrast import Cast, contrast, distance
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.score_table import load_tables
from expunge.execution.map import map
from expunge.execution.pool import Pool
from expunge.workflow.stages import code_digest

PAIRS, ATTACKED = 20, 12
DRAWS, LEVEL = 1000, 0.9
CAUGHT, WRONG = 0.5, 0.2
"""What is relied on catches more than this, at the lower end, and errs in either way less than that, at the upper."""
Share = tuple[float, float, float]


def wilson(mean: float, n: int) -> tuple[float, float]:
    """90 % interval of a share of n independent trials. Source: Wilson 1927.

    >>> [round(end, 3) for end in wilson(0.25, 20)]
    [0.127, 0.432]
    """
    z = 1.6448536269514722
    middle, spread = mean + z * z / (2 * n), z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


def verdict(name: str, items: PerItem, margin: Margin, case: str, seed: int) -> Status:
    """What a policy would say of one comparison.

    Raises:
        Unmeasured: it cannot be made.
    """
    statistic, never_knew = attack_statistic(name)
    names = {"model": case, "reference": CONTROL, "second": SECOND, ORIGINAL: TRAINED}
    cast = Cast(items, names, LEVEL, DRAWS, seed)
    aimed = statistic.target is not None
    difference = distance(statistic, "model") if aimed else contrast(statistic, {"model": "model"}, never_knew)
    return equivalence(cast.estimate(*difference), margin.size, margin.side)


def reads_original(name: str) -> bool:
    """Whether a name compares with the model before unlearning, which is the trained one itself here."""
    if name in attacks.names():
        return ORIGINAL in needs_of(attacks.get(name))
    found = metrics.get(name)
    return isinstance(found, Statistic) and any(model == ORIGINAL for model, _, _ in found.needs)


@dataclass(frozen=True)
class Row:
    """What is known of one name.

    Args:
        name: of a metric or an attack.
        margin: that it was read at.
        statuses: case -> the verdict on each pair that could be measured, in one order.
        gone: why the other pairs could not be.
    """

    name: str
    margin: Margin
    statuses: Mapping[str, Sequence[Status]]
    gone: Sequence[str] = field(default=())

    @property
    def pairs(self) -> int:
        """Pairs that were measured."""
        return len(self.statuses[TRAINED])

    def share(self, case: str, status: Status) -> Share:
        """Share of a verdict among the pairs, with its interval."""
        mean = sum(found == status for found in self.statuses[case]) / self.pairs
        return (mean, *wilson(mean, self.pairs))

    @property
    def false_alarm(self) -> Share:
        """Share of alarms on models that never saw the records, of the kind with more: they are not averaged."""
        return max(self.share(case, "failed") for case in (NEVER, EXACT))

    @property
    def trust(self) -> str:
        """Whether it tells a model that knows from one that never did."""
        if not self.pairs:
            return "not measured"
        caught, missed, alarm = self.share(TRAINED, "failed"), self.share(TRAINED, "earned"), self.false_alarm
        if caught[2] < CAUGHT or missed[1] > WRONG or alarm[1] > WRONG:
            return "no"
        sure = caught[1] > CAUGHT and missed[2] < WRONG and alarm[2] < WRONG
        return "yes" if sure and not self.gone else "unclear"


def tables_of(out: Path, name: str, kind: str, pair: int) -> dict[str, Any]:
    """The tables of all models of a pair.

    Args:
        out: folder of the run.
        name: of a metric or an attack.
        kind: ``table`` for a metric, the budget for an attack.
        pair: number of the pair.

    Raises:
        Unmeasured: the attack could not be run on this pair.
    """
    if kind == "table":
        return {who: load_tables(out / "scores" / f"{pair:02d}-{who}") for who in ARMS}
    place = attack_place(out, pair, name, kind)
    if (place / GIVEN_UP).is_file():
        raise Unmeasured(read_json(place / GIVEN_UP)["why"])
    return {who: {name: table} for who, table in load_tables(place).items()}


def judged(item: Mapping[str, Any]) -> dict[str, Any]:
    """One row, as JSON, by a worker."""
    out, name, margin = Path(item["out"]), item["name"], margin_of(item["name"])
    statuses: dict[str, list[Status]] = {case: [] for case in CASES}
    gone: list[str] = []
    for pair in range(item["pairs"]):
        try:
            items = PerItem(tables_of(out, name, item["kind"], pair))
            found: dict[str, Status] = {case: verdict(name, items, margin, case, pair) for case in CASES}
        except (Unmeasured, *NOT_HAD) as reason:
            gone.append(str(reason))
            continue
        for case, status in found.items():
            statuses[case].append(status)
    return {"name": name, "margin": asdict(margin), "statuses": statuses, "gone": gone}


def row_of(found: Mapping[str, Any]) -> Row:
    """What ``judged`` gave, as a row."""
    return Row(**{**found, "margin": Margin(**found["margin"])})


def _cell(share: Share) -> str:
    return f"{share[0]:.2f} [{share[1]:.2f}, {share[2]:.2f}]"


def table_of(rows: Sequence[Row]) -> str:
    """One line a name, then the reasons for the margins and what policies list without being trusted."""
    titles = ("caught", "missed", "false alarm", "earned, never")
    head = f"{'name':<28}{'margin':>7}{'pairs':>6}" + "".join(f"{title:>20}" for title in titles) + "  trust"
    lines = [head, "-" * len(head)]
    for row in rows:
        named = row.name + ("*" if reads_original(row.name) else "")
        start = f"{named:<28}{row.margin.size:>7g}{row.pairs:>6}"
        if not row.pairs:
            lines.append(f"{start}  not measured: {row.gone[0]}")
            continue
        never = min(row.share(case, "earned") for case in (NEVER, EXACT))
        cells = [row.share(TRAINED, "failed"), row.share(TRAINED, "earned"), row.false_alarm, never]
        lines.append(start + "".join(f"{_cell(c):>20}" for c in cells) + f"  {row.trust}")
        if row.gone:
            lines.append(f"  {len(row.gone)} pairs not measured, the first: {row.gone[0]}")
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(f"{row.margin.size:g} {row.margin.side}: {row.margin.why}", []).append(row.name)
    lines += ["", "margins:", *(f"  {why}: {', '.join(names)}" for why, names in reasons.items())]
    return "\n".join([*lines, "", *doubted(rows)])


def doubted(rows: Sequence[Row]) -> list[str]:
    """What the policies of the package list although it is not trusted here, a line a policy."""
    trust = {row.name: row.trust for row in rows}
    found: list[str] = []
    for name, policy in policies.items():
        listed = [(c.attack, trust[c.attack]) for c in policy.criteria if trust.get(c.attack, "yes") != "yes"]
        if listed:
            found.append(f"{name} lists, without a yes: " + ", ".join(f"{attack} ({said})" for attack, said in listed))
    return found


NOTES = """Models: the demo's shape, {pairs} pairs. Each pair has fictitious people of its own and five models that
were trained on them, so that pairs are independent: `trained` learned the records, `never` did not and has another
seed, `retrained` is the trained one after the method `retrain`; the control and the second reference never saw them
either, with seeds of their own. Each metric is read once a pair on all of its people; each attack, at its {budget}
budget, on the first {attacked} pairs. The verdict is that of a policy: the 90 % interval of the difference to the
control against the margin, on the policy's side of it; the positive control, which keeps a blind attack from earning
anything, is left out here, for blindness is what is looked for. Caught: the trained model fails. Missed: the trained
model earns it, which is the error that matters most. False alarm: a model that never saw the records fails; of
`never` and `retrained`, the kind with more alarms is shown. Earned, never: such a model earns it, the kind with fewer;
what is missing to 1 is inconclusive or an alarm. Intervals are Wilson's over pairs. Trust is `yes` where every pair
was measured, more than {caught:g} are caught, and fewer than {wrong:g} missed and fewer than {wrong:g} false, at the
worse ends of the intervals; `no` where that is excluded. A name with * compares with the model before unlearning. That
is the trained model itself: its cells for `trained` say what it makes of a model to which nothing was done, and nothing
of one that was changed. Below the table stand the reason for each margin, and what policies of this package list
without a `yes`; nothing but this page keeps them from it. All of it took {minutes:.0f} minutes."""


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
    if given.pairs < 1 or given.attacked < 1:
        parser.error("--pairs and --attacked are at least 1")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    started, pool = time.time(), Pool(workers=given.workers)
    place = code_digest(*MEASURED_CODE, "attacks", "workflow").partition(":")[2][:12]
    rows = measured(given.out / place, given, pool)
    print(text := table_of(rows))
    if given.page:
        facts = {"pairs": given.pairs, "attacked": min(given.attacked, given.pairs), "budget": given.budget}
        limits = {"caught": CAUGHT, "wrong": WRONG}
        write_result(
            given.page,
            title="How far each metric and attack can be trusted",
            command="python -m benchmarks.trust --out runs/trust --workers 2 --page docs/results/trust.md",
            data=digest(["demo", FIRST, given.pairs]),
            body=text,
            notes=NOTES.format(**facts, **limits, minutes=given.minutes or (time.time() - started) / 60),
            measured=(*MEASURED_CODE, "attacks"),
        )


def measured(out: Path, given: argparse.Namespace, pool: Pool) -> list[Row]:
    """Every part that was asked for, in order."""
    count = min(given.attacked, given.pairs)
    reach = given.pairs if "tables" in given.parts else count

    def do(function: str, items: Sequence[Mapping[str, Any]], stage: str, labels: Sequence[str]) -> list[Any]:
        shared = [{"out": str(out), **item} for item in items]
        return map(f"benchmarks.{function}", shared, pool=pool, names=labels, stage=stage)

    def each(function: str, stage: str, cases: Sequence[str]) -> None:
        items = [{"pair": pair, "case": case} for pair in range(reach) for case in cases]
        do(function, items, stage, [f"{item['pair']} {item['case']}" for item in items])

    def judge(kind: str, names: Sequence[str], pairs: int) -> list[Row]:
        items = [{"kind": kind, "name": name, "pairs": pairs} for name in names]
        return [row_of(found) for found in do("trust:judged", items, "judging", names)]

    each("trust_models:trained", "models", [case for case in ARMS if case != EXACT])
    each("trust_models:trained", "models", [EXACT])
    rows: list[Row] = []
    if "tables" in given.parts:
        each("trust_models:scored", "scores", ARMS)
        rows += judge("table", table_names(), given.pairs)
    if "attacks" in given.parts:
        names = list(attack_names())
        items = [{"pair": pair, "attack": name, "budget": given.budget} for name in names for pair in range(count)]
        do("trust_models:attacked", items, "attacks", [f"{item['attack']} {item['pair']}" for item in items])
        rows += judge(given.budget, names, count)
    return rows


if __name__ == "__main__":
    main()
