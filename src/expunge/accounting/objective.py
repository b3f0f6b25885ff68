"""What noise on an objective hides of a residual gradient. Source: Guo et al. 2020 (ICML), theorem 3."""

from __future__ import annotations

import math

from expunge.accounting.gaussian import gaussian_delta
from expunge.core.errors import ConfigError


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


def hidden(residual: float, sigma: float, delta: float) -> float:
    """ε = c |u| / sigma, at which Gaussian noise hides a residual of that norm.

    Args:
        residual: |u|, units of the gradient.
        sigma: standard deviation of the noise, same units.
        delta: δ.

    Raises:
        ConfigError: a number out of range, or so large an ε that the formula does not reach δ.

    >>> round(hidden(1.1402, 10.0, 1e-4), 4)  # 4.3853 * 0.11402
    0.5
    """
    if not (0 <= residual < math.inf and 0 < sigma < math.inf and 0 < delta < 1):
        why = f"they are {residual!r}, {sigma!r} and {delta!r}"
        raise ConfigError("a residual from 0, a noise above 0 and a δ between 0 and 1 are taken", why=why)
    epsilon = math.sqrt(2 * math.log(1.5 / delta)) * residual / sigma
    if epsilon:
        multiple(epsilon, delta)
    return epsilon
