"""Answer a deletion by one Newton step from the end of the first training. Source: Sekhari et al., arXiv 2103.03279.

A further request takes the step for all rows so far from the same point, so that neither the order of requests nor how
rows are spread over them changes the result by more than rounding. Epsilon is of all models published since the first
request together: it grows with rows and requests, and the noise is made for the most of both.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import digest
from expunge.core.evidence import Proof
from expunge.core.guarantee import Certified, Guarantee
from expunge.core.outcome import Outcome
from expunge.core.provenance import Convex
from expunge.core.selection import Selection
from expunge.methods.certified._noisy import (
    ADVERSARY,
    answered,
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
RETAINED = "not protected: the noise covers what a deletion leaves, not what a record that stays tells"


@dataclass(frozen=True)
class OneShotRemoval:
    """Take the rows out of the kept sums, take the step, and publish with fresh noise.

    Args:
        name: public name.
        version: raised when the method changes.
    """

    name: str = "one_shot_removal"
    version: str = "1"

    needs = Convex

    @property
    def claim(self) -> Guarantee:
        """The kind of claim, with the epsilon of deleting nothing; that of a request is in its outcome."""
        return Certified(0.0, 0.0, ADVERSARY)

    def digest(self) -> str:
        """Digest of the method."""
        return digest({"name": self.name, "version": self.version})

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
        plan = _plan(model)
        after = _after(model, places) if len(places) else model
        return answered(
            self,
            model,
            after,
            selection,
            seed=seed,
            since=since,
            steps=plan.heads if len(places) else 0,
            proof=self.prove(after),
            left={SECRET: LEFT} if after.units else {},
            notes={},
        )

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
    each = zip(secret["weights"], secret["curvature"], secret["pull"], strict=True)
    return [mechanism.Kept(*arrays, rows=rows, gone=model.taken) for arrays in each]


def _after(model: NoisyModel, places: Any) -> NoisyModel:
    plan, loss, rng = _plan(model), model.setup.loss, noise_of(model)
    X, signs = model.scaled()[places], model.signs()[:, places]
    states = [mechanism.without(plan, loss, kept, X, y) for kept, y in zip(_kept(model), signs, strict=True)]
    weights = np.stack([mechanism.publish(plan, mechanism.stepped(plan, state), rng) for state in states])
    secret = {name: np.stack([getattr(state, name) for state in states]) for name in ("weights", "curvature", "pull")}
    return replace(model.without(places), weights=weights, secret=secret)


one_shot_removal = OneShotRemoval()
