r"""Noisy fine-tuning on retained data, with no assumption on the loss. Source: Koloskova et al., arXiv 2506.06985.

Unlearned and retrained models, however they came about, both go through the same fine-tuning on the retained data.
The weights are a flat vector; the gradient is any function of it, its own randomness (batches) drawn alike for
both.

Gradient clipping: x0 = clip(w, C0), then x <- x - eta (clip(g(x), C1) + lam x) + N(0, s^2 I). Two starts are at
most 2 C0 apart; a step brings them together by c = 1 - eta lam and, since nothing is assumed of g, adds at most 2
eta C1. By ``shifted_rho`` D_alpha <= alpha rho; for lam = 0, rho = (2 C0 + 2 eta C1 T)^2 / (2 T s^2). The gap is the
same where the two step by different g, so that rho covers other retained data as well.

Model clipping: x <- clip(x - eta g(x), C2) + N(0, s^2 I). Every step starts its noise from two points at most 2 C2
apart. For gamma = e^epsilon >= 1 let E(P, Q) = integral of (P - gamma Q)+, and K a step. With a = (P - gamma Q)+
and b = (gamma Q - P)+, of mass E and gamma - 1 + E >= gamma E,

    E(PK, QK) = integral of (aK - bK)+ <= E integral of (a'K - gamma b'K)+ <= E max_{x, y} E(K_x, K_y)

with a', b' of mass 1.

So delta(epsilon) after T steps is at most delta_1^T, delta_1 of one Gaussian with shift 2 C2: ln(1/delta) steps
suffice. Here K has to be the same for both: of other retained data nothing is said.

What is done afterwards with retained data alone and no noise is post-processing and costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from expunge.accounting.accountants.gradient_clipping import gradient_clipping
from expunge.accounting.accountants.model_clipping import model_clipping
from expunge.accounting.gaussian import gaussian_delta, gaussian_sigma
from expunge.accounting.given import count, positive, probability
from expunge.accounting.shifted import clipped_rho, largest_rho
from expunge.core.errors import ConfigError
from expunge.core.record import record
from expunge.targets.noisy.descending import into_ball
from expunge.targets.noisy.noise import F, Normal, double, noised

Gradient = Callable[[F, int], Any]


@record
class GradientClipping:
    """Noisy steps whose gradients are clipped.

    Args:
        start_clip: C0, norm of the first weights at most.
        gradient_clip: C1, norm of a gradient at most.
        lr: eta.
        decay: lam, of weights; eta lam below 1.
        sigma: of each step's noise.
        steps: T.

    >>> plan = GradientClipping(start_clip=1.5, gradient_clip=0.5, lr=0.5, decay=0.0, sigma=2.0, steps=4)
    >>> plan.rho, plan.renyi(3.0)  # (3 + 2 * 0.5 * 0.5 * 4)^2 / (2 * 4 * 4)
    (0.78125, 2.34375)
    """

    start_clip: float
    gradient_clip: float
    lr: float
    decay: float
    sigma: float
    steps: int

    accountant: ClassVar[str] = "gradient_clipping"

    def __post_init__(self) -> None:
        _ = self.rho

    @property
    def rho(self) -> float:
        """D_alpha <= alpha rho between unlearned and retrained."""
        return clipped_rho(**vars(self))

    @property
    def numbers(self) -> dict[str, str]:
        """What its accountant reads."""
        return {**{name: repr(value) for name, value in vars(self).items()}, "blocks": "1"}

    def renyi(self, order: float) -> float:
        """Renyi divergence of an order alpha > 1, in nats."""
        return order * self.rho

    def epsilon(self, delta: float) -> float:
        """The same as (epsilon, delta)."""
        return gradient_clipping(delta, self.numbers)

    def calibrated(self, epsilon: float, delta: float) -> GradientClipping:
        """The same plan with the least noise that is (epsilon, delta), rounded up."""
        return replace(self, sigma=self.sigma * math.sqrt(self.rho / largest_rho(epsilon, delta)) * (1 + 1e-12))

    def start(self, weights: F) -> F:
        """First weights."""
        return into_ball(weights, self.start_clip)

    def step(self, weights: F, gradient: F) -> F:
        """The next weights, before their noise."""
        return (1 - self.lr * self.decay) * weights - self.lr * into_ball(gradient, self.gradient_clip)


@record
class ModelClipping:
    """Noisy steps whose result is clipped as a whole.

    Args:
        clip: C2, norm of the weights before the noise at most.
        lr: eta.
        sigma: of each step's noise.
        steps: T.

    >>> plan = ModelClipping(clip=2.0, lr=0.5, sigma=2.0, steps=2)
    >>> round(plan.delta(2.0), 4)  # (Phi(0) - e^2 Phi(-2))^2 / ... at sigma over shift 1/2: 0.3319^2
    0.1102
    """

    clip: float
    lr: float
    sigma: float
    steps: int

    accountant: ClassVar[str] = "model_clipping"

    def __post_init__(self) -> None:
        positive("the clip", self.clip)
        positive("the learning rate", self.lr)
        positive("sigma", self.sigma)
        count("steps", self.steps, least=1)

    def delta(self, epsilon: float) -> float:
        """The delta at an epsilon."""
        return gaussian_delta(epsilon, sigma=self.sigma, sensitivity=2 * self.clip) ** self.steps

    def epsilon(self, delta: float) -> float:
        """The epsilon at a delta."""
        return model_clipping(delta, self.numbers)

    @property
    def numbers(self) -> dict[str, str]:
        """What its accountant reads."""
        return {name: repr(getattr(self, name)) for name in ("clip", "sigma", "steps")}

    def calibrated(self, epsilon: float, delta: float) -> ModelClipping:
        """The same plan with the least noise that is (epsilon, delta)."""
        of_one = probability("delta", delta) ** (1 / self.steps) * (1 - 1e-12)
        return replace(self, sigma=gaussian_sigma(epsilon, of_one, sensitivity=2 * self.clip))

    def start(self, weights: F) -> F:
        """First weights: as they are, since the first step clips."""
        return weights

    def step(self, weights: F, gradient: F) -> F:
        """The next weights, before their noise."""
        return into_ball(weights - self.lr * gradient, self.clip)


def fine_tune(plan: GradientClipping | ModelClipping, weights: F, gradient: Gradient, rng: Normal) -> F:
    """Weights (..., d) after the plan's noisy steps.

    Args:
        plan: with its certificate.
        weights: (..., d) float64. The model's, flattened.
        gradient: of weights (..., d) and the number of the step; on retained data alone, with no regard to what is
            to be forgotten.
        rng: of the noise; apart from that of the batches.

    Raises:
        ConfigError: weights or gradients that are not finite and double precision.
    """
    weights = plan.start(double(weights, "the weights"))
    for step in range(plan.steps):
        slope = double(gradient(weights, step), "the gradients")
        if slope.shape != weights.shape:
            raise ConfigError(f"a gradient of shape {slope.shape} for weights of shape {weights.shape}")
        weights = noised(plan.step(weights, slope), plan.sigma, rng)
    return weights
