"""One certified model: training to rounding, batched Newton removal, chord steps. Source: Guo et al. 2020, section 3.

The Hessian H of the rows that are held, at the point W0 of the last training, is kept. Rows S leave by one step
W - H^-1 ( - sum_S [grad l_i(W) + lam W] ) after their curvature at W0 was taken out of H. As H belongs to W0, not to W,
the bound of one request reads

    |grad L_b(W + D; D')| - |grad L_b(W; D)| <= gamma |X'|_2 (|W - W0| + |D|) |X' D|,

which is the published one where W = W0. |X' D|^2 = <D, X'X D> and |X'|_2 come from the (d, d) matrix X'X, which is kept
too: neither needs a pass over the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from expunge.core.errors import TargetError
from expunge.targets.convex.budget import Ledger
from expunge.targets.convex.objective import F, Objective, curved

NEWTON_STEPS = 100
POLISHES = 20


@dataclass(frozen=True, eq=False)
class Head:
    """A trained head. Nothing in it is changed in place.

    Args:
        objective: of the rows that are held, with the noise.
        W: (d, k) parameters, all that is published.
        at: (d, k) W0, where the Hessian was taken.
        hessian: (dk, dk) on the rows that are held, at W0.
        gram: (d, d) X'X of the rows that are held.
        ledger: what was spent.
    """

    objective: Objective
    W: F
    at: F
    hessian: F
    gram: F
    ledger: Ledger

    def solved(self, G: F) -> F:
        """(d, k) H^-1 G."""
        factor = cho_factor(self.hessian, lower=True, check_finite=False)
        return cho_solve(factor, G.ravel(), check_finite=False).reshape(G.shape)

    def bound(self, D: F) -> float:
        """gamma |X'|_2 (|W - W0| + |D|) |X' D| of a step D (d, k) from W."""
        if self.objective.loss.gamma == 0:
            return 0.0
        d = len(self.gram)
        top = eigh(self.gram, eigvals_only=True, subset_by_index=(d - 1, d - 1), check_finite=False)[0]
        far = float(np.linalg.norm(self.W - self.at) + np.linalg.norm(D))
        moved = math.sqrt(max(0.0, float((D * (self.gram @ D)).sum())))
        return self.objective.loss.gamma * math.sqrt(top) * far * moved

    def removed(self, objective: Objective, X: F, y: F, noise_at_most: float) -> Head:
        """After rows left: H and X'X without them, one solve for all.

        Args:
            objective: without the rows.
            X: (m, d) rows that leave.
            y: (m,) their targets, as the loss reads them.
            noise_at_most: that |b| does not exceed, for the bound that knows nothing of b.
        """
        loss, lam, n, m = objective.loss, objective.lam, len(objective.rows), len(X)
        left = lam * m * self.W + X.T @ loss.gradient(X @ self.W, y)
        hessian = self.hessian - curved(X, loss.curvature(X @ self.at, y))
        hessian.flat[:: len(hessian) + 1] -= lam * m
        after = replace(self, objective=objective, hessian=hessian, gram=self.gram - X.T @ X)
        step = after.solved(left)
        worst, longest = self.ledger.worst_step(loss.gamma, loss.C, lam, n, m, noise_at_most)
        ledger = self.ledger.plus(removed=m, worst=worst, bound=after.bound(step), path=longest)
        return replace(after, W=self.W + step, ledger=ledger)

    def residual(self) -> F:
        """(d, k) grad L_b at W, computed from the rows."""
        return self.objective.gradient(self.W)

    def weighed(self) -> Head:
        """With its residual computed."""
        residual = float(np.linalg.norm(self.residual()))
        return replace(self, ledger=replace(self.ledger, residual=residual))

    def polished(self, steps: int, *, weigh: bool = True) -> Head:
        """After chord steps W - H^-1 grad L_b(W), each one pass over the rows.

        The last step's bound is one of the whole residual, since the gradient before it is cancelled.

        Args:
            steps: one or more.
            weigh: whether the residual that is left is computed as well, in one more pass.
        """
        head = self
        for _ in range(steps):
            step = head.solved(-head.residual())
            ledger = replace(head.ledger, bound=head.bound(step), residual=None)
            head = replace(head, W=head.W + step, ledger=ledger)
        return head.weighed() if weigh else head

    def centred(self) -> Head:
        """With the Hessian taken anew at W, in a pass of n d^2, as the published algorithm does for each request."""
        return replace(self, at=self.W, hessian=self.objective.hessian(self.W))

    def retrained(self) -> Head:
        """The minimiser on the rows that are held with the noise it has, and a new ledger."""
        return trained(self.objective, self.ledger.budget, start=self.W)


def trained(objective: Objective, budget: float, *, start: F | None = None, gram: F | None = None) -> Head:
    """The minimiser of L_b, by Newton's method and then chord steps while they still help.

    Args:
        objective: with its noise.
        budget: e', of which ``TOLERANCE`` may be left.
        start: (d, k) where to begin; 0 if nothing is given.
        gram: (d, d) X'X, if it is known.

    Raises:
        TargetError: float64 does not reach a residual so small.
        ConfigError: a user's loss is not convex on the data.
    """
    W = np.zeros_like(objective.b) if start is None else start
    ledger, value = Ledger(budget), objective.value(W)
    for _ in range(NEWTON_STEPS):
        G = objective.gradient(W)
        if np.linalg.norm(G) <= ledger.tolerance:
            break
        W, value, ahead = _damped(objective, W, value, G, objective.hessian(W))
        if not ahead:
            break
    head = Head(objective, W, W, objective.hessian(W), objective.gram() if gram is None else gram, ledger)
    best, size = head, float(np.linalg.norm(head.residual()))
    for _ in range(POLISHES):
        closer = best.polished(1)
        less = float(closer.ledger.residual or 0.0)
        if not less < size / 2:
            break
        best, size = closer, less
    if not size <= ledger.tolerance:
        why = f"a gradient of norm {size:.3g} is left, {ledger.tolerance:.3g} is allowed"
        raise TargetError("the training does not come close enough", why=why, next="Raise sigma or lam")
    hessian = head.hessian if best is head else objective.hessian(best.W)
    return replace(best, at=best.W, hessian=hessian, ledger=replace(ledger, residual=size, trained=size))


def _damped(objective: Objective, W: F, value: float, G: F, H: F) -> tuple[F, float, bool]:
    """One Newton step, halved until it lowers L_b; whether it did."""
    factor = cho_factor(H, lower=True, check_finite=False)
    step = -cho_solve(factor, G.ravel(), check_finite=False).reshape(G.shape)
    slope, size = float((G * step).sum()), 1.0
    while size > 1e-10:
        tried = W + size * step
        lower = objective.value(tried)
        if lower <= value + 1e-4 * size * slope:
            return tried, lower, True
        size /= 2
    return W, value, False
