r"""A distinguishing game: does what was unlearned betray itself beyond its (epsilon, delta)?

Both worlds are played; a test is chosen on plays of its own, and judged once on held-out ones. It *beats* (epsilon,
delta) where P[A] > e^epsilon Q[A] + delta is shown: by the Clopper-Pearson bounds of both, each at half of the
error rate. A game that is not beaten proves nothing; a mechanism whose certificate holds is beaten with at most the
error rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError, MissingExtra
from expunge.core.record import record

F = NDArray[np.float64]
Sampler = Callable[[int, np.random.Generator], F]
LEAST = 20_000


@record
class Game:
    """What one game came to.

    Args:
        epsilon: that was stated.
        delta: that was stated.
        plays: held-out ones of each world.
        hits: of the chosen test in the world that it was to find.
        alarms: of it in the other world.
        lower: bound of P[A].
        upper: bound of Q[A].
        finds: the world that was to be found, ``unlearned`` or ``retrained``.
    """

    epsilon: float
    delta: float
    plays: int
    hits: int
    alarms: int
    lower: float
    upper: float
    finds: str

    @property
    def margin(self) -> float:
        """By how much P[A] is shown to exceed e^epsilon Q[A] + delta; negative where it is not."""
        return self.lower - math.exp(self.epsilon) * self.upper - self.delta

    @property
    def beaten(self) -> bool:
        """Whether the stated (epsilon, delta) is shown to be false."""
        return self.margin > 0


def play(
    unlearned: Sampler,
    retrained: Sampler,
    *,
    epsilon: float,
    delta: float,
    seed: int,
    plays: int = LEAST,
    error: float = 1e-4,
    log_ratio: Callable[[F], F] | None = None,
) -> Game:
    """Play a game of at least 20,000 held-out plays of each world, and as many to choose the test.

    Args:
        unlearned: gives so many outputs (plays, d).
        retrained: likewise.
        epsilon: that is stated.
        delta: that is stated.
        seed: of all plays.
        plays: held-out ones of each world.
        error: rate at which a true (epsilon, delta) is called beaten, at most.
        log_ratio: ln of the density of unlearned over retrained outputs (plays, d) -> (plays,), where it is known; else
            the difference of the means is what outputs are projected on.

    Raises:
        ConfigError: too few plays, an error rate that is none, or outputs of another shape.
    """
    if plays < LEAST or not 0 < error < 1:
        raise ConfigError(
            f"{plays} plays at an error rate of {error}", next=f"Give at least {LEAST}, and a rate in (0, 1)"
        )
    pair = _outputs(unlearned, retrained, 2 * plays, seed)
    if log_ratio is None:
        direction = pair[0][:plays].mean(0) - pair[1][:plays].mean(0)
        scores = [out @ direction for out in pair]
    else:
        scores = [log_ratio(out) for out in pair]
    choices = [
        (*_best(sign * scores[found][:plays], sign * scores[1 - found][:plays], epsilon, delta), sign, found)
        for sign in (1, -1)
        for found in (0, 1)
    ]
    _, threshold, sign, found = max(choices)
    hits, alarms = (int((sign * scores[world][plays:] > threshold).sum()) for world in (found, 1 - found))
    return Game(
        epsilon=epsilon,
        delta=delta,
        plays=plays,
        hits=hits,
        alarms=alarms,
        lower=least_share(hits, plays, error / 2),
        upper=1 - least_share(plays - alarms, plays, error / 2),
        finds=("unlearned", "retrained")[found],
    )


def _outputs(unlearned: Sampler, retrained: Sampler, plays: int, seed: int) -> list[F]:
    """Outputs (plays, d) of both worlds, each from a seed of its own."""
    worlds = zip((unlearned, retrained), np.random.SeedSequence(seed).spawn(2), strict=True)
    pair = [sampler(plays, np.random.default_rng(own)) for sampler, own in worlds]
    if any(out.ndim != 2 or out.shape != (plays, pair[0].shape[-1]) for out in pair):
        raise ConfigError(
            f"outputs of shape {pair[0].shape} and {pair[1].shape}", next="Give (plays, d) for both worlds"
        )
    return pair


def _best(here: F, there: F, epsilon: float, delta: float) -> tuple[float, float]:
    """The excess of P over e^epsilon Q + delta in standard errors, and the threshold with the largest."""
    n = len(here)
    here, there = np.sort(here), np.sort(there)
    thresholds = np.concatenate((here, there))
    p = 1 - np.searchsorted(here, thresholds, side="right") / n
    q = 1 - np.searchsorted(there, thresholds, side="right") / n
    grown = math.exp(epsilon)
    # One more alarm than there was, so that a test is not chosen because it never rang.
    variance = (p * (1 - p) + grown**2 * (q + 1 / n) * (1 - q) + 1 / n) / n
    excess = (p - grown * q - delta) / np.sqrt(variance)
    best = int(excess.argmax())
    return float(excess[best]), float(thresholds[best])


def least_share(hits: int, plays: int, error: float) -> float:
    """The lower Clopper-Pearson bound of a share.

    >>> round(least_share(2, 2, 0.04), 9)  # the share whose square is 0.04
    0.2
    """
    try:
        from scipy.stats import beta
    except ModuleNotFoundError as missing:
        raise MissingExtra("a distinguishing game", "hf", "scipy") from missing
    return float(beta.ppf(error, hits, plays - hits + 1)) if hits else 0.0
