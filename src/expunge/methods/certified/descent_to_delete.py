"""Answer a deletion by a few steps of gradient descent and noise. Source: Neel et al., arXiv 2007.02923.

Every request comes back to the same distance from the optimum of the rows that are left, and so would a training on
them. Each publishes one more model, and epsilon is of all of them together: it grows with the requests, up to the
promise, which is for so many of them and up to half of the rows.
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
from expunge.targets.noisy import descent_to_delete as mechanism
from expunge.targets.noisy.noise import F
from expunge.targets.noisy.target import SECRET, NoisyModel

ASSUMED = (
    "The loss of every row is as strongly convex, smooth and bounded as the numbers say, which is proven for logistic "
    "loss with a penalty.",
    "Training and every request took the steps that the plan asks for.",
    "Epsilon is of all models published since the first request together, each beside one retrained at that time.",
)
HIDDEN = "The iterate without noise, from which the next request starts, stays secret; nothing is claimed of it."
LEFT = "the iterate without noise, which came from one that the forgotten records had shaped; the next request needs it"
RETAINED = "not protected: the noise covers what a deletion leaves, not what a record that stays tells"


@dataclass(frozen=True)
class DescentToDelete(NoisyMethod):
    """Take the plan's steps on the rows that are left, and publish with fresh noise.

    Args:
        name: public name.
        version: raised when the method changes.
    """

    name: str = "descent_to_delete"
    version: str = "1"

    def after(self, target: NoisyModel, places: NDArray[np.intp]) -> tuple[NoisyModel, int]:
        """The model without some rows, and the steps of each head."""
        plan, left, rng = _plan(target), target.without(places), noise_of(target)
        X, iterates, published = left.scaled(), list[F](), list[F]()
        for at, y in zip(target.secret.get("iterate", target.weights), left.signs(), strict=True):
            before = mechanism.Iterate(at, len(target.ids), target.requests)
            state = mechanism.forget(plan, target.setup.loss, before, X, y, rng)
            iterates.append(state.weights)
            published.append(mechanism.publish(plan, state, rng))
        secret = {"iterate": np.stack(iterates)} if plan.secret else {}
        steps = plan.request_steps(target.requests + 1, X.shape[1])
        return replace(left, weights=np.stack(published), secret=secret), steps

    def left(self, target: NoisyModel) -> dict[str, str]:
        """The iterate without noise, where there is one."""
        return {SECRET: LEFT} if _plan(target).secret else {}

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
            numbers={**numbers_of(model), "sigma": repr(plan.sigma), "secret": "yes" if plan.secret else "no"},
            assumptions=(*ASSUMED, HIDDEN) if plan.secret else ASSUMED,
            valid_until=most_units(model, plan.per_request),
            retained=RETAINED,
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise of a target or a request that does not fit.

        Raises:
            ClaimError: no model of this mechanism, or noise that follows from a seed.
            StoreError: another row stands under the id of one.
            RequestError: more rows than one request may take, fewer than half of the first would be left, or the noise
                covers no further publication.
        """
        model, places = asked_of(self.name, target, selection)
        if len(places):
            require_requests(model)
        mechanism.require_budget(_plan(model), len(model.ids), len(places))


def _plan(model: NoisyModel) -> mechanism.DescentToDelete:
    plan: Any = model.setup.plan
    return plan


descent_to_delete = DescentToDelete()
