"""Deleting rows from a ridge regression against fitting it again, both with their coefficients, in one run.

``python -m benchmarks.exact_ridge [--growth] [--seed 0] [--out FILE]`` prints JSON. Both ways start from the names of
the rows that go and end with coefficients. A deletion is ``learner.unlearn(ids).coef_``: names looked up, a new learner
made that leaves the old one valid, the equations solved. A refit is what the learner would do from rows that lie in
memory and need no check: the rows that stay are copied out, X'X, X'y, one Cholesky solve. ``in_place`` is a refit of
all n rows where they lie, which leaves nothing out. They alternate; each number is a median, of seconds on the clock
and of processor seconds. Where others use the machine, a refit is interrupted and a deletion seldom; so the ratio that
counts is the smaller one of the two.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn import linear_model
from sklearn.base import clone

from expunge.core.files import write_json
from expunge.targets.learners.ridge import Ridge

N, D, PENALTY = 100_000, 200, 2.0
Times = tuple[float, float]
DELETED = (1, 100, 1000)
REPEATS, TIMES = 9, 5
GOALS = {"ridge_1": 1000.0, "ridge_100": 1000.0, "ridge_1000": 8.0}
GROWTH = {
    "n": [(n, D, k) for n in (10_000, 30_000, 100_000) for k in (1, 100)],
    "d": [(30_000, d, k) for d in (50, 100, 200, 400) for k in (1, 100)],
    "m": [(N, D, k) for k in (1, 3, 10, 30, 100, 200, 300, 1000, 3000, 10_000, 30_000)],
}


class Data:
    """Rows X (n, d) with targets y (n,), and the learner of them."""

    def __init__(self, n: int, d: int, *, seed: int, exactness: str = "1e-12") -> None:
        self.rng = np.random.default_rng(seed)
        self.X = self.rng.standard_normal((n, d))
        self.y = self.X @ self.rng.standard_normal(d) + self.rng.standard_normal(n)
        self.learner = Ridge(penalty=PENALTY, intercept=False, exactness=exactness)
        started = time.perf_counter()
        self.learner.fit(self.X, self.y)
        self.fit_seconds = time.perf_counter() - started
        self.delete(1)

    def refit(self, names: Sequence[str]) -> Any:
        """Coefficients (d,) without the rows of these names."""
        kept = np.ones(len(self.X), bool)
        kept[[int(name) for name in names]] = False
        return self.solved(self.X[kept], self.y[kept])

    def in_place(self) -> Any:
        """Coefficients (d,) of all rows."""
        return self.solved(self.X, self.y)

    def solved(self, X: Any, y: Any) -> Any:
        """Coefficients (d,) of rows."""
        A = X.T @ X
        A.flat[:: len(A) + 1] += PENALTY
        return cho_solve(cho_factor(A, lower=True, overwrite_a=True, check_finite=False), X.T @ y, check_finite=False)

    def names(self, k: int) -> list[str]:
        """k rows drawn anew."""
        return [str(i) for i in self.rng.choice(len(self.X), k, replace=False)]

    def delete(self, k: int) -> Times:
        """One deletion of k rows, timed."""
        names = self.names(k)
        return seconds(lambda: self.learner.unlearn(names).coef_)

    def off(self, k: int) -> float:
        """Largest difference of a coefficient to a refit without the rows, as a share of the largest coefficient."""
        names = self.names(k)
        expected = self.refit(names)
        return float(np.abs(self.learner.unlearn(names).coef_ - expected).max() / np.abs(expected).max())


def seconds(act: Callable[[], Any]) -> Times:
    """How long something takes on the clock, and how long processors work on it."""
    clock, work = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - clock, time.process_time() - work


def medians(times: Sequence[Times]) -> dict[str, float]:
    return {"clock": statistics.median(t[0] for t in times), "work": statistics.median(t[1] for t in times)}


def measure(data: Data, deleted: Sequence[int], *, repeats: int = REPEATS) -> dict[str, Any]:
    """Medians of alternating deletions and refits; a refit takes as long whatever it leaves out."""
    refits: dict[str, list[Times]] = {"refit": [], "in_place": []}
    deletions: dict[str, list[Times]] = {str(k): [] for k in deleted}
    for _ in range(repeats):
        names = data.names(100)
        refits["refit"].append(seconds(lambda names=names: data.refit(names)))
        refits["in_place"].append(seconds(data.in_place))
        for k in deleted:
            deletions[str(k)] += [data.delete(k) for _ in range(TIMES)]
    found = {k: medians(times) for k, times in deletions.items()}
    taken = {way: medians(times) for way, times in refits.items()}
    ratio = {way: {k: min(by[kind] / found[k][kind] for kind in by) for k in found} for way, by in taken.items()}
    return {
        "refit_s": taken["refit"],
        "in_place_s": taken["in_place"],
        "refits_s": refits["refit"],
        "deletion_s": found,
        "ratio": ratio["refit"],
        "in_place_ratio": ratio["in_place"],
    }


def chain(data: Data, count: int) -> dict[str, float]:
    """Mean of single deletions, each from the learner that the one before left, all solving included."""
    names = data.names(count)

    def delete_each() -> None:
        learner = data.learner
        for name in names:
            learner = learner.unlearn([name])
            _ = learner.coef_

    clock, work = seconds(delete_each)
    return {"clock": clock / count, "work": work / count}


def refits_by_others(data: Data) -> dict[str, dict[str, float]]:
    """Other things that a refit may mean, each on rows that were copied out before."""
    kept = np.setdiff1d(np.arange(len(data.X)), [int(name) for name in data.names(100)])
    X, y = data.X[kept], data.y[kept]
    anew: Any = clone(data.learner)
    theirs = linear_model.Ridge(alpha=PENALTY, fit_intercept=False, solver="cholesky", copy_X=False)
    ways = {
        "scikit_learn": lambda: theirs.fit(X, y),
        "the_learner_itself": lambda: anew.fit(X, y).coef_,
    }
    return {name: medians([seconds(way) for _ in range(3)]) for name, way in ways.items()}


def floor(n: int, d: int, deleted: Sequence[int]) -> dict[str, Any]:
    """What nothing could undercut here: operations at the rate of a large matrix product, bytes at that of a copy.

    A refit takes the n d (d + 1) operations of X'X, of which only one half is computed. A deletion of k rows reads k
    rows and a (d, d) matrix once, and writes a mask of n bytes; or, to make anew what was solved before, takes the
    k d (d + 1) + d^3 / 3 operations of X'X and Cholesky. The less of the two counts.
    """
    a, line = np.ones((1000, 1000)), np.ones(4 * d * d)
    rate = 2e9 / min(seconds(lambda: a @ a)[1] for _ in range(5))
    bytes_per_s = 16 * len(line) / min(seconds(line.copy)[1] for _ in range(50))
    found: dict[str, Any] = {"flops_per_s": rate, "bytes_per_s": bytes_per_s, "refit_s": n * d * (d + 1) / rate}
    for k in deleted:
        flops, read = k * d * (d + 1) + d**3 / 3, 8 * d * (d + k) + 2 * n
        floors = {"flops": flops, "bytes": read, "seconds": min(flops / rate, read / bytes_per_s)}
        found[f"deletion_{k}"] = floors
    return found


def ratios(seed: int) -> dict[str, Any]:
    """Refit over deletion of 1, 100 and 1,000 of 1e5 x 200 rows in fp64, with what they are made of."""
    data = Data(N, D, seed=seed)
    measured = measure(data, DELETED)
    return {
        **{f"ridge_{k}": measured["ratio"][str(k)] for k in DELETED},
        "goals": GOALS,
        "rows": N,
        "features": D,
        **{name: measured[name] for name in ("refit_s", "in_place_s", "refits_s", "deletion_s", "in_place_ratio")},
        "single_deletion_in_a_chain_of_1000_s": chain(data, 1000),
        "off": {str(k): data.off(k) for k in DELETED},
        "refits_by_others": refits_by_others(data),
        "floor": floor(N, D, DELETED),
        "megabytes": megabytes(data.learner),
    }


def megabytes(learner: Ridge) -> dict[str, float]:
    """MB of arrays: rows that a learner holds, sums with their factor and inverse, and what saving it writes."""
    rows, base = learner.state(), learner._base
    sums = [] if base is None else [base.products, base.cross, base.factor, base.inverse, base.solution]
    saved = [array for array in rows.values() if isinstance(array, np.ndarray)]
    of = {"rows": [rows["X"], rows["y"]], "sums": sums, "saved": saved}
    return {name: sum(array.nbytes for array in arrays) / 1e6 for name, arrays in of.items()}


def growth(seed: int) -> dict[str, Any]:
    """Deletion and refit over rows n, features d and deleted rows m, and what the grid costs (``bitwise``)."""
    curves: dict[str, Any] = {}
    for name, cells in GROWTH.items():
        curves[name] = []
        for n, d in sorted({(n, d) for n, d, _ in cells}):
            data = Data(n, d, seed=seed)
            deleted = [k for rows, features, k in cells if (rows, features) == (n, d)]
            measured = measure(data, deleted, repeats=3)
            for k in deleted:
                times = {"deletion_s": measured["deletion_s"][str(k)], "refit_s": measured["refit_s"]}
                curves[name].append({"n": n, "d": d, "m": k, **times, "ratio": measured["ratio"][str(k)]})
            del data
    grid = Data(N, D, seed=seed, exactness="bitwise")
    measured = measure(grid, DELETED, repeats=3)
    bitwise = {"fit_s": grid.fit_seconds, "deletion_s": measured["deletion_s"], "refit_s": measured["refit_s"]}
    return {**curves, "bitwise": {**bitwise, "ratio": measured["ratio"]}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--growth", action="store_true", help="also the curves over n, d and m")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = ratios(given.seed) | ({"growth": growth(given.seed)} if given.growth else {})
    if given.out:
        write_json(given.out, found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
