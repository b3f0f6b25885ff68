"""Removals until the budget of a Newton removal is spent, by what is counted against it.

One model with one noise: requests of one row or ten, in an order that does not depend on it. The model stops at its
computed residual; bounds are counted beside it on the same removals. A run ends at half of the rows, or after a number
of requests, and then says "more than".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.certified_data import Task
from benchmarks.certified_ways import DELTA, right
from expunge.accounting.capacity import deletion_capacity
from expunge.core.progress import report
from expunge.targets.convex.budget import Ledger
from expunge.targets.convex.model import ConvexModel

EPSILON, PENALTY = 1.0, 1e-3
SIGMA = {"adult": 5.0, "mnist": 2.0}
BATCHES = (1, 10)
REQUESTS = {"adult": (3000, 1200), "mnist": (500, 400)}
"""Requests at most, of each size: a multinomial model of 650 numbers takes longer."""
POINTS = 20
COUNTED = ("worst", "bound", "residual", "polished bound", "polished residual")


def shares(ledger: Ledger, polish: int) -> dict[str, float]:
    """What is spent of the budget, by what is counted.

    >>> found = shares(Ledger(2.0, worst=0.9, bound=0.5, residual=0.25), 0)
    >>> [(name, round(share, 4)) for name, share in found.items()]
    [('worst', 0.4502), ('bound', 0.2502), ('residual', 0.1251)]
    """
    if polish:
        return {f"polished {on}": ledger.spent(on) / ledger.budget for on in ("bound", "residual")}
    return {on: ledger.spent(on) / ledger.budget for on in ("worst", "bound", "residual")}


def run(task: Task, *, polish: int, batch: int, most: int) -> dict[str, Any]:
    """Requests of so many rows, until the model is trained again, or they are too many.

    Returns:
        For each count: ``fits``, the rows that were removed within the budget; ``ended``, whether it was spent at all;
        and ``curve`` (rows, share of the budget) at some of them. ``trained``: rows with which the model was trained
        again. ``accuracy``: of the model before.
    """
    loss = "logistic" if task.classes == 2 else "multinomial"
    known: dict[str, Any] = {"epsilon": EPSILON, "delta": DELTA, "certify_on": "residual", "norms": "clip", "seed": 0}
    model = ConvexModel(loss=loss, lam=PENALTY, sigma=SIGMA[task.name], polish=polish, **known)
    model = model.fit(task.train.X, task.train.y)
    accuracy = float(right(task, model.coef_[None], "test").mean())
    order = np.random.default_rng(0).permutation(len(task.train))
    found: dict[str, dict[str, Any]] = {}
    last = min(most, len(order) // 2 // batch)
    kept = {1, *np.unique(np.geomspace(1, last, POINTS).astype(int)).tolist()}
    trained: int | None = None
    for at in range(1, last + 1):
        model = model.unlearn([str(place) for place in order[(at - 1) * batch : at * batch]])
        if model.requests_[-1].retrained:
            trained = at * batch
            break
        for name, share in shares(model.ledgers_[0], polish).items():
            told = found.setdefault(name, {"fits": 0, "ended": False, "curve": []})
            told["ended"] = told["ended"] or share > 1
            if not told["ended"]:
                told["fits"] = at * batch
            if at in kept:
                told["curve"].append([at * batch, share])
        if at % 100 == 0:
            report(f"removals of {batch}", at, last, task.name)
    if trained is not None:
        for name, told in found.items():
            if name.endswith("residual"):
                told["ended"] = True
    return {"counts": found, "trained": trained, "accuracy": accuracy}


def removals(task: Task) -> dict[str, Any]:
    """For each size of request, rows until the budget is spent by every count; formulas and accuracy beside."""
    rows: list[dict[str, Any]] = []
    for batch, most in zip(BATCHES, REQUESTS[task.name], strict=True):
        for polish in (0, 1):
            rows.append({"batch": batch, "polish": polish, **run(task, polish=polish, batch=batch, most=most)})
    n, d = task.train.X.shape
    size = d * (1 if task.classes == 2 else task.classes)
    capacity = {method: deletion_capacity(n, size, EPSILON, DELTA, method) for method in ("private", "newton", "any")}
    settings = {"epsilon": EPSILON, "delta": DELTA, "sigma": SIGMA[task.name], "penalty": PENALTY}
    return {"rows": rows, "capacity": capacity, "parameters": size, "settings": settings}
