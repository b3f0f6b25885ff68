"""Train by noisy gradient steps, of which a deletion takes a few more. Source: Chien et al., arXiv 2401.10371."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from expunge.accounting.given import count
from expunge.accounting.strongly_convex import Bound, request_steps
from expunge.core.record import record
from expunge.engine.recipes._noisy_rows import NoisyTraining
from expunge.targets.noisy import langevin as mechanism
from expunge.targets.noisy.langevin import Langevin
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, Normal, Randomness
from expunge.targets.noisy.target import Label, Promise, heads_of


@record
class LangevinTraining(NoisyTraining):
    """Logistic regression without intercept, of two classes or one against the rest. ``most`` rows may go in all.

    Args:
        loss: with its penalty; its ``clip`` bounds the gradient of a row.
        epsilon: nats, of each published model with all that is made of it; a request takes the steps that it needs.
        delta: probability.
        most: rows that may be forgotten in all; the noise is made for all of them at once.
        steps: of the training.
        more: steps after such a request; the more, the less noise.
        lr: learning rate; None for the largest that contracts.
        bound: ``paper`` quotes the published form, ``derived`` is proven here and needs less noise.
        scale: by which rows are divided before norms are looked at; public.
        classes: all that there may be; empty for those of the first training.
        rows: of the first training, by which gradients are divided; 0 until it is settled.
        randomness: ``secret`` noise, from a key that is thrown away; ``seed``, which repeats and proves nothing;
            ``secure``, from a cryptographic generator.
        salt: hex; keeps the target's digest from telling who is in it. No part of the recipe's digest.
    """

    name = "langevin"

    loss: Logistic
    epsilon: float
    delta: float
    most: int
    steps: int = 200
    more: int = 20
    lr: float | None = None
    bound: Bound = "paper"
    scale: float = 1.0
    classes: tuple[Label, ...] = ()
    rows: int = 0
    randomness: Randomness = "secret"
    salt: str = ""

    def settled(self) -> tuple[Langevin, Promise]:
        """The plan before any request, at the lowest temperature that keeps the promise, and the promise."""
        known = self.loss.constants
        plan = Langevin(
            constants=known,
            rows=self.rows,
            lr=2 / (known.penalty + known.smooth) if self.lr is None else self.lr,
            temperature=1.0,
            steps=(request_steps("steps", self.steps), request_steps("more", self.more)),
            removed=(count("most", self.most, least=1),),
            bound=self.bound,
            heads=heads_of(self.classes),
        ).calibrated(self.epsilon, self.delta)
        return replace(plan, steps=(self.steps,), removed=()), Promise(self.epsilon, self.delta, self.most)

    def fit(self, plan: Langevin, X: F, y: F, rng: Normal) -> tuple[F, dict[str, F], int]:
        """Published weights (d,), no secret array, and steps of one head."""
        [steps] = plan.steps
        return mechanism.run(plan, self.loss, np.zeros(X.shape[1]), X, y, steps, rng), {}, steps


langevin = LangevinTraining
