"""Answer a deletion by more noisy gradient steps on the rows that are left. Source: Chien et al., arXiv 2401.10371.

All there is between requests is the published weights and the rows that are left. A request takes the fewest steps
after which all rows that went so far cost no more than the epsilon that the training promised.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.accounting.given import count
from expunge.accounting.shifted import rho_epsilon
from expunge.accounting.strongly_convex import REQUEST_STEPS
from expunge.core.errors import ConfigError, RequestError
from expunge.core.evidence import Proof
from expunge.core.record import record
from expunge.core.selection import Selection
from expunge.methods.certified._noisy import (
    NoisyMethod,
    asked_of,
    claimed_of,
    noise_of,
    numbers_of,
    proof_of,
)
from expunge.targets.noisy import langevin as mechanism
from expunge.targets.noisy.target import NoisyModel, Promise

STRONG, WEAK = 2.0, 10.0
"""Up to the one a record may be called protected, beyond the other not; between them stands the number alone."""
ASSUMED = (
    "The loss of every row is as smooth and bounded, and the penalty as large, as the numbers say, which is proven for "
    "logistic loss with a penalty.",
    "It is compared with a training on the rows that are left of as many steps in all, from the same start, whose "
    "gradients are divided by the rows of the first training.",
    "Weights between publications were seen by nobody.",
    "Epsilon is of this model and of all that is made of it: later models of the line start from it, with fresh noise.",
)


@record
class Langevin(NoisyMethod):
    """Take as many noisy steps on the rows that are left as the promise needs; the last weights are published.

    Args:
        least: steps that a request takes in any case.
        name: public name.
        version: raised when the method changes.
    """

    least: int = 1
    name: str = "langevin"
    version: str = "1"

    def __post_init__(self) -> None:
        if count("least", self.least) > REQUEST_STEPS:
            raise ConfigError(f"least is {self.least}", why=f"{REQUEST_STEPS} steps are the most", next="Give fewer")

    def prove(self, target: Any) -> Proof:
        """The argument for all that was forgotten so far; it follows from the target alone.

        Args:
            target: as it came of ``unlearn``.

        Raises:
            ClaimError: no model of this mechanism, or noise that follows from a seed.
        """
        model = claimed_of(self.name, target)
        plan = _plan(model)
        spaced = {name: " ".join(map(str, getattr(plan, name))) for name in ("steps", "removed")}
        return proof_of(
            model,
            numbers={**numbers_of(model, "steps", "removed", "absent", "publications"), **spaced},
            assumptions=ASSUMED,
            valid_until=model.setup.promise.most,
            retained=retained_of(model),
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

    def after(self, target: NoisyModel, places: NDArray[np.intp]) -> tuple[NoisyModel, int]:
        """The model without some rows, and the steps of each head: the fewest that keep the promise."""
        plan, promise, loss = _plan(target), target.setup.promise, target.setup.loss
        plan = replace(plan, steps=(*plan.steps, self.least), removed=(*plan.removed, len(places)))
        plan = _with_fewest(plan, promise)
        left, rng = target.without(places), noise_of(target)
        X, heads = left.scaled(), zip(target.weights, left.signs(), strict=True)
        weights = np.stack([mechanism.run(plan, loss, w, X, y, plan.steps[-1], rng) for w, y in heads])
        setup = replace(target.setup, plan=plan)
        return replace(left, setup=setup, weights=weights), plan.steps[-1]


def _plan(model: NoisyModel) -> mechanism.Langevin:
    plan: Any = model.setup.plan
    return plan


def _with_fewest(plan: mechanism.Langevin, promise: Promise) -> mechanism.Langevin:
    """The plan with the fewest last steps that keep a promise, no fewer than it has; more never cost more."""

    def of(steps: int) -> mechanism.Langevin:
        return replace(plan, steps=(*plan.steps[:-1], steps))

    def holds(steps: int) -> bool:
        return of(steps).epsilon(promise.delta) <= promise.epsilon

    low, high = plan.steps[-1] - 1, plan.steps[-1]
    while not holds(high):
        if high >= REQUEST_STEPS:
            raise RequestError(f"{REQUEST_STEPS} steps are not enough", next="Retrain without them, or ask for fewer")
        low, high = high, min(REQUEST_STEPS, max(1, 2 * high))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return of(high)


def retained_of(model: NoisyModel) -> str:
    """What all publications tell of one row that stays."""
    plan, delta = _plan(model), model.setup.promise.delta
    epsilon = rho_epsilon(plan.retained_rho, delta)
    told = f"({epsilon:.4g}, {delta:g})-private for any one of them"
    told = f"all {len(plan.steps)} models published so far are together {told}"
    if epsilon <= WEAK:
        return f"protected: {told}" if epsilon <= STRONG else told
    return f"not protected: {told}, which is no protection"


langevin = Langevin()
