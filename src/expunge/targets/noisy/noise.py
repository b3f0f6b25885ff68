"""Gaussian noise in double precision, keyed so that runs repeat, or seeded by the operating system.

The certificates take the noise as ideal. Philox is fast and counter-based but was not made to resist an adversary,
and doubles lie on a grid whose lowest bits an adversary may read; neither is accounted for.
"""

from __future__ import annotations

import math
import os
import secrets
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError
from expunge.core.seeds import derive

F = NDArray[np.float64]
Randomness = Literal["secret", "seed", "secure"]
"""From a key of the operating system that is thrown away; from the seed of a run; from a cryptographic generator."""


DRAWN: dict[Randomness, str] = {
    "secret": "What is random came from Philox, fast and not cryptographic, under a key that nobody kept.",
    "secure": "What is random came from the operating system's cryptographic generator; the noise's tails end at 8.6 "
    "standard deviations, which adds about 1e-16 to delta for each number.",
    "seed": "What is random follows from the seed, and whoever knows or guesses it has it all.",
}
"""What is to be said of each."""


class Normal(Protocol):
    """What draws noise: a generator of numpy, or ``System``."""

    def random(self, size: int, /) -> F:
        """Independent numbers, uniform from 0 to below 1."""
        ...

    def standard_normal(self, size: tuple[int, ...], /) -> F:
        """Independent standard normal numbers."""
        ...


class System:
    """Noise from the operating system's cryptographic generator, by Box and Muller.

    53 bits make the radius, so that no number is beyond 8.6 in size: a normal one is with probability 1e-17.

    >>> drawn = System().standard_normal((3, 2))
    >>> drawn.shape, bool((abs(drawn) < 8.6).all())
    ((3, 2), True)
    """

    def random(self, size: int, /) -> F:
        """Independent numbers, uniform from 0 to below 1, in steps of 2^-53."""
        whole = np.frombuffer(os.urandom(8 * size), dtype=np.uint64) >> np.uint64(11)
        return whole.astype(np.float64) * 2.0**-53

    def standard_normal(self, size: tuple[int, ...], /) -> F:
        """Independent standard normal numbers."""
        n = math.prod(size)
        share, turn = self.random(n) + 2.0**-53, self.random(n)
        return (np.sqrt(-2 * np.log(share)) * np.cos(2 * np.pi * turn)).reshape(size)


def drawn_from(randomness: Randomness, seed: int, *names: str | int) -> Normal:
    """Where the noise of a training comes from.

    Args:
        randomness: which.
        seed: of the run; read for ``seed`` only.
        names: what the noise is for.
    """
    return System() if randomness == "secure" else source(seed if randomness == "seed" else None, *names)


def source(seed: int | None, *names: str | int, secure: bool = False) -> np.random.Generator:
    """Where noise comes from.

    Args:
        seed: of the run; None for one from the operating system.
        names: what the noise is for; they key it together with the seed.
        secure: whether nobody may be able to draw the noise again.

    Raises:
        ConfigError: where secure noise is asked of a keyed source.

    >>> float(source(3, "a").normal()) == float(source(3, "a").normal()) != float(source(3, "b").normal())
    True
    """
    if secure and seed is not None:
        raise ConfigError(
            "noise that is keyed by a seed is not secure",
            why="whoever knows the seed draws it again and subtracts it",
            next="Leave out the seed, or do not ask for secure noise",
        )
    key = secrets.randbits(128) if seed is None else derive(seed, *names)
    return np.random.Generator(np.random.Philox(key=key))


def double(values: object, what: str) -> F:
    """The array itself, where it is finite and of double precision; whole numbers become it.

    Raises:
        ConfigError: if it is not.

    >>> double(np.array([0.5, 2.0]), "the weights").tolist()
    [0.5, 2.0]
    """
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype != np.float64:
        raise ConfigError(
            f"{what} are of {array.dtype}",
            why="the certificates hold for noise added in double precision; a coarser grid lets through what it hides",
            next="Convert to float64",
        )
    if not np.isfinite(array).all():
        raise ConfigError(f"{what} are not finite", next="Look for NaN and infinity in them")
    return array


def noised(values: F, sigma: float, rng: Normal) -> F:
    """Values (...,) plus independent N(0, sigma^2) on each.

    Raises:
        ConfigError: for values that are not double precision, or a sigma that is negative or not finite.

    >>> bool((noised(np.zeros(2), 0.5, source(3)) == 0.5 * source(3).standard_normal(2)).all())
    True
    """
    values = double(values, "the values under noise")
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ConfigError(f"sigma cannot be {sigma!r}", next="Give a finite number, 0 or more")
    return values + sigma * rng.standard_normal(values.shape)
