"""SISA on MNIST and Adult: accuracy beside one model of all rows, and what deletions cost beside retraining it.

Every way takes the same total of rows times epochs. Costs of deletions are counted by the plan that the method follows,
and some deletions are run: in processor seconds, and compared by digest with a run from scratch without the rows. What
is finished is on file: killed, the same command goes on.

    python -m benchmarks.exact_sisa --out runs/exact --dry-run
    python -m benchmarks.exact_sisa --out runs/exact --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import digest
from expunge.core.files import write_json
from expunge.core.progress import report
from expunge.core.seeds import derive
from expunge.core.selection import Selection
from expunge.workflow.stages import Stages, code_digest

MEASURED = ("core", "data", "engine", "methods/exact", "ops", "targets")
GRID = tuple((shards, slices) for shards in (1, 5, 10, 20) for slices in (1, 4))
SIZES, REQUESTS = (1, 2, 4, 8, 18, 32, 64), 40
"""Records that a request deletes at once, and how many random requests of each size are counted."""
RUN = (1, 1, 1, 8, 32)
"""Sizes of the requests that are run, for every way but the one model that retraining makes."""
CHECKED = 8
"""The size of the request whose result is compared with a run from scratch."""
Z = 1.645
"""Of a 90 % interval."""
DRAWS = 1000
COST = {"mnist": (2.2e-5, 6e-5), "adult": (4e-6, 4e-5)}
"""CPU seconds of a row and epoch, and of a row whatever the epochs, for ``--dry-run``."""


def expected(rows: int, shards: int, epochs: Sequence[float], deleted: int) -> float:
    """Rows times epochs of answering K deletions at once: sum_r e_r (N r/R (1 - (1 - r/(R S))^K) - K r/R).

    A shard trains slice r again unless all K miss its slices 1..r. Without slices this is ``cost.batch_points`` times
    e'; for one deletion it is ``cost.slicing_point_epochs``, less the row that went.

    Args:
        rows: N, before the deletions.
        shards: S, of equal size, as their slices are.
        epochs: e_r of each of R slices.
        deleted: K.

    >>> from expunge.engine.parts.cost import batch_points, slicing_point_epochs
    >>> expected(100, 4, (10,), 2), 10 * batch_points(100, 4, 2)
    (417.5, 417.5)
    >>> expected(120, 4, (4, 4), 1), slicing_point_epochs(120, 4, 2, 6) - 6
    (144.0, 144.0)
    """
    parts, total = len(epochs), 0.0
    for r, own in enumerate(epochs, 1):
        hit = 1 - (1 - r / (parts * shards)) ** deleted
        total += own * r / parts * (rows * hit - deleted)
    return total


def packed(right: np.ndarray) -> str:
    """Which test rows were answered rightly, as hex."""
    return np.packbits(right.astype(bool)).tobytes().hex()


def unpacked(told: str, rows: int) -> np.ndarray:
    """What ``packed`` told, as ones and zeros (n,).

    >>> unpacked(packed(np.array([1, 0, 1])), 3).tolist()
    [1.0, 0.0, 1.0]
    """
    return np.unpackbits(np.frombuffer(bytes.fromhex(told), dtype=np.uint8))[:rows].astype(float)


def difference(one: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Mean of one - other over test rows, and its 90 % percentile interval of resampled rows."""
    apart, draw = one - other, np.random.default_rng(0)
    n = len(apart)
    means = [float(apart[draw.integers(0, n, n)].mean()) for _ in range(DRAWS)]
    low, high = np.quantile(means, (0.05, 0.95))
    return float(apart.mean()), float(low), float(high)


def size_of(folder: Path, pattern: str) -> list[int]:
    """Bytes below each folder of a target that fits."""
    return [sum(f.stat().st_size for f in place.rglob("*") if f.is_file()) for place in sorted(folder.glob(pattern))]


class Bench:
    """One data set: what is finished is read, what is not is done.

    Args:
        task: of ``exact_sisa_data``.
        out: folder of the run.
        seeds: how many, from 0.
        grid: numbers of shards and slices; the first is one model.
    """

    def __init__(self, task: Any, out: Path, seeds: int, grid: Sequence[tuple[int, int]] = GRID) -> None:
        self.task, self.seeds, self.grid = task, seeds, grid
        self.stages = Stages(out, digest([task.digest(), code_digest(*MEASURED)]))
        self.n = len(task.train)

    def once(self, name: str, inputs: Any, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a stage found, with the processor seconds that it took."""

        def timed() -> dict[str, Any]:
            started = time.process_time()
            return {**work(), "cpu": time.process_time() - started}

        return self.stages.do(f"{self.task.name}-{name}", inputs, (), timed)

    @cached_property
    def requests(self) -> dict[int, list[list[str]]]:
        """Random requests by size."""
        ids = self.task.train.ids()

        def drawn(size: int, draw: int) -> list[str]:
            generator = np.random.default_rng(derive(0, "exact_sisa", size, draw))
            return [ids[at] for at in sorted(generator.choice(len(ids), size, replace=False))]

        return {size: [drawn(size, draw) for draw in range(REQUESTS)] for size in SIZES}

    def plans(self, shards: int, slices: int) -> dict[str, Any]:
        """What requests cost by the plan; they take turns at the partitions of the seeds."""
        from expunge.engine.parts.plan import plan_of

        recipe = self.task.recipe(shards, slices)

        def work() -> dict[str, Any]:
            held = [recipe.manifests(self.task.train, seed=seed) for seed in range(self.seeds)]
            found: dict[str, Any] = {}
            for size, requests in self.requests.items():
                costs = [plan_of(held[at % self.seeds], ids).point_epochs for at, ids in enumerate(requests)]
                error = Z * float(np.std(costs, ddof=1)) / len(costs) ** 0.5
                wanted = expected(self.n, shards, recipe.slice_epochs, size)
                again = (self.n - size) * self.task.epochs
                found[str(size)] = {"mean": float(np.mean(costs)), "error": error, "formula": wanted, "retrain": again}
            return {"by_size": found}

        return self.once(f"plans-{shards}-{slices}", [self.requests, self.seeds, recipe.digest()], work)

    def cell(self, shards: int, slices: int, seed: int) -> dict[str, Any]:
        """Train, judge, weigh, and for the first seed delete."""
        recipe, deleting = self.task.recipe(shards, slices), seed == 0 and shards * slices > 1

        def work() -> dict[str, Any]:
            started = time.process_time()
            target = recipe.train(self.task.train, seed=seed)
            found: dict[str, Any] = {"train": time.process_time() - started, "right": self._right(target)}
            found["checkpoints"] = size_of(target.folder, "shards/*/slices/*")
            found["answering"] = sum(size_of(target.folder, f"shards/*/slices/{slices - 1:04d}/model"))
            found["stored"] = sum(size_of(target.folder, "shards/*/rows"))
            found["held"] = [len(manifest.ids) for manifest in target.manifests]
            return {**found, "deletions": self._deleted(recipe, target) if deleting else []}

        return self.once(f"cell-{shards}-{slices}-{seed}", [recipe.digest(), RUN if deleting else ()], work)

    def _right(self, target: Any) -> dict[str, str]:
        from expunge.targets.sharded import Sharded

        test, found = self.task.test, dict[str, str]()
        for vote in ("majority", "mean"):
            voting = Sharded(target.folder, target.trainer, {**target.card, "vote": vote})
            found[vote] = packed(voting.predict(test.X) == test.y)
        return found

    def _deleted(self, recipe: Any, target: Any) -> list[dict[str, Any]]:
        from expunge.methods.exact.sisa import sisa

        found: list[dict[str, Any]] = []
        for at, size in enumerate(RUN):
            ids = self.requests[size][at if size == 1 else 0]
            selection = Selection(forget=self.task.train.get(ids))
            started = time.process_time()
            outcome = sisa.unlearn(target, selection, seed=0)
            row: dict[str, Any] = {"deleted": size, "seconds": time.process_time() - started}
            row["point_epochs"] = outcome.notes["replayed"]["point_epochs"]
            if size == CHECKED:
                started = time.process_time()
                fresh = recipe.train(self.task.train.without(ids), seed=0)
                row["scratch"] = time.process_time() - started
                row |= {"after": outcome.target.digest(), "fresh": fresh.digest()}
            found.append(row)
        return found

    def retraining(self) -> dict[str, Any]:
        """Processor seconds of one model of the rows that a request leaves: as a target, and as training alone."""
        recipe, trainer = self.task.recipe(1, 1), self.task.trainer
        ids = self.requests[CHECKED][0]

        def work() -> dict[str, Any]:
            kept, whole, bare = self.task.train.without(ids), list[float](), list[float]()
            for _ in range(3):
                started = time.process_time()
                recipe.train(kept, seed=0)
                whole.append(time.process_time() - started)
                started, model = time.process_time(), trainer.start(seed=0)
                trainer.train(model, kept, epochs=self.task.epochs, seed=0, names=("shard", 0, "slice", 0))
                bare.append(time.process_time() - started)
            return {"whole": float(np.median(whole)), "bare": float(np.median(bare))}

        return self.once("retraining", [recipe.digest(), ids], work)

    def found(self) -> dict[str, Any]:
        """All of it as a table of JSON."""
        report("SISA", 0, len(self.grid), self.task.name)
        retraining, spent, rows = self.retraining(), 0.0, list[dict[str, Any]]()
        alone: dict[str, np.ndarray] = {}
        for number, (shards, slices) in enumerate(self.grid):
            cells = [self.cell(shards, slices, seed) for seed in range(self.seeds)]
            plans = self.plans(shards, slices)
            spent += plans["cpu"] + sum(cell["cpu"] for cell in cells)
            right = {vote: self._mean_right(cells, vote) for vote in ("majority", "mean")}
            alone = alone or right
            rows.append(
                {
                    "shards": shards,
                    "slices": slices,
                    "epochs": list(self.task.recipe(shards, slices).slice_epochs),
                    "accuracy": {vote: float(values.mean()) for vote, values in right.items()},
                    "by_seed": [float(unpacked(c["right"]["majority"], len(self.task.test)).mean()) for c in cells],
                    "price": {vote: difference(values, alone[vote]) for vote, values in right.items()},
                    "costs": plans["by_size"],
                    **{name: cells[0][name] for name in ("train", "answering", "stored", "deletions", "held")},
                    "checkpoints": cells[0]["checkpoints"],
                }
            )
            report("SISA", number + 1, len(self.grid), self.task.name)
        about = {"name": self.task.name, "rows": self.n, "test": len(self.task.test), "told": self.task.told}
        about |= {"epochs": self.task.epochs, "seeds": self.seeds, "digest": self.task.digest()}
        about |= {"code": code_digest(*MEASURED)}
        return {**about, "retraining": retraining, "ways": rows, "cpu": spent + retraining["cpu"]}

    def _mean_right(self, cells: Sequence[dict[str, Any]], vote: str) -> np.ndarray:
        return np.mean([unpacked(cell["right"][vote], len(self.task.test)) for cell in cells], axis=0)


def planned(name: str, rows: int, seeds: int, grid: Sequence[tuple[int, int]] = GRID, epochs: int = 10) -> float:
    """CPU minutes that a data set takes, about."""
    step, row = COST[name]
    whole = rows * (epochs * step + row)
    trained = len(grid) * seeds + 6.0
    for shards, slices in grid[1:]:
        share = [expected(rows, shards, [2 * epochs / (slices + 1)] * slices, k) / (rows * epochs) for k in RUN]
        trained += sum(share) + 1
    return (whole * trained + len(grid) * len(SIZES) * REQUESTS * rows * 4e-7) / 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, resumable, print what came out, and leave it in ``sisa-*.json`` for the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/exact"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with mnist and adult")
    parser.add_argument("--tasks", nargs="+", choices=sorted(COST), default=list(COST))
    parser.add_argument("--rows", type=int, help="that are learned; 20,000 of MNIST and 24,000 of Adult by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, in CPU minutes")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    from benchmarks.exact_sisa_data import ROWS, TASKS

    if given.dry_run:
        for name in given.tasks:
            rows = given.rows or ROWS[name]
            print(f"{name:<8}{rows:>8,} rows{planned(name, rows, given.seeds):>8.1f} CPU min")
        return 0
    from benchmarks.exact_sisa_page import table

    found: dict[str, Any] = {}
    command = " ".join(["benchmarks.exact_sisa", *(sys.argv[1:] if arguments is None else arguments)])
    for name in given.tasks:
        task = TASKS[name](given.data / name, given.rows or ROWS[name])
        found[name] = {**Bench(task, given.out, given.seeds).found(), "command": command}
        write_json(given.out / f"sisa-{name}.json", found[name])
        if not given.json:
            print(table(found[name]), end="\n\n", flush=True)
    if given.json:
        print(json.dumps(found))
    return int(not all(map(same, found.values())))


def same(found: dict[str, Any]) -> bool:
    """Whether every deletion that was compared is what a run from scratch gives."""
    rows = [row for way in found["ways"] for row in way["deletions"] if "fresh" in row]
    return bool(rows) and all(row["after"] == row["fresh"] for row in rows)


if __name__ == "__main__":
    sys.exit(main())
