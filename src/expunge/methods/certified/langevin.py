"""Answer a deletion by more noisy gradient steps on the rows that are left. Source: Chien et al., arXiv 2401.10371.

All there is between requests is the published weights and the rows that are left. A request takes the fewest steps
after which all rows that went so far cost no more than the epsilon that the training promised.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from expunge.accounting.given import count
from expunge.accounting.shifted import rho_epsilon
from expunge.core.canonical import digest
from expunge.core.errors import RequestError
from expunge.core.guarantee import Certified, Guarantee
from expunge.core.outcome import Outcome
from expunge.core.provenance import Convex
from expunge.core.record import record
from expunge.core.selection import Selection
from expunge.methods.certified._noisy import ADVERSARY, answered, asked_of, noise_of, numbers_of
from expunge.targets.noisy import langevin as mechanism
from expunge.targets.noisy.target import NoisyModel

MOST_STEPS = 100_000
WEAK = 10.0
"""An epsilon beyond which nobody should call a record protected."""
ASSUMED = (
    "The loss of every row is as smooth and bounded, and the penalty as large, as the numbers say, which is proven for "
    "logistic loss with a penalty.",
    "It is compared with a training on the rows that are left of as many steps in all, from the same start, whose "
    "gradients are divided by the rows of the first training.",
    "Weights between publications were seen by nobody.",
)


@record
class Langevin:
    """Take as many noisy steps on the rows that are left as the promise needs; the last weights are published.

    Args:
        least: steps that a request takes in any case.
        name: public name.
        version: raised when the method changes.
    """

    least: int = 1
    name: str = "langevin"
    version: str = "1"

    needs = Convex

    def __post_init__(self) -> None:
        count("least", self.least)

    @property
    def claim(self) -> Guarantee:
        """The kind of claim, with the epsilon of deleting nothing; that of a request is in its outcome."""
        return Certified(0.0, 0.0, ADVERSARY)

    def digest(self) -> str:
        """Digest of the method with its setting."""
        return digest(self)

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return the model after a request.

        Args:
            target: of the recipe of this name, which stays as it was.
            selection: what is forgotten; nothing else of it is read.
            seed: noted; the noise is never keyed.
            workdir: not needed.

        Raises:
            ExpungeError: what ``check`` raises.
        """
        since = time.perf_counter()
        self.check(target, selection, seed=seed)
        model, places = asked_of(self.name, target, selection)
        after = self._after(model, places) if len(places) else model
        plan, before = _plan(after), _plan(model)
        steps = sum(plan.steps) - sum(before.steps)
        spaced = {name: " ".join(map(str, getattr(plan, name))) for name in ("steps", "removed")}
        return answered(
            self,
            model,
            after,
            selection,
            seed=seed,
            since=since,
            steps=steps * plan.heads,
            numbers={**numbers_of(after, "steps", "removed", "units"), **spaced},
            assumptions=ASSUMED,
            retained=_retained(after),
            left={},
            notes={"steps": f"{steps} of each of {plan.heads} heads"},
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise of a target or a request that does not fit.

        Raises:
            ClaimError: no model of this mechanism, or noise that follows from a seed.
            StoreError: another row stands under the id of one.
            RequestError: more rows in all than the noise was made for.
        """
        model, places = asked_of(self.name, target, selection)
        gone, most = model.units + len(places), model.setup.promise.most
        if len(places) and gone > most:
            raise RequestError(
                "the budget is spent",
                why=f"{gone} rows in all, and the noise covers {most}",
                next="Retrain without them",
            )

    def _after(self, model: NoisyModel, places: Any) -> NoisyModel:
        plan, promise, loss = _plan(model), model.setup.promise, model.setup.loss
        plan = replace(plan, steps=(*plan.steps, self.least), removed=(*plan.removed, len(places)))
        while plan.epsilon(promise.delta) > promise.epsilon:
            if plan.steps[-1] >= MOST_STEPS:
                raise RequestError(f"{MOST_STEPS} steps are not enough", next="Retrain without them, or ask for fewer")
            plan = replace(plan, steps=(*plan.steps[:-1], plan.steps[-1] + 1))
        left, rng = model.without(places), noise_of(model)
        X, heads = left.scaled(), zip(model.weights, left.signs(), strict=True)
        weights = np.stack([mechanism.run(plan, loss, w, X, y, plan.steps[-1], rng) for w, y in heads])
        setup = replace(model.setup, plan=plan)
        return replace(left, setup=setup, weights=weights)


def _plan(model: NoisyModel) -> mechanism.Langevin:
    plan: Any = model.setup.plan
    return plan


def _retained(model: NoisyModel) -> str:
    """What all publications tell of one row that stays."""
    plan, delta = _plan(model), model.setup.promise.delta
    epsilon = rho_epsilon(plan.retained_rho, delta)
    told = f"({epsilon:.4g}, {delta:g})-private for any one of them"
    told = f"all {len(plan.steps)} models published so far are together {told}"
    return f"protected: {told}" if epsilon <= WEAK else f"not protected: {told}, which is no protection"


langevin = Langevin()
