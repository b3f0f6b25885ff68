"""Projected gradient descent on many runs at once, which refuses a loss that breaks its own constants."""

from __future__ import annotations

import numpy as np

from expunge.core.errors import ConfigError
from expunge.targets.noisy.losses import Constants, Loss
from expunge.targets.noisy.noise import F, double

SLACK = 1e-9


def into_ball(weights: F, radius: float) -> F:
    """The nearest points (..., d) with norm at most ``radius``; those inside stay as they are.

    >>> into_ball(np.array([[3.0, 4.0], [0.3, 0.4]]), 2.5).tolist()
    [[1.5, 2.0], [0.3, 0.4]]
    """
    norms = np.linalg.norm(weights, axis=-1, keepdims=True)
    outside = norms > radius
    return np.where(outside, weights * (radius / np.where(outside, norms, 1.0)), weights)


def gradient(loss: Loss, weights: F, X: F, y: F) -> F:
    """Gradient of F at weights (..., d).

    Raises:
        ConfigError: if the rows' gradients are longer than the loss says.
    """
    total = loss.row_sum(weights, X, y)
    if (np.linalg.norm(total, axis=-1) > len(X) * loss.constants.row_bound * (1 + SLACK)).any():
        raise _broken("the gradients of the rows exceed its bound")
    return total / len(X) + loss.constants.penalty * weights


def descend(loss: Loss, start: F, X: F, y: F, steps: int) -> F:
    """Weights (..., d) after projected gradient descent with the step 2 / (strong + smooth).

    Successive gradients are compared with the constants of the loss. That catches a loss that is not what it says where
    it shows on the way; it proves nothing elsewhere.

    Raises:
        ConfigError: for a start that is not finite float64, or a loss that breaks its constants.
    """
    if len(X) == 0:
        raise ConfigError("there are no rows to descend on")
    constants = loss.constants
    weights = into_ball(double(start, "the first weights"), constants.radius)
    before, slope = weights, gradient(loss, weights, X, y)
    for _ in range(steps):
        weights = into_ball(before - constants.step * slope, constants.radius)
        new = gradient(loss, weights, X, y)
        _check(constants, weights - before, new - slope, new)
        before, slope = weights, new
    return weights


def _check(constants: Constants, moved: F, turned: F, slope: F) -> None:
    length = np.linalg.norm(moved, axis=-1)
    rounding = SLACK * (1 + np.linalg.norm(slope, axis=-1)) * length
    along = (moved * turned).sum(-1)
    if (along < constants.strong * length**2 * (1 - SLACK) - rounding).any():
        raise _broken(f"between two steps it is less convex than {constants.strong}")
    if (np.linalg.norm(turned, axis=-1) > constants.smooth * length * (1 + SLACK) + SLACK).any():
        raise _broken(f"between two steps it is less smooth than {constants.smooth}")


def _broken(what: str) -> ConfigError:
    return ConfigError(
        "the loss is not what its constants say",
        why=what,
        next="State constants that hold everywhere in the ball; a loss that is not convex has no certificate here",
    )
