"""Certified deletion on Adult and MNIST: epsilon against accuracy, removals until the budget is spent, groups.

Settings are chosen on rows that are neither learned nor tested. What is finished is on file: killed, the same command
goes on.

    python -m benchmarks.certified_utility --out runs/certified --dry-run
    python -m benchmarks.certified_utility --out runs/certified
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import digest, digest_file
from expunge.core.files import write_json
from expunge.core.progress import report
from expunge.workflow.stages import Stages, code_digest

MEASURED = ("accounting", "core", "data", "engine", "evaluation", "targets")
NEWTON = (
    *(f"targets/convex/{name}.py" for name in ("budget", "head", "losses", "model", "objective")),
    "targets/noisy/noise.py",
    "accounting/objective.py",
    "accounting/gaussian.py",
)
STEPS = (
    *(f"targets/noisy/{name}.py" for name in ("descending", "descent_to_delete", "fine_tuning", "langevin", "losses")),
    *(f"targets/noisy/{name}.py" for name in ("noise", "one_shot_removal")),
    *(f"accounting/{name}.py" for name in ("gaussian", "renyi", "shifted", "strongly_convex")),
)
PRIVATE = (
    "engine/private",
    "engine/recipes/private.py",
    "targets/noisy/noise.py",
    *(f"accounting/{name}.py" for name in ("gaussian", "mixture", "subsampled")),
)
VOTES, GROUPS = ("accounting/adaptive.py",), ("evaluation/by_group.py",)
EACH = ("core/seeds.py", "evaluation/bootstrap.py")
MATTERS = tuple(dict.fromkeys((*NEWTON, *STEPS, *PRIVATE, *VOTES, *GROUPS, *EACH)))
"""What decides the numbers, beside this benchmark's own files; a stage is done again where its own part changed."""
OWN = ("certified_data", "certified_ways", "certified_tuning", "certified_removals", "certified_groups")
EPSILONS = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
SIZES = (1, 100)
ANSWERS = (1, 10, 100)
"""Of a private vote, in all."""
SEEDS, TUNED_BY, ONCE = (0, 1, 2), (1000, 1001, 1002), (1000,)
"""Of noise; those of tuning, and of tuning where a run is long."""
DRAWS, LEVEL = 500, 0.9
MINUTES = {"adult": 7.0, "mnist": 6.0}
"""CPU minutes of all rows, on one thread."""
PENALTIES = ({"penalty": 1e-4}, {"penalty": 1e-3}, {"penalty": 1e-2})
STRONGER = ({"penalty": 1e-3}, {"penalty": 3e-3}, {"penalty": 1e-2}, {"penalty": 3e-2}, {"penalty": 0.1})
RATES = ({"lr": 0.2}, {"lr": 2.0})
CLIPPED = tuple(
    {"clip": clip, "gradient": clip / 10, "steps": steps} for clip, steps in ((0.05, 5), (1.0, 5), (4.0, 20))
)
MODELS = tuple({"clip": clip, "steps": steps} for clip, steps in ((0.05, 5), (1.0, 5), (4.0, 20)))


def ways() -> dict[str, tuple[Any, Sequence[Mapping[str, float]], tuple[int, ...]]]:
    """Name -> the mechanism, the settings to choose from, the sizes of requests."""
    from benchmarks import certified_tuning as tuning
    from benchmarks import certified_ways as made

    few = SIZES[-1:]
    return {
        "Newton removal, residual": (made.newton("residual"), PENALTIES, SIZES),
        "Newton removal, one against the rest": (made.newton("residual", "one_vs_rest"), PENALTIES, SIZES),
        "Newton removal, bound": (made.newton("bound"), PENALTIES, SIZES),
        "Newton removal, worst case": (made.newton("worst"), STRONGER, SIZES),
        "one-shot removal": (made.one_shot, STRONGER, SIZES),
        "descent to delete, secret state": (made.descent_secret, STRONGER, SIZES),
        "descent to delete, published state": (made.descent_published, STRONGER[1:4], SIZES),
        "Langevin": (made.langevin_steps, STRONGER[:3], SIZES),
        "DP-SGD": (made.dp_sgd, RATES, SIZES),
        "fine-tuning, gradients clipped": (tuning.fine_tuned("gradient", 0), CLIPPED, few),
        "fine-tuning, model clipped": (tuning.fine_tuned("model", 0), MODELS, few),
        "fine-tuning, then plain steps": (tuning.fine_tuned("gradient", tuning.AFTERWARDS), CLIPPED, few),
    }


def mean(scores: Mapping[Any, np.ndarray], weights: Mapping[Any, np.ndarray] | None = None) -> Any:
    """Mean of the one score, and on each draw where there are weights."""
    (key,) = scores
    return scores[key].mean() if weights is None else weights[key] @ scores[key] / weights[key].sum(axis=1)


def interval(right: np.ndarray) -> list[float]:
    """Mean over seeds and rows, and its 90 % interval of resampled rows and seeds.

    Args:
        right: (seeds, n) shares.
    """
    from expunge.evaluation.bootstrap import estimate

    names = [str(at) for at in range(right.shape[1])]
    scores = {("model", "test", "right"): right}
    found = estimate(mean, scores, {"test": names}, draws=DRAWS, level=LEVEL, seed=0, bounds=(0.0, 1.0))
    return [found.value, found.low, found.high]


class Bench:
    """One data set: what is finished is read, what is not is done.

    Args:
        task: of ``certified_data``.
        out: folder of the run.
        epsilons: to measure at.
        seeds: of noise.
    """

    def __init__(
        self, task: Any, out: Path, *, epsilons: Sequence[float] = EPSILONS, seeds: Sequence[int] = SEEDS
    ) -> None:
        self.task, self.epsilons, self.seeds = task, tuple(epsilons), tuple(seeds)
        here = Path(__file__).parent
        own = {name: digest_file(here / f"{name}.py") for name in OWN}
        self.stages = Stages(out, digest([task.digest(), own]))
        self.spent = 0.0

    def once(self, name: str, code: Sequence[str], inputs: Any, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a stage found, with the processor seconds that it took."""

        def timed() -> dict[str, Any]:
            started = time.process_time()
            return {**work(), "cpu": time.process_time() - started}

        measured = code_digest(*code, *EACH)
        found = self.stages.do(f"{self.task.name}-{name}", [measured, inputs], (), timed)
        self.spent += found["cpu"]
        return found

    def way(self, name: str, m: int) -> list[dict[str, Any]]:
        """One mechanism at every epsilon: the setting that tuning chose, and accuracy."""
        run, grid, _ = ways()[name]
        tuned_by = ONCE if name.startswith(("DP-SGD", "Newton")) else TUNED_BY

        def work() -> dict[str, Any]:
            from benchmarks.certified_ways import right

            tuned: dict[float, tuple[float, int]] = {}
            for at, setting in enumerate(grid):
                for epsilon, made in run(self.task, setting, self.epsilons, m, tuned_by).items():
                    if made.weights is not None:
                        score = float(right(self.task, made.weights, "tune").mean())
                        tuned[epsilon] = max(tuned.get(epsilon, (-1.0, 0)), (score, -at))
            cells: list[dict[str, Any]] = []
            for at, setting in enumerate(grid):
                chosen = [epsilon for epsilon, (_, best) in tuned.items() if best == -at]
                for epsilon, made in run(self.task, setting, chosen, m, self.seeds).items() if chosen else ():
                    told = right(self.task, made.weights, "test")
                    cells.append(
                        {"epsilon": epsilon, "setting": dict(setting), "sigma": made.sigma, "again": made.again}
                        | {"accuracy": interval(told.astype(float))}
                    )
            cells += [
                {"epsilon": epsilon, "accuracy": None, "note": "no noise that was tried is enough"}
                for epsilon in self.epsilons
                if epsilon not in tuned
            ]
            return {"cells": sorted(cells, key=lambda cell: cell["epsilon"])}

        inputs = [self.epsilons, self.seeds, tuned_by, list(grid), m]
        code = NEWTON if name.startswith("Newton") else PRIVATE if name == "DP-SGD" else STEPS
        return self.once(f"{name}-{m}".replace(" ", "_").replace(",", ""), code, inputs, work)["cells"]

    def yardsticks(self) -> dict[str, Any]:
        """Without privacy: retrained, majority, and steps from zero."""

        def work() -> dict[str, Any]:
            from benchmarks import certified_tuning as tuning
            from benchmarks.certified_ways import right

            task, m = self.task, SIZES[-1]
            kept = task.train.without(task.forgotten(m))
            retrained = right(task, tuning.plain(kept)[None], "test")
            common = np.bincount(task.train.y).argmax()
            found = {"retrained": interval(retrained.astype(float))}
            found["majority"] = interval((task.test.y == common)[None].astype(float))
            found["from zero"] = interval(right(task, tuning.from_zero(task, m), "test").astype(float))
            return found

        return self.once("yardsticks", (), [], work)

    def votes(self) -> dict[str, Any]:
        """The private vote of shards, at an epsilon of all of its answers."""

        def work() -> dict[str, Any]:
            from benchmarks import certified_tuning as tuning

            task = self.task
            counts = [tuning.votes(task, SIZES[-1], seed) for seed in self.seeds]
            plain = np.array([count.argmax(axis=1) == task.test.y for count in counts])
            cells: list[dict[str, Any]] = []
            for epsilon, answers in product(self.epsilons, ANSWERS):
                each = tuning.per_answer(epsilon, answers, len(task.train))
                right = np.array([tuning.voted(count, task.test.y, each) for count in counts])
                cells.append({"epsilon": epsilon, "answers": answers, "each": each, "accuracy": interval(right)})
            facts = {"shards": tuning.SHARDS, "voters": tuning.VOTERS}
            return {**facts, "cells": cells, "without": interval(plain.astype(float))}

        return self.once("votes", VOTES, [self.epsilons, self.seeds, ANSWERS], work)

    def found(self) -> dict[str, Any]:
        """All of it as a table of JSON."""
        from benchmarks.certified_groups import groups
        from benchmarks.certified_removals import removals

        task, rows = self.task, list[dict[str, Any]]()
        two = task.classes == 2
        asked = {name: way for name, way in ways().items() if not (two and name.endswith("one against the rest"))}
        cells = [(name, m) for name, (_, _, sizes) in asked.items() for m in sizes]
        yardsticks, vote = self.yardsticks(), self.votes()
        for number, (name, m) in enumerate(cells):
            report("mechanisms", number, len(cells), task.name)
            rows.append({"way": name, "m": m, "cells": self.way(name, m)})
        report("mechanisms", len(cells), len(cells), task.name)
        spent = self.once("removals", NEWTON, [], lambda: removals(task))
        code, of = (*NEWTON, *PRIVATE, *GROUPS), (self.epsilons, self.seeds)
        told = self.once("groups", code, of, lambda: groups(task, *of))
        n, d = task.train.X.shape
        about = {"name": task.name, "told": task.told, "rows": n, "features": d, "classes": task.classes}
        about |= {"test": len(task.test), "tune": len(task.tune), "digest": task.digest(), "delta": 1e-5}
        about |= {"seeds": list(self.seeds), "code": code_digest(*MATTERS), "cpu": self.spent}
        return {**about, "yardsticks": yardsticks, "votes": vote, "ways": rows, "removals": spent, "groups": told}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, resumable, and leave it in ``certified-*.json`` for the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/certified"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with mnist and adult")
    parser.add_argument("--tasks", nargs="+", choices=sorted(MINUTES), default=list(MINUTES))
    parser.add_argument("--rows", type=int, help="that are learned; 24,000 of Adult and 10,000 of MNIST by default")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, in CPU minutes")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.dry_run:
        for name in given.tasks:
            print(f"{name:<8}{MINUTES[name]:>8.1f} CPU min")
        return 0
    from benchmarks.certified_data import ROWS, TASKS

    found: dict[str, Any] = {}
    for name in given.tasks:
        task = TASKS[name](given.data / name, given.rows or ROWS[name])
        found[name] = Bench(task, given.out).found()
        write_json(given.out / f"certified-{name}.json", found[name])
    if given.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
