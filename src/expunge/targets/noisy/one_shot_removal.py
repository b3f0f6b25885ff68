r"""Removal of rows by one Newton step from kept curvature. Source: Sekhari et al., arXiv 2103.03279, algorithm 1.

Loss per row: lam-strongly convex, L-Lipschitz, Hessian M-Lipschitz. Kept beside the weights w: the sum of Hessians,
whose size does not grow with n. Deleting m rows U of n:

    H = (n hess F(w) - sum_U hess f) / (n - m),   w~ = w + H^-1 sum_U grad f / (n - m),   published w~ + N(0, s^2 I).

Whoever was trained without U publishes its own minimiser w' + N(0, s^2 I). How far apart those are: with every
training ended at |grad F| <= t, F' the loss without U has grad F'(w) = (n grad F(w) - sum_U grad f) / (n - m), so

    |w' - w| <= (m L + n t) / (lam (n - m))                                       (strong convexity)
    |w' - w~| <= (M / (2 lam)) |w' - w|^2 + n t / (lam (n - m)) + t / lam          (Taylor; t of both trainings)

so that ``bound="derived"`` is M (m L + n t)^2 / (2 lam^3 (n - m)^2) plus what t adds. ``"paper"``, the default, has
2 M (m L + n t)^2 / (lam^3 n^2) in place of the first term: for t = 0 that is the published constant, and for m <= n
/ 2, which is asked for, it is never smaller.

The noise is settled at the first training, for up to ``most`` rows, and stays: its size would else tell what was
deleted. A further request goes to the same w with the sums of all rows so far, so that the order of requests and how
rows are spread over them changes no result but for rounding. Every request publishes once more, with fresh noise: r
publications are at most sqrt(r) times as far apart as the last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from expunge.accounting.gaussian import gaussian_epsilon, gaussian_sigma
from expunge.accounting.given import count, positive, probability
from expunge.accounting.strongly_convex import Bound, Removal
from expunge.core.errors import ConfigError, RequestError, TargetError
from expunge.core.record import record
from expunge.targets.noisy.descending import gradient
from expunge.targets.noisy.losses import Constants, Loss
from expunge.targets.noisy.noise import F, Normal, noised

NEWTON_STEPS = 100


@record
class OneShotRemoval:
    """What is settled at the first training.

    Args:
        constants: of the loss; the Hessian's Lipschitz constant among them.
        rows: of the first training.
        most: rows that may be deleted, half at most.
        sigma: of the noise on what is published.
        delta: of the guarantee.
        tolerance: norm of the mean gradient at which training ends.
        bound: of the distance between removal and retraining.
        heads: models under one plan, each trained on every row with noise of its own.
        requests: after each of which a model is published; the guarantee is of all of them together.

    >>> c = Constants(strong=0.5, smooth=0.75, row_bound=1.0, penalty=0.5, radius=2.0, hessian_lipschitz=0.1)
    >>> plan = OneShotRemoval(constants=c, rows=100, most=5, sigma=0.1, delta=0.01, tolerance=1e-12)
    >>> round(plan.sensitivity(5), 6), round(plan.sensitivity(0), 9)  # 2 * 0.1 * 25 * 4 / (0.125 * 10,000)
    (0.016, 0.0)
    """

    constants: Constants
    rows: int
    most: int
    sigma: float
    delta: float
    tolerance: float = 1e-10
    bound: Bound = "paper"
    heads: int = 1
    requests: int = 1

    def __post_init__(self) -> None:
        count("most", self.most, least=1)
        count("heads", self.heads, least=1)
        count("requests", self.requests, least=1)
        positive("sigma", self.sigma)
        probability("delta", self.delta)
        self.sensitivity(self.most)

    @property
    def known(self) -> Removal:
        """The numbers that its certificate rests on."""
        c = self.constants
        return Removal(c.strong, c.lipschitz, c.hessian_lipschitz, self.rows, self.tolerance, self.bound)

    def sensitivity(self, removed: int) -> float:
        """How far removal of so many rows and retraining without them are apart at most, all heads; 0 for none."""
        return self.known.shift(removed) * math.sqrt(self.heads)

    def epsilon(self, removed: int) -> float:
        """Of the publications after all ``requests`` together, for so many rows in all, at ``delta``."""
        shift = self.sensitivity(removed) * math.sqrt(self.requests)
        return gaussian_epsilon(self.delta, sigma=self.sigma, sensitivity=shift) if shift else 0.0

    def calibrated(self, epsilon: float) -> OneShotRemoval:
        """The same plan with the least noise that is (epsilon, delta) for ``most`` rows."""
        shift = self.sensitivity(self.most) * math.sqrt(self.requests)
        return replace(self, sigma=gaussian_sigma(positive("epsilon", epsilon), self.delta, sensitivity=shift))


@dataclass(frozen=True)
class Kept:
    """What is kept of a training; not published. Of rows that went only sums stay, and w, which they had shaped.

    Attributes:
        weights: (d,) w, at which training ended.
        curvature: (d, d). Sum over the rows that are left of the Hessians of phi there.
        pull: (d,). Sum over the rows that went of the gradients of phi + penalty there.
        rows: that it was trained on.
        gone: rows that went since.
    """

    weights: F
    curvature: F
    pull: F
    rows: int
    gone: int = 0


def fit(plan: OneShotRemoval, loss: Loss, X: F, y: F) -> Kept:
    """Train by damped Newton steps to the plan's tolerance.

    Raises:
        ConfigError: the plan was made for another loss, or the loss breaks its constants.
        TargetError: the tolerance was not reached, or the minimum lies outside the ball.
    """
    _same(plan, loss)
    if not plan.rows - plan.most <= len(X) <= plan.rows:
        raise ConfigError(f"the plan holds for {plan.rows - plan.most} to {plan.rows} rows, not {len(X)}")
    X, y = loss.rows(X, y)
    weights = np.zeros(X.shape[1])
    slope = gradient(loss, weights, X, y)
    for _ in range(NEWTON_STEPS):
        if np.linalg.norm(slope) <= plan.tolerance:
            break
        along = np.linalg.solve(_hessian(loss, weights, X, y), slope)
        share = 1.0
        while share > 1e-6:
            tried = weights - share * along
            new = gradient(loss, tried, X, y)
            if np.linalg.norm(new) < np.linalg.norm(slope):
                break
            share /= 2
        else:
            break
        weights, slope = tried, new
    if np.linalg.norm(slope) > plan.tolerance or np.linalg.norm(weights) > loss.constants.radius:
        raise TargetError(
            f"training ended at a gradient of {np.linalg.norm(slope):.2g}, weights of {np.linalg.norm(weights):.4g}",
            why=f"the certificate asks for {plan.tolerance:.2g} within the radius {loss.constants.radius:.4g}",
            next="Allow a larger tolerance or radius; both go into the noise",
        )
    return Kept(weights, loss.hessian_sum(weights, X, y), np.zeros_like(weights), len(X))


def require_budget(plan: OneShotRemoval, kept: Kept, taken: int) -> None:
    """Raise unless the plan covers so many more rows.

    Raises:
        RequestError: it does not.
    """
    gone = plan.rows - kept.rows + kept.gone + taken
    if gone > plan.most:
        raise RequestError(
            "the budget is spent",
            why=f"{gone} rows in all, and the noise covers {plan.most}",
            next="Retrain without them",
        )


def without(plan: OneShotRemoval, loss: Loss, kept: Kept, X: F, y: F) -> Kept:
    """The state without further rows.

    Args:
        plan: that the training followed.
        loss: of the rows.
        kept: state before.
        X: (m, d) the rows to delete.
        y: (m,) their labels.

    Raises:
        RequestError: more rows in all than the plan covers.
        ConfigError: the plan was made for another loss.
    """
    _same(plan, loss)
    require_budget(plan, kept, len(X))
    X, y = loss.rows(X, y)
    pull = loss.row_sum(kept.weights, X, y) + len(X) * loss.constants.penalty * kept.weights
    curvature = kept.curvature - loss.hessian_sum(kept.weights, X, y)
    return Kept(kept.weights, curvature, kept.pull + pull, kept.rows, kept.gone + len(X))


def stepped(plan: OneShotRemoval, kept: Kept) -> F:
    """The weights (d,) after the Newton step for all rows that went, before the noise; where none did, w."""
    if kept.gone == 0:
        return kept.weights
    left = kept.rows - kept.gone
    curvature = kept.curvature / left + plan.constants.penalty * np.eye(len(kept.weights))
    return kept.weights + np.linalg.solve(curvature, kept.pull) / left


def remove(plan: OneShotRemoval, loss: Loss, kept: Kept, X: F, y: F) -> F:
    """The weights (d,) after removal of further rows, before the noise; none gives the weights as they are.

    Args:
        plan: that the training followed.
        loss: of the rows.
        kept: state before.
        X: (m, d) the rows to delete.
        y: (m,) their labels.

    Raises:
        RequestError: more rows in all than the plan covers.
        ConfigError: the plan was made for another loss.
    """
    return stepped(plan, without(plan, loss, kept, X, y))


def publish(plan: OneShotRemoval, weights: F, rng: Normal) -> F:
    """The weights (..., d) to give out, after removal or after training alike."""
    return noised(weights, plan.sigma, rng)


def _same(plan: OneShotRemoval, loss: Loss) -> None:
    if loss.constants != plan.constants:
        raise ConfigError("the plan was made for another loss", next="Make it from the constants of this loss")


def _hessian(loss: Loss, weights: F, X: F, y: F) -> F:
    hessian = loss.hessian_sum(weights, X, y) / len(X) + loss.constants.penalty * np.eye(len(weights))
    lowest = float(np.linalg.eigvalsh(hessian)[0])
    if lowest < loss.constants.strong * (1 - 1e-9):
        raise ConfigError("the loss is not what its constants say", why=f"its Hessian has the eigenvalue {lowest:.3g}")
    return hessian
