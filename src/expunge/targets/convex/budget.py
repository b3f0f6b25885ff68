"""What a residual may come to, and what it came to. Source: Guo et al. 2020 (ICML), theorems 1, 3 and 4.

A Gaussian noise of standard deviation sigma hides residuals up to e' = sigma ε / c, c = sqrt(2 ln(1.5 / δ)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from expunge.accounting.gaussian import gaussian_delta
from expunge.core.errors import ConfigError

CertifyOn = Literal["worst", "bound", "residual"]
TOLERANCE = 1e-4
"""Share of the budget that a training may leave as its own residual."""


def multiple(epsilon: float, delta: float) -> float:
    """c = sqrt(2 ln(1.5 / δ)): standard deviations of noise per residual and 1/ε.

    Raises:
        ConfigError: ε or δ out of range, or so large an ε that the formula does not reach δ.

    >>> round(multiple(0.5, 1e-4), 4)
    4.3853
    """
    if not (0 < epsilon < math.inf and 0 < delta < 1):
        raise ConfigError("ε must be above 0 and δ between 0 and 1", why=f"they are {epsilon!r} and {delta!r}")
    c = math.sqrt(2 * math.log(1.5 / delta))
    if gaussian_delta(epsilon, sigma=c / epsilon) > delta:
        why = "the formula is for small ε; the exact δ of this noise is larger than the one stated"
        raise ConfigError(f"ε = {epsilon:g} is too large for δ = {delta:g}", why=why, next="State a smaller ε")
    return c


def budget(sigma: float, epsilon: float, delta: float) -> float:
    """e' = sigma ε / c, the largest residual that the noise hides.

    >>> round(budget(10.0, 0.5, 1e-4), 4)  # 5 / 4.3853
    1.1402
    """
    return sigma * epsilon / multiple(epsilon, delta)


def noise_for(residual: float, epsilon: float, delta: float) -> float:
    """sigma = c e' / ε, the noise that hides a residual.

    >>> round(noise_for(1.1402, 0.5, 1e-4), 2)
    10.0
    """
    return residual * multiple(epsilon, delta) / epsilon


def worst_case(gamma: float, C: float, lam: float, n: int, m: int) -> float:
    """4 gamma C^2 m^2 / (lam^2 (n - m)): residual after m of n rows left by one exact Newton step (theorem 4).

    It takes |lam w| <= C, which holds of the model without noise.

    >>> worst_case(0.25, 2.0, 0.5, 70, 20)  # 4 * 0.25 * 4 * 400 / (0.25 * 50)
    128.0
    """
    return 0.0 if gamma == 0 else 4 * gamma * (C * m) ** 2 / (lam**2 * (n - m))


@dataclass(frozen=True)
class Ledger:
    """What one head has spent since it was last trained.

    Args:
        budget: e'.
        requests: that were answered by Newton steps.
        removed: rows that left in them.
        worst: sum of bounds that know nothing of rows or noise.
        bound: sum of the data-dependent bounds; a chord step cancels what was there, and its bound replaces the sum.
        residual: |grad L_b| as computed; None until it is.
        trained: |grad L_b| that the training left (g0).
        path: sum of the largest lengths that the steps could have had.
    """

    budget: float
    requests: int = 0
    removed: int = 0
    worst: float = 0.0
    bound: float = 0.0
    residual: float | None = None
    trained: float = 0.0
    path: float = 0.0

    @property
    def tolerance(self) -> float:
        """The largest residual of a training."""
        return TOLERANCE * self.budget

    def spent(self, on: CertifyOn) -> float:
        """What is certified on, with what the retrained model's training may leave, and for a bound this one's too.

        >>> ledger = Ledger(2.0, worst=0.9, bound=0.5, residual=0.25)
        >>> [round(ledger.spent(on), 4) for on in ("worst", "bound", "residual")]
        [0.9004, 0.5004, 0.2502]
        """
        if on == "residual":
            if self.residual is None:
                raise ConfigError("the residual was not computed")
            return self.residual + self.tolerance
        return (self.worst if on == "worst" else self.bound) + 2 * self.tolerance

    def plus(self, *, removed: int, worst: float, bound: float, path: float) -> Ledger:
        """After a further request."""
        return replace(
            self,
            requests=self.requests + 1,
            removed=self.removed + removed,
            worst=self.worst + worst,
            bound=self.bound + bound,
            residual=None,
            path=self.path + path,
        )
