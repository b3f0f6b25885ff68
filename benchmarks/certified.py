"""Newton removal of rows from a logistic model against fitting it again, and against a Hessian for each row.

``python -m benchmarks.certified [--json] [--growth] [--seed 0] [--out FILE]``, all in one run. A removal is
``model.unlearn(names)``: names looked up, a new model made that leaves the old one valid, its bound charged. Polished
it takes one chord step as well, a pass over the rows, and the bound of that step is charged; ``weighed`` computes the
residual too, a second pass. A refit is L-BFGS (scipy) from 0 on
the rows that stay, which lie copied out in memory, with the same noise, stopped at the residual that the removal it is
set against leaves; ``warm`` starts from the model that is there. The per-row form is the published algorithm as its
authors' code has it: for each row that leaves, the Hessian of all rows that stay (n d^2), its inverse, and the bound; a
few rows are measured and scaled to 100. Ways alternate; each number is a median, of seconds on the clock and of
processor seconds, and a ratio is the smaller of the two.
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
from scipy.optimize import minimize

from expunge.core.files import write_json
from expunge.targets.convex.losses import sigmoid
from expunge.targets.convex.model import ConvexModel

N, D, REMOVED, LAM = 100_000, 200, 100, 1e-3
REPEATS, TIMES, ROWS = 5, 5, 2
GOALS = {"newton_batch_100": 50.0, "newton_polished_100": 8.0, "over_per_row_form": 1000.0}
GROWTH = {
    "n": [(n, 100, 100) for n in (10_000, 30_000, 100_000)],
    "d": [(30_000, d, 100) for d in (50, 100, 200, 400)],
    "m": [(100_000, 100, m) for m in (1, 10, 100, 1000, 10_000)],
}
Times = tuple[float, float]


def seconds(act: Callable[[], Any]) -> Times:
    """How long something takes on the clock, and how long processors work on it."""
    clock, work = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - clock, time.process_time() - work


def medians(times: Sequence[Times]) -> dict[str, float]:
    return {"clock": statistics.median(t[0] for t in times), "work": statistics.median(t[1] for t in times)}


def ratio(slow: dict[str, float], fast: dict[str, float], times: float = 1.0) -> float:
    return min(times * slow[kind] / fast[kind] for kind in slow)


class Data:
    """Unit rows X (n, d) with labels y (n,), and three models of them, which have one noise."""

    def __init__(self, n: int, d: int, *, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.X = self.rng.standard_normal((n, d))
        self.X /= np.linalg.norm(self.X, axis=1, keepdims=True) * (1 + 1e-12)
        self.y = self.X @ self.rng.standard_normal(d) * 3 + self.rng.logistic(size=n) > 0
        self.sign = np.where(self.y, 1.0, -1.0)
        settings: dict[str, Any] = {"lam": LAM, "sigma": 10.0, "epsilon": 1.0, "delta": 1e-4, "seed": seed}
        started = time.perf_counter()
        self.batch = ConvexModel(**settings, certify_on="bound").fit(self.X, self.y)
        self.fit_seconds = time.perf_counter() - started
        self.polished = ConvexModel(**settings, polish=1, certify_on="bound").fit(self.X, self.y)
        self.weighed = ConvexModel(**settings, polish=1, certify_on="residual").fit(self.X, self.y)
        self.b = self.batch.noise_[0][:, 0]

    def names(self, m: int) -> list[str]:
        """m rows drawn anew."""
        return [str(i) for i in self.rng.choice(len(self.X), m, replace=False)]

    def without(self, names: Sequence[str]) -> tuple[Any, Any]:
        """X and signs of the rows that stay."""
        kept = np.ones(len(self.X), bool)
        kept[[int(name) for name in names]] = False
        return self.X[kept], self.sign[kept]

    def refit(self, X: Any, sign: Any, residual: float, start: Any = None) -> Any:
        """Coefficients by L-BFGS, the gradient of L_b in any coordinate at most residual / sqrt d."""

        def value_gradient(w: Any) -> tuple[float, Any]:
            margin = sign * (X @ w)
            value = np.logaddexp(0.0, -margin).sum() + LAM * len(X) / 2 * (w @ w) + self.b @ w
            return value, X.T @ (-sign * sigmoid(-margin)) + LAM * len(X) * w + self.b

        d = X.shape[1]
        options = {"gtol": residual / np.sqrt(d), "ftol": 0.0, "maxiter": 10_000, "maxfun": 20_000, "maxcor": 20}
        begin = np.zeros(d) if start is None else start
        return minimize(value_gradient, begin, jac=True, method="L-BFGS-B", options=options).x

    def per_row(self, names: Sequence[str]) -> Any:
        """Rows leave one by one, as the authors' code does it."""
        w, gram = self.batch.coef_[:, 0].copy(), self.X.T @ self.X

        def each() -> None:
            nonlocal w, gram
            kept = np.ones(len(self.X), bool)
            for name in names:
                kept[int(name)] = False
                x, s = self.X[int(name)], self.sign[int(name)]
                X = self.X[kept]
                p = sigmoid(X @ w)
                H = (X * (p * (1 - p))[:, None]).T @ X
                H.flat[:: len(H) + 1] += LAM * len(X)
                step = np.linalg.inv(H) @ (x * (-s * sigmoid(-s * (x @ w))) + LAM * w)
                gram = gram - np.outer(x, x)
                v = np.ones(len(w))
                for _ in range(20):
                    v = gram @ v
                    v /= np.linalg.norm(v)
                _ = 0.25 * np.sqrt(np.linalg.norm(gram @ v)) * np.linalg.norm(step) * np.linalg.norm(X @ step)
                w = w + step

        return each


def measure(data: Data, m: int, *, repeats: int = REPEATS, per_row: bool = False) -> dict[str, Any]:
    """Medians of alternating removals of m rows and refits, with the residuals that each leaves."""
    ways = ("batch", "polished", "weighed", "refit_as_batch", "refit_as_polished", "warm_as_polished", "per_row")
    taken: dict[str, list[Times]] = {way: [] for way in ways}
    left: dict[str, list[float]] = {"batch": [], "bound": [], "polished": [], "polished_bound": []}
    for turn in range(repeats):
        names = data.names(m)
        X, sign = data.without(names)
        one, two = data.batch.unlearn(names), data.polished.unlearn(names)
        found = {"batch": one.residuals()[0], "bound": one.ledgers_[0].bound, "polished": two.residuals()[0]}
        found["polished_bound"] = two.ledgers_[0].bound
        for name, value in found.items():
            left[name].append(value)
        taken["batch"] += [seconds(lambda names=names: data.batch.unlearn(names)) for _ in range(TIMES)]
        taken["polished"] += [seconds(lambda names=names: data.polished.unlearn(names)) for _ in range(TIMES)]
        taken["weighed"] += [seconds(lambda names=names: data.weighed.unlearn(names)) for _ in range(TIMES)]
        for way in ("batch", "polished"):
            close = found[way]
            taken[f"refit_as_{way}"].append(seconds(lambda X=X, s=sign, g=close: data.refit(X, s, g)))
        start = data.batch.coef_[:, 0]
        warm = seconds(lambda X=X, s=sign, g=found["polished"], w=start: data.refit(X, s, g, w))
        taken["warm_as_polished"].append(warm)
        if per_row and turn < 2:
            act = data.per_row(names[:ROWS])
            clock, work = seconds(act)
            taken["per_row"].append((clock / ROWS, work / ROWS))
    times = {way: medians(each) for way, each in taken.items() if each}
    retrained = [request.retrained for model in (one, two) for request in model.requests_]
    return {
        "seconds": times,
        "residual": {name: statistics.median(values) for name, values in left.items()},
        "budget": data.batch.ledgers_[0].budget,
        "retrained": any(retrained),
        "batch_ratio": ratio(times["refit_as_batch"], times["batch"]),
        "polished_ratio": ratio(times["refit_as_polished"], times["polished"]),
        "weighed_ratio": ratio(times["refit_as_polished"], times["weighed"]),
        "polished_over_warm_refit": ratio(times["warm_as_polished"], times["polished"]),
    }


def floor(n: int, d: int, m: int) -> dict[str, Any]:
    """What nothing could undercut here: operations at the rate of a large matrix product, bytes at that of a copy.

    A batch reads m rows and two (d, d) matrices, and multiplies m d (d + 1) twice and d^3 / 3 once. A polished removal
    reads all rows once as well, a weighed one twice; a refit of any kind at least once. The larger of both kinds of
    seconds counts. A pass is charged 8 bytes a number, at the rate of a copy, which moves 16.
    """
    a, line = np.ones((1000, 1000)), np.ones(10_000_000)
    rate = 2e9 / min(seconds(lambda: a @ a)[1] for _ in range(5))
    bytes_per_s = 16 * len(line) / min(seconds(line.copy)[1] for _ in range(5))
    flops, read = 2 * m * d * (d + 1) + d**3 / 3, 8 * d * (m + 2 * d) + n
    batch = max(flops / rate, read / bytes_per_s)
    once = 8 * n * d / bytes_per_s
    return {
        "flops_per_s": rate,
        "bytes_per_s": bytes_per_s,
        "batch_s": batch,
        "polished_s": batch + once,
        "weighed_s": batch + 2 * once,
        "refit_s": once,
    }


def ratios(seed: int) -> dict[str, Any]:
    """Refit and per-row form over removals of 100 of 1e5 x 200 rows in fp64."""
    data = Data(N, D, seed=seed)
    measured = measure(data, REMOVED, per_row=True)
    times = measured["seconds"]
    return {
        "newton_batch_100": measured["batch_ratio"],
        "newton_polished_100": measured["polished_ratio"],
        "over_per_row_form": ratio(times["per_row"], times["batch"], REMOVED),
        "goals": GOALS,
        "rows": N,
        "features": D,
        "lam": LAM,
        "per_row_form": f"{ROWS} rows measured twice, scaled to {REMOVED}",
        "fit_s": data.fit_seconds,
        **measured,
        "floor": floor(N, D, REMOVED),
    }


def growth(seed: int) -> dict[str, Any]:
    """Removals and refits over rows n, features d and removed rows m."""
    curves: dict[str, Any] = {}
    for name, cells in GROWTH.items():
        curves[name] = []
        data: Data | None = None
        for n, d, m in cells:
            if data is None or data.X.shape != (n, d):
                data = Data(n, d, seed=seed)
            curves[name].append({"n": n, "d": d, "m": m, **measure(data, m, repeats=3)})
    return curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="all numbers; else the ratios beside their goals")
    parser.add_argument("--growth", action="store_true", help="also the curves over n, d and m")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = ratios(given.seed) | ({"growth": growth(given.seed)} if given.growth else {})
    if given.out:
        write_json(given.out, found)
    if given.json:
        print(json.dumps(found, indent=1))
        return
    for name, goal in GOALS.items():
        print(f"{name:22} {found[name]:10.1f}   goal {goal:g}")


if __name__ == "__main__":
    main()
