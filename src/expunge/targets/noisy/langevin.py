r"""Unlearning by more steps of noisy projected gradient descent. Source: Chien et al., arXiv 2401.10371.

    w <- P(w - eta grad F_D(w) + sqrt(2 eta) tau N),   F_D(w) = (1/n) sum_D phi + (penalty/2)|w|^2,

P the projection into the ball (not onto the sphere), n the rows of the first training, which stays when rows go. A
training of T steps; each request changes D and takes K more. Unlearned is compared with the same number of steps on
the rows left, from the same start. A step with eta <= 2 / (strong + smooth) contracts by c = 1 - eta penalty; while
S rows are still to be deleted it moves the two apart by b = eta S C / n, C the bound of a row's gradient.
``bound="derived"`` is ``shifted_rho`` of those gaps, which counts the noise of all steps and any sequence of
requests.

``"paper"``, the default, is the published form, of log-Sobolev constants: with S rows in all and K steps since the
last

    D_alpha <= (4 alpha S^2 C^2 / (penalty tau^2 n^2)) exp(-penalty eta K / alpha).

It is on the safe side of what is derived here, twofold: after a training of any length the shifted bound is at most
alpha b^2 (1 + c) / ((1 - c) 4 eta tau^2) <= alpha S^2 C^2 / (2 penalty tau^2 n^2) and falls by c^2 a step; and a
noise step on a law with log-Sobolev constant at most 2 eta tau^2 / (1 - c^2) lets D_alpha fall by c^(2/alpha),
where the form above has about c^(1/alpha).

Requests are taken as chosen without a look at what was published (an oblivious adversary).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from expunge.accounting.given import count, positive
from expunge.accounting.strongly_convex import Bound, Walk
from expunge.core.errors import ConfigError, StoreError
from expunge.core.record import record
from expunge.targets.noisy.descending import SLACK, into_ball
from expunge.targets.noisy.losses import Constants, Loss
from expunge.targets.noisy.noise import F, Normal, double, noised


@record
class Langevin:
    """A training and the requests after it.

    Args:
        constants: of the loss; only its penalty counts as convexity, since rows go and n stays.
        rows: n, of the first training.
        lr: eta.
        temperature: tau; each step's noise has the standard deviation sqrt(2 eta) tau.
        steps: of the training, and after each request.
        removed: rows that each request deletes; one fewer than ``steps``.
        bound: which Renyi divergence is stated.
        heads: models under one plan, each trained on every row with noise of its own.

    >>> c = Constants(strong=0.5, smooth=0.75, row_bound=1.0, penalty=0.5, radius=2.0)
    >>> plan = Langevin(constants=c, rows=100, lr=0.8, temperature=0.05, steps=(30, 5), removed=(2,))
    >>> round(plan.renyi(4.0), 4)  # 4 * 4 * 4 / (0.5 * 0.0025 * 10,000) * e^(-0.5 * 0.8 * 5 / 4)
    3.1054
    """

    constants: Constants
    rows: int
    lr: float
    temperature: float
    steps: tuple[int, ...]
    removed: tuple[int, ...]
    bound: Bound = "paper"
    heads: int = 1

    def __post_init__(self) -> None:
        count("heads", self.heads, least=1)
        self.known  # noqa: B018

    @property
    def known(self) -> Walk:
        """The numbers that its certificate rests on."""
        c, tau = self.constants, self.temperature
        taken = (self.steps, self.removed)
        return Walk(c.penalty, c.smooth, c.row_bound, c.radius, self.rows, self.lr, tau, *taken, self.bound)

    @property
    def sigma(self) -> float:
        """Standard deviation of each step's noise."""
        return self.known.sigma

    @property
    def rho(self) -> float:
        """D_alpha <= alpha rho of all heads together, as derived."""
        return self.heads * self.known.rho

    @property
    def retained_rho(self) -> float:
        """The same for one row that stays, between all that was published and what would have been without it.

        Given one publication the next run starts at the same place in both worlds, and the row pulls at every step of
        it; so the rho of the runs add up, whoever chose the requests between them by what was published.
        """
        runs = (replace(self, steps=(steps, 0), removed=(1,), bound="derived") for steps in self.steps)
        return sum(run.rho for run in runs)

    def renyi(self, order: float) -> float:
        """Renyi divergence of an order alpha > 1 between unlearned and retrained, either way, all heads, in nats."""
        return self.heads * self.known.renyi(order)

    def epsilon(self, delta: float) -> float:
        """The same as (epsilon, delta); nothing deleted costs nothing."""
        return self.known.epsilon(delta, heads=self.heads)

    def calibrated(self, epsilon: float, delta: float) -> Langevin:
        """The same plan at the lowest temperature that is (epsilon, delta), rounded up."""
        positive("epsilon", epsilon)
        low, high = self.temperature, self.temperature
        while replace(self, temperature=high).epsilon(delta) > epsilon:
            high *= 2
        while replace(self, temperature=low).epsilon(delta) <= epsilon and low > 1e-100:
            low /= 2
        for _ in range(45):
            middle = math.sqrt(low * high)
            holds = replace(self, temperature=middle).epsilon(delta) <= epsilon
            low, high = (low, middle) if holds else (middle, high)
        return replace(self, temperature=high)


def run(plan: Langevin, loss: Loss, start: F, X: F, y: F, steps: int, rng: Normal) -> F:
    """Weights (..., d) after noisy projected steps on the rows at hand: training, or the steps after a request.

    Args:
        plan: with the number of rows of the first training, by which gradients are divided.
        loss: of the rows.
        start: (..., d) weights; those before the request, or first ones that do not depend on the rows.
        X: (n', d) rows.
        y: (n',) labels.
        steps: to take.
        rng: of the noise.

    Raises:
        ConfigError: the plan was made for another loss, or the loss exceeds its bound.
        StoreError: more rows than in the first training.
    """
    known = loss.constants
    if known != plan.constants:
        raise ConfigError("the plan was made for another loss", next="Make it from the constants of this loss")
    if len(X) > plan.rows:
        raise StoreError(f"{len(X)} rows, where the first training had {plan.rows}")
    X, y = loss.rows(X, y)
    weights = into_ball(double(start, "the first weights"), known.radius)
    for _ in range(steps):
        total = loss.row_sum(weights, X, y)
        if (np.linalg.norm(total, axis=-1) > len(X) * known.row_bound * (1 + SLACK)).any():
            raise ConfigError("the loss is not what its constants say", why="the gradients of rows exceed their bound")
        slope = total / plan.rows + known.penalty * weights
        weights = into_ball(noised(weights - plan.lr * slope, plan.sigma, rng), known.radius)
    return weights
