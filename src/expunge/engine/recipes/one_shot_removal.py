"""Train to the minimum and keep its curvature, for one Newton step. Source: Sekhari et al., arXiv 2103.03279."""

from __future__ import annotations

from pathlib import Path

from expunge.accounting.strongly_convex import Bound
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.engine.recipes._noisy_rows import check_rows, digest_of, noisy_model, pin
from expunge.execution.pool import Pool
from expunge.targets.noisy import one_shot_removal as mechanism
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, Normal, Randomness
from expunge.targets.noisy.one_shot_removal import OneShotRemoval
from expunge.targets.noisy.target import Label, NoisyModel, Promise, heads_of


@record
class OneShotRemovalTraining:
    """Logistic regression without intercept, of two classes or one against the rest. ``most`` rows may go in all.

    Args:
        loss: with its penalty, not clipped; within ``sqrt(2 ln 2 / penalty)`` of 0 lies every minimiser, and a smaller
            radius may refuse a training.
        epsilon: nats, of the models published after all requests together, once ``most`` rows are gone; less before.
        delta: probability.
        most: rows that may be forgotten in all, half at most; the noise is made for them.
        tolerance: norm of the mean gradient at which a training ends.
        requests: that may be answered; the noise is made for the models published after all of them together.
        bound: ``paper`` quotes the published constant, ``derived`` is proven here and needs less noise.
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
    most: int
    tolerance: float = 1e-10
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
        return digest_of(self, "one_shot_removal")

    def settled(self) -> tuple[OneShotRemoval, Promise]:
        """The plan, with the least noise that keeps the promise, and the promise."""
        plan = OneShotRemoval(
            constants=self.loss.constants,
            rows=self.rows,
            most=self.most,
            sigma=1.0,
            delta=self.delta,
            tolerance=self.tolerance,
            bound=self.bound,
            heads=heads_of(self.classes),
            requests=min(self.requests, self.most),
        ).calibrated(self.epsilon)
        return plan, Promise(self.epsilon, self.delta, self.most)

    @property
    def repeats(self) -> bool:
        """Whether the same seed gives the same noise."""
        return self.randomness == "seed"

    def pinned(self, store: Store, *, seed: int) -> OneShotRemovalTraining:
        """The recipe with what follows from the rows of a first training."""
        return pin(self, store)

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Raises:
            ConfigError: settings that do not fit, or no table with labels.
            StoreError: a label that is no class, or a row that is too long.
        """
        check_rows(self, store)

    def fit(self, plan: OneShotRemoval, X: F, y: F, rng: Normal) -> tuple[F, dict[str, F], int]:
        """Published weights (d,), secret arrays and steps of one head; Newton steps are not counted."""
        kept = mechanism.fit(plan, self.loss, X, y)
        secret = {"weights": kept.weights, "curvature": kept.curvature, "pull": kept.pull}
        return mechanism.publish(plan, kept.weights, rng), secret, 0

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
            TargetError: the minimum is not reached, or lies outside the ball.
            ExpungeError: what ``check`` raises, or a loss that breaks its constants.
        """
        return noisy_model(self, store, seed=seed, name="one_shot_removal")


one_shot_removal = OneShotRemovalTraining
