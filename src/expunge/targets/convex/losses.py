"""Convex losses of linear models, and what a user's own must show. Source: Guo et al. 2020 (ICML), section 3.

A loss is a function of the scores z = W'x (k,) of a record and of its target. ``C`` bounds its gradient in z, ``gamma``
is a Lipschitz constant of its curvature in z; both are for rows of norm at most 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError, UnknownName

F = NDArray[np.float64]
Reads = Literal["sign", "class", "number"]
STEP = 1e-5
"""Of differences that check a user's derivatives."""
SLACK = 1e-4
"""What rounding and the step of such a difference may make of a constant."""


@runtime_checkable
class Loss(Protocol):
    """What a user's own loss gives. ``reads`` says what a target is: -1 or 1, the number of a class, or a number."""

    @property
    def name(self) -> str:
        """For messages and digests."""
        ...

    @property
    def reads(self) -> Reads:
        """``sign``, ``class`` or ``number``."""
        ...

    @property
    def C(self) -> float:
        """Bound of the norm of ``gradient``; infinite where there is none."""
        ...

    @property
    def gamma(self) -> float:
        """Lipschitz constant of ``curvature`` in z, in operator norm."""
        ...

    def value(self, Z: F, y: F) -> F:
        """(n,) losses of scores Z (n, k) with targets y (n,)."""
        ...

    def gradient(self, Z: F, y: F) -> F:
        """(n, k) derivatives in Z."""
        ...

    def curvature(self, Z: F, y: F) -> F:
        """(n, k, k) second derivatives in Z."""
        ...


def sigmoid(z: F) -> F:
    """1 / (1 + exp(-z)), without overflow.

    >>> sigmoid(np.array([np.log(3.0), -800.0])).tolist()
    [0.75, 0.0]
    """
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


@dataclass(frozen=True)
class Logistic:
    """log(1 + exp(-y z)) for y = -1 or 1. ``gamma`` is the paper's 1/4; the smallest would be 1/(6 sqrt 3) = 0.096.

    >>> z, y = np.array([[np.log(3.0)]]), np.array([-1.0])
    >>> logistic.value(z, y).round(4).tolist()  # log 4
    [1.3863]
    >>> logistic.gradient(z, y).round(4).tolist(), logistic.curvature(z, y).round(4).tolist()  # 3/4 and 3/4 * 1/4
    ([[0.75]], [[[0.1875]]])
    """

    name: str = field(default="logistic", init=False)
    reads: Reads = field(default="sign", init=False)
    C: float = field(default=1.0, init=False)
    gamma: float = field(default=0.25, init=False)

    def value(self, Z: F, y: F) -> F:
        """(n,) nats."""
        return np.logaddexp(0.0, -y * Z[:, 0])

    def gradient(self, Z: F, y: F) -> F:
        """(n, 1) derivative."""
        return (-y * sigmoid(-y * Z[:, 0]))[:, None]

    def curvature(self, Z: F, y: F) -> F:
        """(n, 1, 1) second derivative."""
        p = sigmoid(Z[:, 0])
        return (p * (1.0 - p))[:, None, None]

    def probability(self, Z: F) -> F:
        """(n, 2) probability of either class."""
        return np.stack([sigmoid(-Z[:, 0]), sigmoid(Z[:, 0])], axis=1)


@dataclass(frozen=True)
class Squared:
    """(z - y)^2 / 2. Its gradient has no bound, but its curvature is constant: a Newton step leaves nothing.

    >>> z, y = np.array([[5.0]]), np.array([2.0])
    >>> squared.value(z, y).tolist(), squared.gradient(z, y).tolist(), squared.curvature(z, y).tolist()
    ([4.5], [[3.0]], [[[1.0]]])
    """

    name: str = field(default="squared", init=False)
    reads: Reads = field(default="number", init=False)
    C: float = field(default=math.inf, init=False)
    gamma: float = field(default=0.0, init=False)

    def value(self, Z: F, y: F) -> F:
        """(n,) squared units of y."""
        return (Z[:, 0] - y) ** 2 / 2

    def gradient(self, Z: F, y: F) -> F:
        """(n, 1) derivative."""
        return Z - y[:, None]

    def curvature(self, Z: F, y: F) -> F:
        """(n, 1, 1) ones."""
        return np.ones((len(Z), 1, 1))


@dataclass(frozen=True)
class Multinomial:
    """log sum_j exp(z_j) - z_y for y a class number.

    ``C``: |p - e_y| <= sqrt 2. ``gamma``: the third derivative along u, |u| = 1, is the third central moment of u_j
    under p. At a given mean it is largest on two points, at most R p(1-p)(1-2p) with R the cube of their distance,
    which is at most sqrt 2; so gamma = 2 sqrt 2 / (6 sqrt 3) = 0.272. Along three directions it is no more, as the
    form is symmetric (Banach 1938).

    >>> z, y = np.log(np.array([[2.0, 3.0, 5.0]])), np.array([2.0])
    >>> multinomial.value(z, y).round(4).tolist()  # log 2
    [0.6931]
    >>> multinomial.gradient(z, y).round(4).tolist()
    [[0.2, 0.3, -0.5]]
    >>> multinomial.curvature(z, y)[0, 0].round(4).tolist()  # 0.2 - 0.04, -0.06, -0.1
    [0.16, -0.06, -0.1]
    """

    name: str = field(default="multinomial", init=False)
    reads: Reads = field(default="class", init=False)
    C: float = field(default=math.sqrt(2), init=False)
    gamma: float = field(default=math.sqrt(2) / (3 * math.sqrt(3)), init=False)

    def value(self, Z: F, y: F) -> F:
        """(n,) nats."""
        top = Z.max(axis=1)
        own = np.take_along_axis(Z, y.astype(np.intp)[:, None], axis=1)[:, 0]
        return top + np.log(np.exp(Z - top[:, None]).sum(axis=1)) - own

    def gradient(self, Z: F, y: F) -> F:
        """(n, k) probabilities, less 1 at the target."""
        p = self.probability(Z)
        p[np.arange(len(Z)), y.astype(np.intp)] -= 1.0
        return p

    def curvature(self, Z: F, y: F) -> F:
        """(n, k, k) diag(p) - p p'."""
        p = self.probability(Z)
        H = -p[:, :, None] * p[:, None, :]
        at = np.arange(Z.shape[1])
        H[:, at, at] += p
        return H

    def probability(self, Z: F) -> F:
        """(n, k) softmax."""
        e = np.exp(Z - Z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class OneVsRest:
    """One model a class, each with a noise and a budget of its own: K mechanisms, whose ε and δ add.

    Args:
        of: a loss of signs.
    """

    of: Loss = Logistic()

    @property
    def name(self) -> str:
        """For messages and digests."""
        return f"one_vs_rest({self.of.name})"


logistic, squared, multinomial, one_vs_rest = Logistic(), Squared(), Multinomial(), OneVsRest()
KNOWN: dict[str, Loss | OneVsRest] = {
    "logistic": logistic,
    "multinomial": multinomial,
    "one_vs_rest": one_vs_rest,
    "squared": squared,
}


def loss_named(loss: str | Loss | OneVsRest) -> Loss | OneVsRest:
    """The loss of a name, or the user's own.

    Raises:
        UnknownName: no such loss.
        ConfigError: an object that lacks a part, or constants that are no numbers from 0.
    """
    if isinstance(loss, str):
        if loss not in KNOWN:
            raise UnknownName("loss", loss, KNOWN)
        return KNOWN[loss]
    own = loss.of if isinstance(loss, OneVsRest) else loss
    if not isinstance(own, Loss):
        why = "it needs name, reads, C, gamma, value, gradient and curvature"
        raise ConfigError(f"{type(own).__name__} is no loss", why=why)
    if own.reads not in ("sign", "class", "number") or (isinstance(loss, OneVsRest) and own.reads != "sign"):
        raise ConfigError(f"the loss {own.name} reads {own.reads!r}", why="known are sign (one against rest), number")
    if not (own.C >= 0 and 0 <= own.gamma < math.inf):
        raise ConfigError(f"the loss {own.name} has no bounds", why=f"C is {own.C}, gamma {own.gamma}")
    return loss


def require_convex(loss: Loss, Z: F, y: F) -> None:
    """Refuse a user's loss that is not convex, or not what it states, at the scores of the data.

    Args:
        loss: any; the four here are not checked.
        Z: (n, k) scores.
        y: (n,) targets.

    Raises:
        ConfigError: curvature below 0, constants that the data contradict, or derivatives that are not those.
    """
    if type(loss) in (Logistic, Squared, Multinomial) or not len(Z):
        return
    what, G, H = f"the loss {loss.name} is not what it states", loss.gradient(Z, y), loss.curvature(Z, y)
    if G.shape != Z.shape or H.shape != (*Z.shape, Z.shape[1]):
        raise ConfigError(what, why=f"gradient {G.shape} and curvature {H.shape} do not fit scores {Z.shape}")
    if not (np.isfinite(G).all() and np.isfinite(H).all()):
        raise ConfigError(what, why="a derivative is not finite on the data")
    if (lowest := float(np.linalg.eigvalsh(H).min())) < -1e-12:
        raise ConfigError(f"the loss {loss.name} is not convex", why=f"its curvature on the data goes to {lowest:.3g}")
    if (most := float(np.linalg.norm(G, axis=1).max())) > loss.C * (1 + SLACK):
        raise ConfigError(what, why=f"C is {loss.C:.4g}, a gradient on the data has norm {most:.4g}")
    for j in range(Z.shape[1]):
        ahead, behind = Z.copy(), Z.copy()
        ahead[:, j] += STEP
        behind[:, j] -= STEP
        slope = (loss.value(ahead, y) - loss.value(behind, y)) / (2 * STEP)
        bend = (loss.gradient(ahead, y) - loss.gradient(behind, y)) / (2 * STEP)
        if not np.allclose(slope, G[:, j], rtol=SLACK, atol=SLACK):
            raise ConfigError(what, why="its gradient is not the derivative of its value")
        if not np.allclose(bend, H[:, :, j], rtol=SLACK, atol=SLACK):
            raise ConfigError(what, why="its curvature is not the derivative of its gradient")
        moved = np.linalg.norm(loss.curvature(ahead, y) - loss.curvature(behind, y), ord=2, axis=(1, 2)) / (2 * STEP)
        if (most := float(moved.max())) > loss.gamma + SLACK:
            raise ConfigError(what, why=f"gamma is {loss.gamma:.4g}, the curvature moves by {most:.4g} on the data")
