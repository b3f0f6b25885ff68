"""What a residual may come to, and what it came to. Source: Guo et al. 2020 (ICML), theorems 1, 3 and 4.

A Gaussian noise of standard deviation sigma hides residuals up to e' = sigma ε / c, c = sqrt(2 ln(1.5 / δ)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from expunge.accounting.objective import multiple
from expunge.core.errors import ConfigError

CertifyOn = Literal["worst", "bound", "residual"]
TOLERANCE = 1e-4
"""Share of the budget that a training may leave as its own residual."""


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

    def worst_step(
        self, gamma: float, C: float, lam: float, n: int, m: int, noise_at_most: float
    ) -> tuple[float, float]:
        """What a step for m rows may leave, and how long it may be, whatever rows and noise are; n rows stay.

        It takes |lam W| <= C + (|b| + residual) / (n + m), which holds of any W that the ledger lets pass.

        >>> Ledger(2.0, path=0.5).worst_step(0.25, 1.0, 0.5, 8, 2, 3.0)  # 2 (2 + 5 / 10) / 4 and 0.25 * 8 * 1.75 * 1.25
        (4.375, 1.25)
        """
        if gamma == 0:
            return 0.0, 0.0
        longest = m * (2 * C + (noise_at_most + self.budget) / (n + m)) / (lam * n)
        return gamma * n * (self.path + longest) * longest, longest

    def lasts(self, gamma: float, C: float, lam: float, n: int, noise_at_most: float) -> int:
        """How many of n rows may leave in one request before the budget is spent, whatever rows and noise are.

        >>> Ledger(2.0).lasts(0.25, 1.0, 0.5, 100, 3.0)  # m = 8: 0.25 * 92 * (8 * 2.05 / 46)^2 = 2.92; m = 6: 1.61
        6
        """
        fits, beyond = 0, n
        while beyond - fits > 1:
            m = (fits + beyond) // 2
            worst = self.worst_step(gamma, C, lam, n - m, m, noise_at_most)[0]
            within = self.worst + worst + 2 * self.tolerance <= self.budget
            fits, beyond = (m, beyond) if within else (fits, m)
        return fits

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
