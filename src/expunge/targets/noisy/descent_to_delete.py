r"""Deletion by a few steps of projected gradient descent. Source: Neel, Roth, Sharifi-Malvajerdi, arXiv 2007.02923.

For rows whose loss is m-strongly convex, M-smooth and L-Lipschitz on the ball, a step of 2 / (m + M) brings any two
points together by g = (M - m) / (M + m). A request that takes k of n' + k rows moves the optimum from w1 to w2 by
at most d = 2 k L / (m (2 n' + k)): with n = n' + k, n F = n' F' + sum over the k, so that

    (m/2) |w1 - w2|^2 <= F(w2) - F(w1) <= -(n'/n) (m/2) |w1 - w2|^2 + (k/n) L |w1 - w2|.

Let e = g^I d / (1 - g^I). Whoever stands within e of the old optimum stands, after I steps on the rows left, within
g^I (e + d) = e of the new one; and first training runs until it is within e. Unlearned and retrained then are at most
Delta = 2 e = 2 g^I d / (1 - g^I) apart, and N(0, s^2) on what is published hides that, by the exact Gaussian.

``bound="derived"`` takes this d at the fewest rows that may be left, half of the first n. ``"paper"``, the default,
takes d = 4 k L / (m n), which the published 4 sqrt(2) comes to; it is never smaller.

Secret: the iterate without noise is kept, and a publication is (epsilon, delta)-close to that of a retrained model,
given the requests so far; nothing is claimed of the kept iterate. Not secret: the next request starts from the
published weights, so that the whole state is covered. The noise Z of publication i - 1
then has to be contracted too. |Z| <= s q_i, q_i = sqrt(dim) + sqrt(2 ln(1 / delta_i)), but for probability delta_i
= delta / (2 i (i + 1)), delta / 2 over all requests; so request i takes ln((e + d + s q_i) / e) / ln(1/g) steps,
and no more than the ball's diameter asks for; of several heads, each has its share of delta_i. The other half of
delta is the Gaussian's. That this grows as the logarithm of a root of ln i is derived here.

The r models published after r requests, beside r retrained ones, are sqrt(r) Delta apart: the noise of each is fresh,
and given those before, its mean is within Delta. That is for one line: two results made from one state are two more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from expunge.accounting.gaussian import gaussian_epsilon, gaussian_sigma
from expunge.accounting.given import count, positive, probability
from expunge.accounting.strongly_convex import Bound, Descent
from expunge.core.errors import ConfigError, RequestError
from expunge.core.record import record
from expunge.targets.noisy.descending import descend
from expunge.targets.noisy.losses import Constants, Loss
from expunge.targets.noisy.noise import F, Normal, noised


@record
class DescentToDelete:
    """A plan that first training and all requests follow.

    Args:
        constants: of the loss.
        rows: of the first training; half of them may go.
        steps: I, of a request where the state is secret.
        sigma: of the noise on what is published.
        delta: of the guarantee.
        per_request: the most rows that one request takes.
        secret: whether the iterate without noise is kept, out of sight.
        bound: of how far a request moves the optimum.
        heads: models under one plan, each trained on every row with noise of its own.
        requests: after each of which a model is published; the guarantee is of all of them together.

    >>> c = Constants(strong=0.5, smooth=1.5, row_bound=1.0, penalty=0.5, radius=4.0)
    >>> plan = DescentToDelete(constants=c, rows=100, steps=2, sigma=0.1, delta=0.01)
    >>> round(plan.drift, 6), round(plan.sensitivity, 6)  # 4 * 3 / (0.5 * 100); 2 * 0.25 * 0.24 / 0.75
    (0.24, 0.16)
    """

    constants: Constants
    rows: int
    steps: int
    sigma: float
    delta: float
    per_request: int = 1
    secret: bool = True
    bound: Bound = "paper"
    heads: int = 1
    requests: int = 1

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        probability("delta", self.delta)
        count("heads", self.heads, least=1)
        self.known  # noqa: B018
        count("requests", self.requests, least=1)

    @property
    def known(self) -> Descent:
        """The numbers that its certificate rests on."""
        c, k = self.constants, self.per_request
        return Descent(c.strong, c.smooth, c.lipschitz, c.radius, self.rows, self.steps, k, self.bound)

    @property
    def fewest(self) -> int:
        """Rows that have to be left."""
        return self.known.fewest

    @property
    def drift(self) -> float:
        """d, by which a request moves the optimum at most."""
        return self.known.drift

    @property
    def steady(self) -> float:
        """e, the distance to the optimum that every request comes back to."""
        return self.known.steady

    @property
    def sensitivity(self) -> float:
        """Delta, the largest distance between unlearned and retrained before the noise, of all heads together."""
        return self.known.shift * math.sqrt(self.heads)

    @property
    def epsilon(self) -> float:
        """Of the publications after all ``requests`` together, at ``delta``."""
        return gaussian_epsilon(self._share(self.delta, self.secret), sigma=self.sigma, sensitivity=self._together)

    @property
    def _together(self) -> float:
        return self.sensitivity * math.sqrt(self.requests)

    @staticmethod
    def _share(delta: float, secret: bool) -> float:
        return delta if secret else delta / 2

    def calibrated(self, epsilon: float) -> DescentToDelete:
        """The same plan with the least noise that is (epsilon, delta)."""
        share = self._share(self.delta, self.secret)
        sigma = gaussian_sigma(positive("epsilon", epsilon), share, sensitivity=self._together)
        return replace(self, sigma=sigma)

    def first_steps(self, start: F) -> int:
        """T, the steps of a first training that end within e of the optimum, wherever in the ball that is."""
        distance = min(self.constants.radius, float(np.linalg.norm(start, axis=-1).max())) + self.constants.radius
        return self._until(distance)

    def request_steps(self, index: int, dim: int) -> int:
        """Steps of request ``index`` = 1, 2, ...; they grow with it where the state is not secret."""
        if self.secret:
            return self.steps
        bad = self.delta / (2 * index * (index + 1) * self.heads)
        far = self.sigma * (math.sqrt(dim) + math.sqrt(2 * math.log(1 / bad)))
        return self._until(min(self.steady + self.drift + far, 2 * self.constants.radius))

    def _until(self, distance: float) -> int:
        if self.constants.contraction == 0:
            return 1
        return max(0, math.ceil(math.log(distance / self.steady) / -math.log(self.constants.contraction)))


@dataclass(frozen=True)
class Iterate:
    """Where a model stands between requests.

    Attributes:
        weights: (..., d). Without noise where the state is secret, else what was published.
        rows: that it was last trained on.
        index: requests so far.
    """

    weights: F
    rows: int
    index: int = 0


def train(plan: DescentToDelete, loss: Loss, X: F, y: F, rng: Normal, *, start: F) -> Iterate:
    """First training, or training again.

    Args:
        plan: with the constants of the loss.
        loss: of the rows.
        X: (n, d) rows.
        y: (n,) labels.
        rng: of the noise.
        start: (..., d) first weights, in the ball or brought there; must not depend on the rows.

    Raises:
        ConfigError: the plan is for another loss or number of rows, or the loss breaks its constants.
    """
    if loss.constants != plan.constants:
        raise ConfigError("the plan was made for another loss", next="Make it from the constants of this loss")
    if not plan.fewest <= len(X) <= plan.rows:
        raise ConfigError(f"the plan holds for {plan.fewest} to {plan.rows} rows, not {len(X)}", next="Make a new plan")
    weights = descend(loss, start, *loss.rows(X, y), plan.first_steps(start))
    return Iterate(weights if plan.secret else noised(weights, plan.sigma, rng), len(X))


def require_budget(plan: DescentToDelete, rows: int, taken: int) -> None:
    """Raise unless the plan covers a request.

    Args:
        plan: that the training followed.
        rows: before the request.
        taken: by it.

    Raises:
        RequestError: the request takes more rows than the plan allows, or leaves fewer than half.
    """
    if not 0 <= taken <= plan.per_request:
        raise RequestError(
            f"{taken} rows in one request", why=f"the plan covers {plan.per_request}", next="Split it, or retrain"
        )
    if taken and rows - taken < plan.fewest:
        raise RequestError("the budget is spent", why="fewer than half of the first rows would be left", next="Retrain")


def forget(plan: DescentToDelete, loss: Loss, state: Iterate, X: F, y: F, rng: Normal) -> Iterate:
    """The state after a request.

    Args:
        plan: that trained it.
        loss: of the rows.
        state: before.
        X: (n', d) rows that are left. As many as before: nothing was asked, and the state is given back.
        y: (n',) labels.
        rng: of the noise.

    Raises:
        RequestError: the request takes more rows than the plan allows, or leaves fewer than half.
        ConfigError: the loss breaks its constants.
    """
    taken = state.rows - len(X)
    require_budget(plan, state.rows, taken)
    if taken == 0:
        return state
    index = state.index + 1
    weights = descend(loss, state.weights, *loss.rows(X, y), plan.request_steps(index, state.weights.shape[-1]))
    return Iterate(weights if plan.secret else noised(weights, plan.sigma, rng), len(X), index)


def publish(plan: DescentToDelete, state: Iterate, rng: Normal) -> F:
    """The weights (..., d) to give out: fresh noise on a secret iterate; the state itself where it is not secret."""
    return noised(state.weights, plan.sigma, rng) if plan.secret else state.weights
