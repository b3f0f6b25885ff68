"""The mechanisms of certified deletion on one data set: linear models (seeds, d, k) at an epsilon and a request size.

A way is asked for all epsilons at once, since many train once and differ in their noise alone. Ten digits are ten
heads of one plan where a mechanism knows two classes only. Noise is keyed, so that the page repeats; a certificate asks
for noise that nobody can repeat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.certified_data import Rows, Task
from expunge.accounting.subsampled import sampled_sigma
from expunge.core.errors import TargetError
from expunge.core.seeds import derive
from expunge.data.table import Table
from expunge.engine.recipes.private import PrivateTraining
from expunge.engine.trainers.module import Module
from expunge.targets.convex.budget import Ledger, budget
from expunge.targets.convex.model import ConvexModel
from expunge.targets.noisy import descent_to_delete, langevin, one_shot_removal
from expunge.targets.noisy.descent_to_delete import DescentToDelete
from expunge.targets.noisy.langevin import Langevin
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, noised, source
from expunge.targets.noisy.one_shot_removal import OneShotRemoval
from expunge.targets.private.account import Mechanism

DELTA = 1e-5
WIDEST = 8.0
"""Epsilon at which models of the Newton removal are fitted; what they spend is held against the budget of each."""
SIGMAS = tuple(0.3 * 3.0**k for k in range(8))
MARGIN, REHEARSED = 2.0, 10
"""Twice the most that any of so many requests of a rehearsal left has to fit into the budget."""
DESCENT = 50
"""Steps of a request of descent to delete, where its state is secret."""
LANGEVIN = (60, 20)
"""Steps of a training, and of the request."""
RATE, STEPS = 0.05, 100
"""Of DP-SGD."""

Setting = Mapping[str, float]
Counts = Literal["worst", "bound", "residual"]


@dataclass(frozen=True)
class Made:
    """What a way gives at one epsilon.

    Args:
        weights: (seeds, d, k), k = 1 for two classes; None where the mechanism has no model to give.
        sigma: standard deviation of its noise, in its own unit.
        again: seeds at which the request did not fit, so that the model was trained again.
    """

    weights: F | None
    sigma: float | None = None
    again: int = 0


Way = Callable[[Task, Setting, Sequence[float], int, Sequence[int]], dict[float, Made]]


def right(task: Task, weights: F, rows: str) -> np.ndarray:
    """(seeds, n) whether each row is answered rightly.

    Args:
        task: with the rows.
        weights: (seeds, d, k).
        rows: ``test`` or ``tune``.
    """
    of: Rows = getattr(task, rows)
    scores = np.einsum("nd,sdk->snk", of.X, weights)
    told = (scores[:, :, 0] > 0).astype(int) if weights.shape[2] == 1 else scores.argmax(axis=2)
    return told == of.y


def signs(task: Task, y: np.ndarray) -> list[F]:
    """(n,) labels 1 and -1 of each model of signs."""
    heads = [1] if task.classes == 2 else range(task.classes)
    return [np.where(y == head, 1.0, -1.0) for head in heads]


def loss_of(setting: Setting) -> Logistic:
    """With a ball that holds every minimiser: at 0 the loss is ln 2, so that (penalty/2) |w|^2 <= ln 2.

    >>> round(loss_of({"penalty": 0.02}).radius, 3)  # sqrt(100 ln 2)
    8.326
    """
    radius = math.sqrt(2 * math.log(2) / setting["penalty"])
    return Logistic(penalty=setting["penalty"], radius=radius, beyond="clip")


def rehearsal(task: Task) -> Rows:
    """As many rows as are learned, drawn from those to tune by: sizes of noise are found on them."""
    draw = np.random.default_rng(derive(0, "certified", "rehearsal"))
    return task.tune.at(draw.integers(0, len(task.tune), len(task.train)))


@lru_cache(maxsize=2)
def _rehearsal(task: Task) -> Rows:
    return rehearsal(task)


@lru_cache(maxsize=32)
def _fitted(task: Task, which: str, loss: str, penalty: float, sigma: float, seed: int) -> ConvexModel:
    of = task.train if which == "train" else _rehearsal(task)
    kept: dict[str, Any] = {"epsilon": WIDEST, "delta": DELTA, "certify_on": "residual", "norms": "clip", "seed": seed}
    return ConvexModel(loss=loss, lam=penalty, sigma=sigma, **kept).fit(of.X, of.y)


@lru_cache(maxsize=64)
def _removed(task: Task, loss: str, penalty: float, sigma: float, seed: int, m: int) -> ConvexModel:
    model = _fitted(task, "train", loss, penalty, sigma, seed)
    return model.unlearn([str(at) for at in task.forgotten(m)])


@lru_cache(maxsize=256)
def _rehearsed(task: Task, loss: str, penalty: float, sigma: float, m: int) -> tuple[tuple[Ledger, ...], ...]:
    """What each of some requests left; none where one did not fit the widest budget, or float64 cannot train it."""
    draw, found = np.random.default_rng(m), list[tuple[Ledger, ...]]()
    try:
        model = _fitted(task, "rehearsal", loss, penalty, sigma, 77)
    except TargetError:
        return ()
    for _ in range(REHEARSED):
        after = model.unlearn([str(at) for at in draw.choice(len(task.train), m, replace=False)])
        if after.requests_[-1].retrained:
            return ()
        found.append(after.ledgers_)
    return tuple(found)


def fits(ledgers: Sequence[Ledger], sigma: float, epsilon: float, on: Counts, times: float = 1.0) -> bool:
    """Whether what a request left, so many times, is within the budget of an epsilon, and the training close enough.

    Each of K heads has epsilon / K and delta / K.

    >>> used = Ledger(budget=8.0, requests=1, removed=1, bound=0.03, residual=0.001)  # the budget of 10 is 2.05
    >>> fits([used], 10.0, 1.0, "bound"), fits([used], 10.0, 1.0, "bound", times=80.0)
    (True, False)
    """
    most = budget(sigma, epsilon / len(ledgers), DELTA / len(ledgers))
    held = [replace(ledger, budget=most) for ledger in ledgers]
    return all(one.spent(on) * times <= one.budget and one.trained <= one.tolerance for one in held)


def newton(on: Counts, several: str = "multinomial") -> Way:
    """Newton removal with the least of a few sizes of noise that a rehearsal finds enough.

    Args:
        on: what is counted.
        several: loss of more than two classes.
    """

    def way(task: Task, setting: Setting, epsilons: Sequence[float], m: int, seeds: Sequence[int]) -> dict[float, Made]:
        penalty, made = setting["penalty"], dict[float, Made]()
        loss = "logistic" if task.classes == 2 else several

        def enough(sigma: float, epsilon: float) -> bool:
            left = _rehearsed(task, loss, penalty, sigma, m)
            return bool(left) and all(fits(ledgers, sigma, epsilon, on, MARGIN) for ledgers in left)

        for epsilon in epsilons:
            sigma = next((s for s in SIGMAS if enough(s, epsilon)), None)
            if sigma is None:
                made[epsilon] = Made(None)
                continue
            given, again = list[F](), 0
            for seed in seeds:
                model = _removed(task, loss, penalty, sigma, seed, m)
                if model.requests_[-1].retrained or not fits(model.ledgers_, sigma, epsilon, on):
                    again += 1
                    model = _again(task, _fitted(task, "train", loss, penalty, sigma, seed), m, epsilon, on)
                given.append(model.coef_)
            made[epsilon] = Made(np.array(given), sigma, again=again)
        return made

    return way


def _again(task: Task, fitted: ConvexModel, m: int, epsilon: float, on: Counts) -> ConvexModel:
    """What the model itself does at that epsilon, where a request does not fit."""
    model = ConvexModel(**{**fitted.get_params(), "epsilon": epsilon, "certify_on": on})
    return model.fit(task.train.X, task.train.y).unlearn([str(at) for at in task.forgotten(m)])


def one_shot(
    task: Task, setting: Setting, epsilons: Sequence[float], m: int, seeds: Sequence[int]
) -> dict[float, Made]:
    """One Newton step from kept curvature and noise that was settled before (Sekhari et al.)."""
    loss, gone = loss_of(setting), task.forgotten(m)
    known: dict[str, Any] = {"constants": loss.constants, "rows": len(task.train), "most": m, "delta": DELTA}
    plan = OneShotRemoval(**known, sigma=1.0, heads=task.heads)
    left: list[F] = []
    for y in signs(task, task.train.y):
        kept = one_shot_removal.fit(plan, loss, task.train.X, y)
        left.append(one_shot_removal.remove(plan, loss, kept, task.train.X[gone], y[gone]))
    return _hidden(np.stack(left, axis=1), {e: plan.calibrated(e).sigma for e in epsilons}, seeds, "one shot")


def _hidden(weights: F, sigmas: Mapping[float, float], seeds: Sequence[int], name: str) -> dict[float, Made]:
    """Weights (d, k) published under the noise of each epsilon."""
    made: dict[float, Made] = {}
    for epsilon, sigma in sigmas.items():
        each = [noised(weights, sigma, source(seed, name, repr(epsilon))) for seed in seeds]
        made[epsilon] = Made(np.array(each), sigma)
    return made


def descent_secret(
    task: Task, setting: Setting, epsilons: Sequence[float], m: int, seeds: Sequence[int]
) -> dict[float, Made]:
    """Descent to delete, the iterate without noise kept in secret."""
    loss, after = loss_of(setting), task.train.without(task.forgotten(m))
    known: dict[str, Any] = {"constants": loss.constants, "rows": len(task.train), "steps": DESCENT, "delta": DELTA}
    plan = DescentToDelete(**known, sigma=1.0, per_request=m, heads=task.heads)
    start, left = np.zeros(task.train.X.shape[1]), list[F]()
    for y, y_after in zip(signs(task, task.train.y), signs(task, after.y), strict=True):
        state = descent_to_delete.train(plan, loss, task.train.X, y, source(0), start=start)
        left.append(descent_to_delete.forget(plan, loss, state, after.X, y_after, source(0)).weights)
    return _hidden(np.stack(left, axis=1), {e: plan.calibrated(e).sigma for e in epsilons}, seeds, "descent")


def descent_published(
    task: Task, setting: Setting, epsilons: Sequence[float], m: int, seeds: Sequence[int]
) -> dict[float, Made]:
    """Descent to delete whose whole state is what was published."""
    loss, after, made = loss_of(setting), task.train.without(task.forgotten(m)), dict[float, Made]()
    known: dict[str, Any] = {"constants": loss.constants, "rows": len(task.train), "steps": DESCENT, "delta": DELTA}
    plain = DescentToDelete(**known, sigma=1.0, per_request=m, secret=False, heads=task.heads)
    start = np.zeros((len(seeds), task.train.X.shape[1]))
    for epsilon in epsilons:
        plan, left = plain.calibrated(epsilon), list[F]()
        for head, (y, y_after) in enumerate(zip(signs(task, task.train.y), signs(task, after.y), strict=True)):
            rng = source(derive(0, "published", *seeds), repr(epsilon), head)
            state = descent_to_delete.train(plan, loss, task.train.X, y, rng, start=start)
            left.append(descent_to_delete.forget(plan, loss, state, after.X, y_after, rng).weights)
        made[epsilon] = Made(np.stack(left, axis=2), plan.sigma)
    return made


def langevin_steps(
    task: Task, setting: Setting, epsilons: Sequence[float], m: int, seeds: Sequence[int]
) -> dict[float, Made]:
    """Noisy gradient descent, noise in every step; by the divergence that was derived here."""
    loss, after, made = loss_of(setting), task.train.without(task.forgotten(m)), dict[float, Made]()
    known = loss.constants
    lr = 2 / (known.penalty + known.smooth)
    plain = Langevin(known, len(task.train), lr, 1.0, LANGEVIN, (m,), "derived", heads=task.heads)
    start = np.zeros((len(seeds), task.train.X.shape[1]))
    for epsilon in epsilons:
        plan, left = plain.calibrated(epsilon, DELTA), list[F]()
        for head, (y, y_after) in enumerate(zip(signs(task, task.train.y), signs(task, after.y), strict=True)):
            rng = source(derive(0, "langevin", *seeds), repr(epsilon), head)
            trained = langevin.run(plan, loss, start, task.train.X, y, LANGEVIN[0], rng)
            left.append(langevin.run(plan, loss, trained, after.X, y_after, LANGEVIN[1], rng))
        made[epsilon] = Made(np.stack(left, axis=2), plan.sigma)
    return made


def linear(d: int, k: int) -> torch.nn.Module:
    """Scores of classes, all 0 at first."""
    made = torch.nn.Linear(d, k, bias=False)
    torch.nn.init.zeros_(made.weight)
    return made


@lru_cache(maxsize=64)
def _sigma(epsilon: float, m: int) -> float:
    return sampled_sigma(epsilon, DELTA, q=RATE, steps=STEPS, records=m)


def dp_sgd(task: Task, setting: Setting, epsilons: Sequence[float], m: int, seeds: Sequence[int]) -> dict[float, Made]:
    """DP-SGD on all rows; a deletion changes nothing but the account."""
    n, d = task.train.X.shape
    table = Table([str(at) for at in range(n)], task.train.X, task.train.y)
    shape = {"d": d, "k": task.classes}
    learner = Module(
        "benchmarks.certified_ways:linear", tuple(range(task.classes)), shape, lr=setting["lr"], momentum=0.9
    )
    made: dict[float, Made] = {}
    for epsilon in epsilons:
        mechanism = Mechanism(_sigma(epsilon, m), RATE, STEPS, clip=1.0, randomness="seed")
        recipe = PrivateTraining(learner, mechanism, DELTA, lot=RATE * n, at_once=4096)
        targets: list[Any] = [recipe.train(table, seed=seed) for seed in seeds]
        each = [target.trained.module.weight.detach().double().numpy().T for target in targets]
        made[epsilon] = Made(np.array(each), mechanism.sigma)
    return made
