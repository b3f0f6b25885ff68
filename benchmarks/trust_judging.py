"""What a policy says of models of known truth, on ten splits of each pair's people, and what that makes of a name."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.trust_margins import Margin, margin_of
from benchmarks.trust_models import (
    ARMS,
    CASES,
    CONTROL,
    COST,
    EXACT,
    GIVEN_UP,
    NEVER,
    NOT_HAD,
    SECOND,
    TRAINED,
    Folders,
    attack_place,
    score_place,
)
from benchmarks.trust_splits import SPLITS, Share, Split, clustered
from expunge.core.attack import ORIGINAL, needs_of
from expunge.core.canonical import digest, read_json
from expunge.core.files import write_json
from expunge.core.measure import Statistic
from expunge.core.policy import Status, equivalence
from expunge.core.registry import attacks, metrics
from expunge.evaluation.attacking import attack_statistic
from expunge.evaluation.contrast import Cast, contrast, distance
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.score_table import load_tables

DRAWS, LEVEL = 1000, 0.9
"""A verdict's interval takes half of a policy's draws. One standard error of its ends is then a fiftieth of its width:
sqrt(0.05 * 0.95 / 1000) / 0.103 of 3.29 standard deviations, where 0.103 is the normal density at such an end."""
CAUGHT, WRONG = 0.5, 0.2
"""What is relied on catches more than this, at the lower end, and errs in either way less than that, at the upper. What
does not even do so on average earns nothing."""
TABLE, ATTACK = "table", "attack"


def trust_in(caught: Share, missed: Share, false_alarm: Share, *, whole: bool) -> str:
    """The trust that these shares are worth: ``unclear`` is what errs little on average, with too wide an interval.

    Args:
        caught: mean, lower and upper end.
        missed: the same.
        false_alarm: the same.
        whole: whether every pair could be measured.

    >>> trust_in((0.9, 0.7, 1.0), (0.0, 0.0, 0.18), (0.1, 0.02, 0.3), whole=True)
    'unclear'
    >>> trust_in((0.9, 0.7, 1.0), (0.0, 0.0, 0.18), (0.3, 0.15, 0.5), whole=True)
    'no'
    """
    # Means of tenths: 0.2 of every pair is not to come out above 0.2.
    means = [round(share[0], 9) for share in (caught, missed, false_alarm)]
    if means[0] <= CAUGHT or max(means[1:]) > WRONG:
        return "no"
    sure = caught[1] > CAUGHT and max(missed[2], false_alarm[2]) < WRONG
    return "yes" if sure and whole else "unclear"


@dataclass(frozen=True)
class Row:
    """What is known of one name.

    Args:
        name: of a metric or an attack.
        margin: that it was read at.
        statuses: case -> for each pair that could be measured, in one order, the verdict on each split.
        gone: why the other pairs could not be.
    """

    name: str
    margin: Margin
    statuses: Mapping[str, Sequence[Sequence[Status]]]
    gone: Sequence[str] = field(default=())

    @property
    def pairs(self) -> int:
        """Pairs that were measured."""
        return len(self.statuses[TRAINED])

    def share(self, case: str, status: Status) -> Share:
        """Share of a verdict, with its interval over pairs."""
        return clustered([list(found).count(status) / len(found) for found in self.statuses[case]])

    @property
    def caught(self) -> Share:
        """Share of alarms on models that learned the records."""
        return self.share(TRAINED, "failed")

    @property
    def missed(self) -> Share:
        """Share of such models that earn it."""
        return self.share(TRAINED, "earned")

    @property
    def false_alarm(self) -> Share:
        """Share of alarms on models that never saw the records, of the kind with more: they are not averaged."""
        return max(self.share(case, "failed") for case in (NEVER, EXACT))

    @property
    def earned_never(self) -> Share:
        """Share of models that never saw the records which earn it, of the kind with fewer."""
        return min(self.share(case, "earned") for case in (NEVER, EXACT))

    @property
    def trust(self) -> str:
        """Whether it tells a model that knows from one that never did."""
        if not self.pairs:
            return "not measured"
        return trust_in(self.caught, self.missed, self.false_alarm, whole=not self.gone)


def reads_original(name: str) -> bool:
    """Whether a name compares with the model before unlearning, which is the trained one itself here."""
    if name in attacks.names():
        return ORIGINAL in needs_of(attacks.get(name))
    found = metrics.get(name)
    return isinstance(found, Statistic) and any(model == ORIGINAL for model, _, _ in found.needs)


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


def on_splits(name: str, items: PerItem, pair: int) -> dict[str, Any]:
    """The verdict on each case and split of a pair, or under ``gone`` why there is none."""
    found: dict[str, list[Status]] = {case: [] for case in CASES}
    margin = margin_of(name)
    try:
        for seed in range(pair * SPLITS, (pair + 1) * SPLITS):
            split = Split(items, seed)
            for case in CASES:
                found[case].append(verdict(name, split, margin, case, seed))
    except (Unmeasured, *NOT_HAD) as reason:
        return {"gone": str(reason)}
    return found


def judged_place(at: Folders, kind: str, pair: int, names: Sequence[str]) -> Path:
    """File of a pair's verdicts on these names."""
    attacks_of = Path(at["attacks"]).name if kind == ATTACK else ""
    key = digest([attacks_of, list(names)]).partition(":")[2][:12]
    return Path(at["judged"]) / f"{pair:02d}-{kind}-{key}.json"


def judged(item: Mapping[str, Any]) -> None:
    """Judge every name on one pair, by a worker.

    Args:
        item: ``at``, the folders; ``kind``, whether metrics or attacks; ``pair``; ``names``.
    """
    at, kind, pair, names = item["at"], item["kind"], item["pair"], item["names"]
    place, begun = judged_place(at, kind, pair, names), time.process_time()
    if place.is_file():
        return
    found: dict[str, Any] = {}
    items = PerItem({who: load_tables(score_place(at, pair, who)) for who in ARMS} if kind == TABLE else {})
    for name in names:
        if kind != TABLE:
            rows = attack_place(at, pair, name)
            if (rows / GIVEN_UP).is_file():
                found[name] = {"gone": read_json(rows / GIVEN_UP)["why"]}
                continue
            items = PerItem({who: {name: table} for who, table in load_tables(rows).items()})
        found[name] = on_splits(name, items, pair)
    write_json(place.with_name(f"{place.name}{COST}"), {"cpu": round(time.process_time() - begun, 2)})
    write_json(place, found)


def rows_of(places: Sequence[Path], names: Sequence[str]) -> list[Row]:
    """The rows that the files of all pairs come to."""
    read = [read_json(place) for place in places]
    rows: list[Row] = []
    for name in names:
        had = [found[name] for found in read if "gone" not in found[name]]
        gone = [found[name]["gone"] for found in read if "gone" in found[name]]
        rows.append(Row(name, margin_of(name), {case: [one[case] for one in had] for case in CASES}, gone))
    return rows


def as_kept(row: Row) -> dict[str, Any]:
    """What the package keeps of a row.

    Shares are mean, lower and upper end; a name without a measured pair keeps its trust and the reason.
    """
    kept = {"trust": row.trust, "pairs": row.pairs, "margin": asdict(row.margin)}
    if not row.pairs:
        return {**kept, "why": row.gone[0]}
    shares = {"caught": row.caught, "missed": row.missed, "false_alarm": row.false_alarm}
    return {**kept, **{name: [round(number, 4) for number in share] for name, share in shares.items()}}
