"""Answer a deletion by one Newton step from the end of the first training. Source: Sekhari et al., arXiv 2103.03279.

A further request takes the step for all rows so far from the same point, so that neither the order of requests nor how
rows are spread over them changes the result by more than rounding. Epsilon is of all models published since the first
request together: it grows with rows and requests, and the noise is made for the most of both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.evidence import Proof
from expunge.core.selection import Selection
from expunge.methods.certified._noisy import (
    NoisyMethod,
    asked_of,
    claimed_of,
    most_units,
    noise_of,
    numbers_of,
    proof_of,
    require_requests,
)
from expunge.targets.noisy import one_shot_removal as mechanism
from expunge.targets.noisy.target import SECRET, NoisyModel

ASSUMED = (
    "The loss of every row is as strongly convex and bounded, and its Hessian as steady, as the numbers say, which is "
    "proven for logistic loss with a penalty.",
    "Epsilon is of all models published since the first request together, each beside one retrained at that time.",
    "Training ended where the mean gradient is no longer than the tolerance, and so would a retraining.",
    "Weights before the noise and curvature, which are kept for further requests, stay secret; nothing is claimed of "
    "them.",
)
LEFT = "weights before the noise and sums at them, shaped by the forgotten records; a further request needs them"
KEPT = ("weights", "curvature", "pull")
RETAINED = "not protected: the noise covers what a deletion leaves, not what a record that stays tells"


@dataclass(frozen=True)
class OneShotRemoval(NoisyMethod):
    """Take the rows out of the kept sums, take the step, and publish with fresh noise.

    Args:
        name: public name.
        version: raised when the method changes.
    """

    name: str = "one_shot_removal"
    version: str = "1"

    def after(self, target: NoisyModel, places: NDArray[np.intp]) -> tuple[NoisyModel, int]:
        """The model without some rows, by one Newton step of each head."""
        plan, loss, rng = _plan(target), target.setup.loss, noise_of(target)
        X, signs = target.scaled()[places], target.signs()[:, places]
        states = [mechanism.without(plan, loss, kept, X, y) for kept, y in zip(_kept(target), signs, strict=True)]
        weights = np.stack([mechanism.publish(plan, mechanism.stepped(plan, state), rng) for state in states])
        secret = {name: np.stack([getattr(state, name) for state in states]) for name in KEPT}
        return replace(target.without(places), weights=weights, secret=secret), 1

    def left(self, target: NoisyModel) -> dict[str, str]:
        """The state before the noise."""
        return {SECRET: LEFT}

    def prove(self, target: Any) -> Proof:
        """The argument for all that was forgotten so far; it follows from the target alone.

        Args:
            target: as it came of ``unlearn``.

        Raises:
            ClaimError: no model of this mechanism, or noise that follows from a seed.
        """
        model = claimed_of(self.name, target)
        plan = _plan(model)
        return proof_of(
            model,
            numbers={**numbers_of(model), "sigma": repr(plan.sigma)},
            assumptions=ASSUMED,
            valid_until=most_units(model, plan.most),
            retained=RETAINED,
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise of a target or a request that does not fit.

        Raises:
            ClaimError: no model of this mechanism, or noise that follows from a seed.
            StoreError: another row stands under the id of one.
            RequestError: more rows or publications in all than the noise covers.
        """
        model, places = asked_of(self.name, target, selection)
        if len(places):
            require_requests(model)
            mechanism.require_budget(_plan(model), _kept(model)[0], len(places))


def _plan(model: NoisyModel) -> mechanism.OneShotRemoval:
    plan: Any = model.setup.plan
    return plan


def _kept(model: NoisyModel) -> list[mechanism.Kept]:
    """The state of each head."""
    rows, secret = len(model.ids) + model.taken, model.secret
    each = zip(*(secret[name] for name in KEPT), strict=True)
    return [mechanism.Kept(*arrays, rows=rows, gone=model.taken) for arrays in each]


one_shot_removal = OneShotRemoval()
