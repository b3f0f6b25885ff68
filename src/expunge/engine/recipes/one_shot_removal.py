"""Train to the minimum and keep its curvature, for one Newton step. Source: Sekhari et al., arXiv 2103.03279."""

from __future__ import annotations

from expunge.accounting.strongly_convex import Bound
from expunge.core.record import record
from expunge.engine.recipes._noisy_rows import NoisyTraining
from expunge.targets.noisy import one_shot_removal as mechanism
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, Normal, Randomness
from expunge.targets.noisy.one_shot_removal import OneShotRemoval
from expunge.targets.noisy.target import Label, Promise, heads_of


@record
class OneShotRemovalTraining(NoisyTraining):
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

    name = "one_shot_removal"

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

    def fit(self, plan: OneShotRemoval, X: F, y: F, rng: Normal) -> tuple[F, dict[str, F], int]:
        """Published weights (d,), secret arrays and steps of one head; Newton steps are not counted."""
        kept = mechanism.fit(plan, self.loss, X, y)
        secret = {"weights": kept.weights, "curvature": kept.curvature, "pull": kept.pull}
        return mechanism.publish(plan, kept.weights, rng), secret, 0


one_shot_removal = OneShotRemovalTraining
