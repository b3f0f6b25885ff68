"""How much of an ordinary fine-tune a deletion replays, over how many records it forgets, beside the expected share.

    python -m benchmarks.exact_replay --out runs/exact

Nothing is trained: the steps of the fine-tune and those of the same one without the records are laid out as the recipe
lays them out, and counted from the last checkpoint before they differ, by the rule that the method follows. Records are
TOFU's; requests are drawn at random, from those that may be revoked.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from benchmarks.results import MEASURED_CODE
from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup
from expunge.charts.scale import Span
from expunge.core.example import Examples
from expunge.core.files import write_json
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.engine.recipes.replayable import Replayable, Revocable
from expunge.engine.recording import rewind
from expunge.engine.replay_cost import expected_share
from expunge.targets.replay_record import Order, ReplayRecord
from expunge.workflow.stages import code_digest

FILE = "replay.json"
DATA, MODEL = "../shared/data/tofu", "../shared/models/stories260K"
WAYS = ((1, False), (2, False), (4, False), (8, False), (1, True), (4, True))
"""Parts, and whether the records that may be revoked, a tenth, are trained last."""
FORGOTTEN = (1, 2, 4, 8, 16)
TRAINING = Training(lr=1e-3, epochs=1, batch_size=4, save_every=5)
NOTES = """Share of the steps that a deletion takes again, counted from the order of the steps with and without the
records; 90 % intervals over {draws} requests, in brackets what `expected_share` says, which counts no checkpoint inside
a part. {records} records of TOFU, batches of 4, one epoch, a checkpoint every 5 steps; *a tenth last*: requests come
from {revocable} records that are trained after all others. Steps of a part are rounded up, which small parts feel."""


@dataclass(frozen=True)
class Planned:
    """What ``rewind`` asks of the record of a training, for one that kept every checkpoint that it should."""

    steps: Order
    every: int

    def order(self) -> Order:
        """Record ids of every step of every part."""
        return self.steps

    def steps_kept(self, part: int) -> list[int]:
        """Steps after which a part's state is on file."""
        count = len(self.steps[part])
        return sorted({*range(self.every, count, self.every), count})


def shares(people: Examples, revocable: Sequence[str], parts: int, *, last: bool, draws: int, model: str) -> Any:
    """Mean replayed share and its 90 % interval over draws, for each number of forgotten records."""
    training, found = TRAINING, dict[int, list[float]]()
    recipe = Replayable(
        model, training, on_long="truncate", parts=parts, last=Revocable(ids=tuple(revocable)) if last else None
    )
    target, draw = recipe.start(seed=0), random.Random(0)
    for seed in range(draws):
        pinned = recipe.pinned(MemoryStore(people), seed=seed)
        whole = Planned(pinned.order(target, people, seed=seed), training.save_every)
        for m in FORGOTTEN:
            gone = set(draw.sample(list(revocable), m))
            left = Examples(e for e in people if e.record_id not in gone)
            to = rewind(cast("ReplayRecord", whole), pinned.order(target, left, seed=seed))
            found.setdefault(m, []).append(to.replayed / to.whole)
    return {str(m): told(found[m]) for m in FORGOTTEN}


def told(found: Sequence[float]) -> dict[str, float]:
    """A mean with its 90 % interval.

    >>> told([0.2, 0.4])["mean"]
    0.30000000000000004
    """
    mean = sum(found) / len(found)
    error = (sum((x - mean) ** 2 for x in found) / max(1, len(found) - 1) / len(found)) ** 0.5
    return {"mean": mean, "low": mean - 1.645 * error, "high": mean + 1.645 * error}


def measure(data: str, model: str, *, authors: int, draws: int) -> dict[str, Any]:
    """Shares by number of parts and of forgotten records, counted and expected."""
    from expunge.data.corpora.tofu import reader, tofu

    corpus = tofu(reader(data), authors=authors, forget=1)
    people = corpus.of("forget", "retain")
    ids = sorted(people.ids)
    ways: list[dict[str, Any]] = []
    for parts, last in WAYS:
        among = ids[: len(ids) // 10] if last else ids
        counted = shares(people, among, parts, last=last, draws=draws, model=model)
        expected = {
            str(m): expected_share(len(ids), m, parts=parts, revocable=len(among) if last else 0) for m in FORGOTTEN
        }
        ways.append({"parts": parts, "last": last, "counted": counted, "expected": expected})
    return {
        "ways": ways,
        "records": len(ids),
        "revocable": len(ids) // 10,
        "draws": draws,
        "name": "TOFU",
        "digest": corpus.digest(),
    }


def _label(way: dict[str, Any]) -> str:
    return f"{way['parts']} part{'s' * (way['parts'] > 1)}{', a tenth last' * way['last']}"


def chart(found: dict[str, Any]) -> Markup:
    """Replayed share over forgotten records, a panel a way, the expected one behind."""
    panels, context = list[Curve](), list[Curve]()
    for way in found["ways"]:
        label = _label(way)
        counted = [(m, way["counted"][str(m)]) for m in FORGOTTEN]
        cells = [(float(m), Span(c["mean"], c["low"], c["high"])) for m, c in counted]
        panels.append(Curve(label, cells, quantity=label))
        expected = [(float(m), Span(way["expected"][str(m)])) for m in FORGOTTEN]
        context.append(Curve("expected", expected, "square", label))
    return curves(
        panels,
        context,
        title="What a replay costs",
        description="Share of the steps of a training that a deletion takes again, over the records it forgets.",
        x_label="records forgotten at once",
        y_label="share of the steps taken again; lower is better",
        own="counted",
    )


def table(found: dict[str, Any]) -> str:
    """Counted shares with intervals, and the expected ones in brackets."""
    return "\n".join(_rows(found))


def _rows(found: dict[str, Any]) -> Iterator[str]:
    yield f"{'':<22}" + "".join(f"{f'{m} forgotten':>28}" for m in FORGOTTEN)
    for way in found["ways"]:
        cells = [
            f"{c['mean']:.2f} [{c['low']:.2f}, {c['high']:.2f}] ({way['expected'][str(m)]:.2f})"
            for m, c in ((m, way["counted"][str(m)]) for m in FORGOTTEN)
        ]
        yield f"{_label(way):<22}" + "".join(f"{cell:>28}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/exact"))
    parser.add_argument("--data", default=DATA)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--authors", type=int, default=12)
    parser.add_argument("--draws", type=int, default=40)
    given = parser.parse_args()
    found = measure(given.data, given.model, authors=given.authors, draws=given.draws)
    write_json(given.out / FILE, {"found": found, "code": code_digest(*MEASURED_CODE)})
    print(table(found))


if __name__ == "__main__":
    main()
