"""Train by gradient descent to a distance that deletions come back to. Source: Neel et al., arXiv 2007.02923."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from expunge.accounting.strongly_convex import Bound
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.engine.recipes._noisy_rows import check_rows, digest_of, noisy_model, pin
from expunge.execution.pool import Pool
from expunge.targets.noisy import descent_to_delete as mechanism
from expunge.targets.noisy.descent_to_delete import DescentToDelete
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, Normal, Randomness
from expunge.targets.noisy.target import Label, NoisyModel, Promise, heads_of


@record
class DescentToDeleteTraining:
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

    kind = "classifier"
    hides_records = True

    def digest(self) -> str:
        """Digest of all but the salt."""
        return digest_of(self, "descent_to_delete")

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

    @property
    def repeats(self) -> bool:
        """Whether the same seed gives the same noise."""
        return self.randomness == "seed"

    def pinned(self, store: Store, *, seed: int) -> DescentToDeleteTraining:
        """The recipe with what follows from the rows of a first training."""
        return pin(self, store)

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Raises:
            ConfigError: settings that do not fit, or no table with labels.
            StoreError: a label that is no class, or a row that is too long.
        """
        check_rows(self, store)

    def fit(self, plan: DescentToDelete, X: F, y: F, rng: Normal) -> tuple[F, dict[str, F], int]:
        """Published weights (d,), secret arrays and steps of one head."""
        start = np.zeros(X.shape[1])
        state = mechanism.train(plan, self.loss, X, y, rng, start=start)
        kept = {"iterate": state.weights} if plan.secret else {}
        return mechanism.publish(plan, state, rng), kept, plan.first_steps(start)

    def train(
        self,
        store: Store,
        *,
        seed: int,
        stage: str = "noisy training",
        workdir: Path | None = None,
        pool: Pool | None = None,
    ) -> NoisyModel:
        """Train on all rows of a table. It repeats only with ``randomness="seed"``.

        Args:
            store: a table with labels.
            seed: of the noise, where the recipe says so.
            stage: not used.
            workdir: not used: a checkpoint would be one more secret, and a killed training starts again.
            pool: not used.

        Raises:
            ExpungeError: what ``check`` raises, or a loss that breaks its constants.
        """
        return noisy_model(self, store, seed=seed, name="descent_to_delete")


descent_to_delete = DescentToDeleteTraining
