"""Train by gradient descent to a distance that deletions come back to. Source: Neel et al., arXiv 2007.02923."""

from __future__ import annotations

import numpy as np

from expunge.accounting.strongly_convex import Bound
from expunge.core.record import record
from expunge.engine.recipes._noisy_rows import NoisyTraining
from expunge.targets.noisy import descent_to_delete as mechanism
from expunge.targets.noisy.descent_to_delete import DescentToDelete
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, Normal, Randomness
from expunge.targets.noisy.target import Label, Promise, heads_of


@record
class DescentToDeleteTraining(NoisyTraining):
    """Logistic regression without intercept, of two classes or one against the rest. Up to half of the rows may go.

    Args:
        loss: with its penalty; within ``sqrt(2 ln 2 / penalty)`` of 0 lies every minimiser, which a radius may be.
        epsilon: nats, of the models published after all requests together; less before.
        delta: probability.
        steps: of each request, where the state is secret.
        per_request: the most rows that a request may name.
        secret: whether the weights without noise are kept, and fresh noise drawn for each publication; else the next
            request starts from what was published, and takes more steps.
        requests: that may be answered; the noise is made for the models published after all of them together.
        bound: ``paper`` quotes the published constant, ``derived`` is proven here and needs half the noise or less.
        scale: by which rows are divided before norms are looked at; public.
        classes: all that there may be; empty for those of the first training.
        rows: of the first training; 0 until it is settled.
        randomness: ``secret`` noise, from a key that is thrown away; ``seed``, which repeats and proves nothing;
            ``secure``, from a cryptographic generator.
        salt: hex; keeps the target's digest from telling who is in it. No part of the recipe's digest.
    """

    name = "descent_to_delete"

    loss: Logistic
    epsilon: float
    delta: float
    steps: int = 20
    per_request: int = 1
    secret: bool = True
    requests: int = 10
    bound: Bound = "paper"
    scale: float = 1.0
    classes: tuple[Label, ...] = ()
    rows: int = 0
    randomness: Randomness = "secret"
    salt: str = ""

    def settled(self) -> tuple[DescentToDelete, Promise]:
        """The plan, with the least noise that keeps the promise, and the promise."""
        plan = DescentToDelete(
            constants=self.loss.constants,
            rows=self.rows,
            steps=self.steps,
            sigma=1.0,
            delta=self.delta,
            per_request=self.per_request,
            secret=self.secret,
            bound=self.bound,
            heads=heads_of(self.classes),
            requests=min(self.requests, self.rows // 2),
        ).calibrated(self.epsilon)
        return plan, Promise(self.epsilon, self.delta, self.rows // 2)

    def fit(self, plan: DescentToDelete, X: F, y: F, rng: Normal) -> tuple[F, dict[str, F], int]:
        """Published weights (d,), secret arrays and steps of one head."""
        start = np.zeros(X.shape[1])
        state = mechanism.train(plan, self.loss, X, y, rng, start=start)
        kept = {"iterate": state.weights} if plan.secret else {}
        return mechanism.publish(plan, state, rng), kept, plan.first_steps(start)


descent_to_delete = DescentToDeleteTraining
