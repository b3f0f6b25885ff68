"""Losses of rows with the constants that certificates rest on, and rows that keep within the norm they assume.

A model of n rows minimises F(w) = (1/n) sum_i phi(w; x_i, y_i) + (penalty/2)|w|^2 over the ball |w| <= radius.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import numpy as np

from expunge.accounting.given import positive
from expunge.accounting.strongly_convex import ROUNDING
from expunge.core.errors import ConfigError, StoreError
from expunge.core.record import record
from expunge.targets.noisy.noise import F, double


@record
class Constants:
    """What is known of a loss on the ball.

    Args:
        strong: strong convexity of phi + penalty, for every row.
        smooth: Lipschitz constant of its gradient.
        row_bound: largest norm of the gradient of phi.
        penalty: factor of |w|^2 / 2.
        radius: of the ball in which w stays.
        hessian_lipschitz: Lipschitz constant of the Hessian; infinite where none is known.

    >>> c = Constants(strong=0.5, smooth=1.5, row_bound=1.0, penalty=0.5, radius=4.0)
    >>> c.lipschitz, c.step, c.contraction
    (3.0, 1.0, 0.5)
    """

    strong: float
    smooth: float
    row_bound: float
    penalty: float
    radius: float
    hessian_lipschitz: float = math.inf

    def __post_init__(self) -> None:
        if not self.strong > 0:
            raise ConfigError(
                f"a loss with strong convexity {self.strong} has no certificate here",
                why="the distance between optima is bounded for strongly convex losses only",
                next="Add an L2 penalty to a convex loss; for a network use noisy fine-tuning",
            )
        if not (self.smooth >= self.strong >= self.penalty >= 0 and math.isfinite(self.smooth)):
            raise ConfigError("constants must be 0 <= penalty <= strong <= smooth, and finite")
        if not (0 < self.row_bound < math.inf and 0 < self.radius < math.inf and self.hessian_lipschitz >= 0):
            raise ConfigError("the bound of a row's gradient and the radius must be finite and above 0")

    @property
    def lipschitz(self) -> float:
        """Largest norm of the gradient of phi + penalty on the ball."""
        return self.row_bound + self.penalty * self.radius

    @property
    def step(self) -> float:
        """The step of gradient descent that contracts most: 2 / (strong + smooth)."""
        return 2 / (self.strong + self.smooth)

    @property
    def contraction(self) -> float:
        """By which such a step brings two points together: (smooth - strong) / (smooth + strong)."""
        return (self.smooth - self.strong) / (self.smooth + self.strong)


class Loss(Protocol):
    """What a mechanism asks of a loss; weights may carry leading axes, so that many runs go as one."""

    @property
    def constants(self) -> Constants:
        """What its certificates rest on."""
        ...

    def rows(self, X: F, y: F) -> tuple[F, F]:
        """Rows and targets as the loss takes them; raises for those that its constants do not cover."""
        ...

    def row_sum(self, weights: F, X: F, y: F) -> F:
        """Sum over rows of the gradients of phi: weights (..., d), X (n, d), y (n,) -> (..., d)."""
        ...

    def hessian_sum(self, weights: F, X: F, y: F) -> F:
        """Sum over rows of the Hessians of phi: weights (d,) -> (d, d)."""
        ...


@record
class Logistic:
    """Logistic loss ln(1 + exp(-y x.w)) of rows with |x| <= 1 and y = +1 or -1, with an L2 penalty.

    Longer rows are refused, or with ``beyond="clip"`` brought back to norm 1.

    A ``clip`` below 1 bounds the gradient of each row at that norm. The gradient is a number times x, and a clipped
    increasing number still increases: the loss stays convex, as smooth as it was, and its constants hold. Its Hessian
    then jumps, so that nothing is known of the Hessian's Lipschitz constant.

    >>> loss = Logistic(penalty=0.25, radius=4.0)
    >>> loss.constants.smooth, loss.constants.lipschitz, round(loss.constants.hessian_lipschitz, 4)
    (0.5, 2.0, 0.0962)
    >>> loss.row_sum(np.zeros(2), np.array([[0.6, 0.8]]), np.array([-1.0])).tolist()
    [0.3, 0.4]
    """

    penalty: float
    radius: float
    clip: float = 1.0
    beyond: Literal["refuse", "clip"] = "refuse"

    def __post_init__(self) -> None:
        positive("the clip", self.clip)

    @property
    def constants(self) -> Constants:
        """Smooth by 1/4 more than the penalty; |third derivative| <= 1 / (6 sqrt 3)."""
        return Constants(
            strong=self.penalty,
            smooth=self.penalty + 0.25,
            row_bound=min(self.clip, 1.0),
            penalty=self.penalty,
            radius=self.radius,
            hessian_lipschitz=1 / (6 * math.sqrt(3)) if self.clip >= 1 else math.inf,
        )

    def rows(self, X: F, y: F) -> tuple[F, F]:
        """Rows within norm 1, labels within +1 and -1."""
        return unit_rows(X, y, beyond=self.beyond)

    def _slopes(self, weights: F, X: F, y: F) -> F:
        margins = (weights @ X.T) * y
        slopes = -0.5 * (1 - np.tanh(margins / 2))
        if self.clip >= 1:
            return slopes
        norms = np.maximum(np.linalg.norm(X, axis=1), np.finfo(float).tiny)
        return np.maximum(slopes, -self.clip / norms)

    def row_sum(self, weights: F, X: F, y: F) -> F:
        """Sum over rows of the clipped gradients of phi (..., d)."""
        return (self._slopes(weights, X, y) * y) @ X

    def hessian_sum(self, weights: F, X: F, y: F) -> F:
        """Sum over rows of the Hessians of phi (d, d), where the gradient is not clipped."""
        if self.clip < 1:
            raise ConfigError("a clipped loss has no Hessian everywhere", next="Leave the clip at 1")
        slopes = -self._slopes(weights, X, y)
        return (X * (slopes * (1 - slopes))[:, None]).T @ X


def unit_rows(X: object, y: object, *, beyond: Literal["refuse", "clip"] = "refuse") -> tuple[F, F]:
    """Rows with norm at most 1 and labels +1 or -1.

    Args:
        X: (n, d) rows.
        y: (n,) labels.
        beyond: what becomes of a longer row: refused, or brought back to norm 1.

    Raises:
        ConfigError: for anything but finite double precision.
        StoreError: for other labels, other shapes, or a longer row that is to be refused.

    >>> unit_rows(np.array([[3.0, 4.0]]), np.array([1.0]), beyond="clip")[0].tolist()
    [[0.6, 0.8]]
    """
    rows, labels = double(X, "the rows"), double(y, "the labels")
    if rows.ndim != 2 or labels.shape != rows.shape[:1]:
        raise StoreError(f"rows of shape {rows.shape} do not go with labels of shape {labels.shape}")
    if not np.isin(labels, (-1.0, 1.0)).all():
        raise StoreError("labels must be +1 or -1", next="Map the two classes to them")
    norms = np.linalg.norm(rows, axis=1)
    if (norms <= 1 + ROUNDING).all():
        return rows, labels
    if beyond == "refuse":
        worst = int(norms.argmax())
        raise StoreError(
            f"row {worst} has norm {norms[worst]:.6g}, above 1",
            why="one row could then move the model further than the noise covers",
            next="Scale the rows by a bound that does not depend on them, or clip each",
        )
    return rows / np.maximum(norms, 1.0)[:, None], labels
