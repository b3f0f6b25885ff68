"""Unlearned beside retrained for strongly convex losses. Source: arXiv 2007.02923, 2103.03279, 2401.10371.

What is proven, and what is quoted at second hand (``paper``, never smaller than ``derived``), stands in the modules
``descent_to_delete``, ``one_shot_removal`` and ``langevin`` of ``targets/noisy``. Rows are those of the first training;
``strong``, ``smooth`` and ``lipschitz`` are of one row's loss with its penalty.
"""

from __future__ import annotations

import math
from typing import Literal

from expunge.accounting.given import count, positive
from expunge.accounting.renyi import renyi_epsilon
from expunge.accounting.shifted import MOST_STEPS, ORDERS, rho_epsilon, shifted_rho
from expunge.core.errors import ConfigError
from expunge.core.record import record

Bound = Literal["paper", "derived"]
ROUNDING = 1e-12
"""Share of a step that float64 may lose beside the sum over rows: that of several thousand columns."""
REQUEST_STEPS = 100_000
"""Most steps of a request; who needs more trains again."""


def rounding(rows: int) -> float:
    """Share of a step that float64 may lose, with twice the worst case of a sum over rows, in whatever order.

    >>> rounding(2**12) == 1e-12 + 2**-40
    True
    """
    return ROUNDING + rows * 2.0**-52


def request_steps(name: str, value: int) -> int:
    """The number of steps, if it is whole, above 0 and not beyond ``REQUEST_STEPS``.

    Raises:
        ConfigError: it is not.
    """
    if count(name, value, least=1) > REQUEST_STEPS:
        raise ConfigError(f"{name} is {value}", why=f"{REQUEST_STEPS} are the most", next=f"Give fewer {name}")
    return value


@record
class Descent:
    """Requests that each take so many projected gradient steps of 2 / (strong + smooth).

    Args:
        strong: strong convexity.
        smooth: smoothness.
        lipschitz: bound of a row's gradient.
        radius: of the ball that holds the weights.
        rows: half of which may go.
        steps: I, of a request.
        per_request: the most rows that a request takes.
        bound: of how far a request moves the optimum.

    >>> one = Descent(strong=0.5, smooth=1.5, lipschitz=3.0, radius=4.0, rows=100, steps=2, per_request=1)
    >>> one.drift, round(one.shift, 6)  # 4 * 3 / (0.5 * 100); 2 * 0.25 * 0.24 / 0.75
    (0.24, 0.16)
    """

    strong: float
    smooth: float
    lipschitz: float
    radius: float
    rows: int
    steps: int
    per_request: int
    bound: Bound = "paper"

    def __post_init__(self) -> None:
        if not 0 < self.strong <= self.smooth < math.inf:
            raise ConfigError(
                f"convexity {self.strong}, smoothness {self.smooth}", why="0 < strong <= smooth must hold"
            )
        positive("the bound of a row's gradient", self.lipschitz)
        positive("the radius", self.radius)
        count("rows", self.rows, least=2)
        request_steps("steps", self.steps)
        count("per_request", self.per_request, least=1)
        if not self.contraction < 1:
            raise ConfigError("steps bring nothing together", why="the convexity is lost beside the smoothness")

    @property
    def fewest(self) -> int:
        """Rows that have to be left."""
        return self.rows - self.rows // 2

    @property
    def contraction(self) -> float:
        """By which a step brings two points together."""
        return (self.smooth - self.strong) / (self.smooth + self.strong)

    @property
    def drift(self) -> float:
        """d, by which a request moves the optimum at most."""
        k = self.per_request
        if self.bound == "paper":
            return 4 * k * self.lipschitz / (self.strong * self.rows)
        return 2 * k * self.lipschitz / (self.strong * (2 * self.fewest + k))

    @property
    def steady(self) -> float:
        """e, the distance to the optimum that every request comes back to; never less than what rounding moves."""
        shrunk = self.contraction**self.steps
        return max(shrunk * self.drift / (1 - shrunk), self.lost)

    @property
    def lost(self) -> float:
        """How far rounding moves an iterate at most: a share of every step, contracted ever after."""
        each = rounding(self.rows) * (self.radius + 2 * self.lipschitz / (self.strong + self.smooth))
        return each / (1 - self.contraction)

    @property
    def shift(self) -> float:
        """The largest distance between unlearned and retrained before the noise; rounding included."""
        return 2 * (self.steady + self.lost)


@record
class Removal:
    """Requests answered by one Newton step from the end of the first training.

    Args:
        strong: strong convexity.
        lipschitz: bound of a row's gradient.
        hessian_lipschitz: Lipschitz constant of a row's Hessian.
        rows: half of which may go.
        tolerance: norm of the mean gradient at which a training ends.
        bound: of the distance between removal and retraining.

    >>> one = Removal(strong=0.5, lipschitz=2.0, hessian_lipschitz=0.1, rows=100, tolerance=1e-12)
    >>> round(one.shift(5), 6), one.shift(0)  # 2 * 0.1 * 25 * 4 / (0.125 * 10,000)
    (0.016, 0.0)
    """

    strong: float
    lipschitz: float
    hessian_lipschitz: float
    rows: int
    tolerance: float
    bound: Bound = "paper"

    def __post_init__(self) -> None:
        positive("the convexity", self.strong)
        positive("the bound of a row's gradient", self.lipschitz)
        count("rows", self.rows, least=2)
        positive("the tolerance", self.tolerance)
        if not 0 <= self.hessian_lipschitz < math.inf:
            raise ConfigError("nothing is known of how fast the Hessian changes", next="State its Lipschitz constant")

    def shift(self, removed: int) -> float:
        """The largest distance between removal of so many rows and retraining without them; 0 for none.

        Raises:
            ConfigError: more than half of the rows.
        """
        m, n, t = count("removed", removed), self.rows, self.tolerance
        if 2 * m > n:
            raise ConfigError(f"{m} of {n} rows", why="the bound holds for half of them at most")
        if m == 0:
            return 0.0
        pulled = self.hessian_lipschitz * (m * self.lipschitz + n * t) ** 2 / self.strong**3
        taylor = 2 * pulled / n**2 if self.bound == "paper" else pulled / (2 * (n - m) ** 2)
        return taylor + n * t / (self.strong * (n - m)) + t / self.strong


@record
class Walk:
    """Noisy projected gradient steps, whose gradients are divided by the rows of the first training.

    Args:
        penalty: factor of |w|^2 / 2, all that counts as convexity.
        smooth: smoothness.
        row_bound: bound of a row's gradient without the penalty.
        radius: of the ball that holds the weights.
        rows: of the first training.
        lr: eta.
        temperature: tau; a step's noise has the standard deviation sqrt(2 eta) tau.
        steps: of the training, and after each request.
        removed: rows that each request deletes; one fewer than ``steps``.
        bound: which Renyi divergence is stated.

    >>> known = {"penalty": 0.5, "smooth": 0.75, "row_bound": 2.0, "radius": 4.0, "rows": 20}
    >>> known |= {"lr": 0.5, "temperature": 0.2}
    >>> round(Walk(**known, steps=(1, 0), removed=(3,)).rho, 9)  # (0.5 * 3 * 2 / 20)^2 / (2 * 2 * 0.5 * 0.04)
    0.28125
    """

    penalty: float
    smooth: float
    row_bound: float
    radius: float
    rows: int
    lr: float
    temperature: float
    steps: tuple[int, ...]
    removed: tuple[int, ...]
    bound: Bound = "paper"

    def __post_init__(self) -> None:
        count("rows", self.rows, least=2)
        positive("the bound of a row's gradient", self.row_bound)
        positive("the radius", self.radius)
        positive("the learning rate", self.lr)
        positive("the temperature", self.temperature)
        for name, values in (("steps", self.steps), ("removed", self.removed)):
            for value in values:
                count(name, value)
        if len(self.steps) != len(self.removed) + 1:
            raise ConfigError("steps are those of the training and those after each request")
        if sum(self.steps) > MOST_STEPS:
            raise ConfigError(f"{sum(self.steps)} steps are more than are counted", next=f"Take {MOST_STEPS} at most")
        if sum(self.removed) >= self.rows:
            raise ConfigError("no row would be left")
        if not self.penalty > 0:
            raise ConfigError("the loss has no L2 penalty", why="steps then need not bring two models together")
        if not self.smooth >= self.penalty or self.lr > 2 / (self.penalty + self.smooth):
            raise ConfigError(
                f"a learning rate of {self.lr} is too large",
                why="steps then contract less than the certificate counts on",
                next=f"Give at most {2 / (self.penalty + self.smooth):.6g}",
            )

    @property
    def sigma(self) -> float:
        """Standard deviation of each step's noise."""
        return math.sqrt(2 * self.lr) * self.temperature

    @property
    def rho(self) -> float:
        """D_alpha <= alpha rho, as derived; rounding included."""
        if not sum(self.removed):
            return 0.0
        gaps: list[float] = []
        ahead = sum(self.removed)
        lost = 2 * rounding(self.rows) * (self.radius + self.lr * (self.row_bound + self.penalty * self.radius))
        for steps, removed in zip(self.steps, (*self.removed, 0), strict=True):
            gaps += [self.lr * ahead * self.row_bound / self.rows + lost] * steps
            ahead -= removed
        return shifted_rho(0.0, gaps, [1 - self.lr * self.penalty] * len(gaps), self.sigma)

    def renyi(self, order: float) -> float:
        """Renyi divergence of an order alpha > 1 between unlearned and retrained, either way, in nats."""
        return self._renyi(order, self.rho)

    def _renyi(self, order: float, rho: float) -> float:
        if self.bound == "derived":
            return order * rho
        pulled = (sum(self.removed) * self.row_bound / self.rows) ** 2
        apart = 4 * order * pulled / (self.penalty * self.temperature**2)
        # After very many steps rounding is what is left, which the published form does not know of.
        return max(apart * math.exp(-self.penalty * self.lr * self.steps[-1] / order), order * rho)

    def epsilon(self, delta: float, *, heads: int = 1) -> float:
        """The epsilon at a delta of so many models, each with noise of its own; nothing deleted costs nothing."""
        count("heads", heads, least=1)
        rho = self.rho
        if self.bound == "derived" or not sum(self.removed):
            return rho_epsilon(heads * rho, delta)
        return renyi_epsilon({order: heads * self._renyi(order, rho) for order in ORDERS}, delta=delta)
