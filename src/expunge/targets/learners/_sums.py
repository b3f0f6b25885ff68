"""Sums over rows that a row can be taken out of. Source: Cao & Yang 2015 (IEEE S&P), section 3: summation form.

Two arithmetics with one face. ``GridSums`` (``bitwise``): numbers are put on a grid of fixed step and summed as
integers, so that a sum from which a row was taken is, bit for bit, the sum that never held it. ``FloatSums``
(``1e-12``): float64; scatter is kept about the mean, and merged and taken apart by Chan's formulas.

Products of two grid numbers are summed in three limbs of 16 bits and crosses: q = 2^16 h + l with |h| <= 2^15 and
0 <= l < 2^16, hence qr = 2^32 hh + 2^16 (hl + lh) + ll. Each limb's matrix product over n rows is computed by a float64
GEMM, which is exact while n 2^(2*16) < 2^53, whatever order it adds in, and the limbs are added up in int64.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError, TargetError

F = NDArray[np.float64]
I = NDArray[np.int64]  # noqa: E741
Order = Literal["first", "diagonal", "full"]
EXACTNESS = ("bitwise", "1e-12")
LIMB = 16
ROWS_AT_ONCE = 1 << 13
STEP = 2.0**-16
EPSILON = float(np.finfo(float).eps)
LOST = 1e-13
"""Share of a sum that rounding may take before it is added up anew: some hundred deletions, or one outlier's."""
FLATTENED = 1e-3
"""Share of a feature's range that rounding to the grid may take."""
FINER = "Choose a smaller step, a power of two, or scale the rows"
NOISE = 2.0**-40
"""A feature below this, or whose range is this share of it, is taken for a constant with rounding errors."""
JUDGED = 10
"""Rows from which on a range says something."""


def check_arithmetic(exactness: str, step: float) -> None:
    """Refuse an unknown exactness, or a step that is no power of two: dividing by it would round.

    Raises:
        ConfigError: one of them.
    """
    if exactness not in EXACTNESS:
        raise ConfigError(f"unknown exactness {exactness!r}", next=f"Known: {', '.join(EXACTNESS)}")
    if not (isinstance(step, float) and step > 0 and math.isfinite(step) and math.frexp(step)[0] == 0.5):
        raise ConfigError("the step of the grid must be a power of two, such as 2.0**-16", why=f"it is {step!r}")


def on_grid(X: F, step: float) -> I:
    """The nearest multiples of the step, as integers.

    Args:
        X: (...) any unit.
        step: the unit of X. A power of two.

    Returns:
        (...) multiples of the step; of two nearest ones the even one.

    Raises:
        TargetError: a number is 2^31 steps from 0, or farther.

    >>> on_grid(np.array([0.75, -1.3]), 0.5).tolist()
    [2, -3]
    """
    steps = np.rint(X / step)
    if steps.size and np.abs(steps).max() >= 2.0**31:
        why = f"{np.abs(X).max():.4g} is beyond {step * 2.0**31:g}, 2^31 steps of {step:g}"
        raise TargetError("a number is outside of the grid", why=why, next="Scale the rows, or choose a larger step")
    return steps.astype(np.int64)


def check_grid(X: F, step: float, what: str = "feature") -> None:
    """Refuse rows of which the grid would leave too little; fewer than ten are not judged.

    Args:
        X: (n, d) any unit.
        step: the unit of X. A power of two.
        what: a column is called.

    Raises:
        TargetError: rounding to the step moves a number by more than a thousandth of its feature's range.
    """
    if len(X) < JUDGED:
        return
    top, bottom = X.max(0), X.min(0)
    largest = np.maximum(np.abs(top), np.abs(bottom))
    suspect = np.flatnonzero((top - bottom > NOISE * largest) & (largest > NOISE))
    suspect = suspect[step / 2 > FLATTENED * (top - bottom)[suspect]]
    moved = np.abs(np.rint(X[:, suspect] / step) * step - X[:, suspect]).max(0, initial=0.0)
    bad = suspect[moved > FLATTENED * (top - bottom)[suspect]]
    if len(bad):
        why = f"{what} {bad[0]} ranges over {top[bad[0]] - bottom[bad[0]]:.3g} in all"
        raise TargetError(f"the grid's step of {step:g} would flatten the rows", why=why, next=FINER)


def _limb_products(Q: I, order: Order) -> I:
    """(3, d) or (3, d, d): sums of hh, hl + lh and ll over rows."""
    d = Q.shape[1]
    total = np.zeros((3, d) if order == "diagonal" else (3, d, d), np.int64)
    for start in range(0, len(Q), ROWS_AT_ONCE):
        rows = Q[start : start + ROWS_AT_ONCE]
        high, low = (rows >> LIMB).astype(np.float64), (rows & (2**LIMB - 1)).astype(np.float64)
        if order == "diagonal":
            products = np.stack([(high * high).sum(0), 2 * (high * low).sum(0), (low * low).sum(0)])
        else:
            cross = high.T @ low
            products = np.stack([high.T @ high, cross + cross.T, low.T @ low])
        total += products.astype(np.int64)
    return total


@dataclasses.dataclass(frozen=True, eq=False)
class GridSums:
    """Integer sums of grid numbers and, if asked, of their products.

    Args:
        n: rows.
        first: (d,) sums, in steps.
        second: (3, d) sums of squares or (3, d, d) of products, in limbs.
        step: of the grid.
    """

    n: int
    first: I
    second: I | None
    step: float

    stale = False

    @classmethod
    def of(cls, X: F, order: Order, step: float) -> Self:
        """Sum over rows (n, d)."""
        Q = on_grid(X, step)
        return cls(len(Q), Q.sum(0), None if order == "first" else _limb_products(Q, order), step)

    def _with(self, other: Self, sign: int) -> Self:
        second = None
        if self.second is not None and other.second is not None:
            second = self.second + sign * other.second
        return type(self)(self.n + sign * other.n, self.first + sign * other.first, second, self.step)

    def plus(self, other: Self) -> Self:
        """Sums over both."""
        return self._with(other, 1)

    def minus(self, other: Self) -> Self:
        """Sums without rows that are in these."""
        return self._with(other, -1)

    def total(self) -> F:
        """(d,) sums."""
        return np.asarray(self.first * self.step, np.float64)

    def mean(self) -> F:
        """(d,) means."""
        return self.total() / self.n

    def gram(self) -> F:
        """(d, d) or (d,) sums of products, rounded to float64."""
        high, cross, low = np.asarray(self.second, np.float64)
        return (high * 2.0 ** (2 * LIMB) + cross * 2.0**LIMB + low) * self.step**2

    def scatter(self) -> F:
        """(d, d) or (d,) sums of products of deviations from the mean: (n sum xx' - sum x sum x') / n, rounded once."""
        high, cross, low = np.asarray(self.second).astype(object)
        products = high * (1 << 2 * LIMB) + cross * (1 << LIMB) + low
        first = self.first.astype(object)
        square = np.multiply.outer(first, first) if products.ndim == 2 else first * first
        return np.asarray((self.n * products - square) / self.n, np.float64) * self.step**2

    def arrays(self) -> dict[str, Any]:
        """What it consists of."""
        second = {} if self.second is None else {"second": self.second}
        return {"n": self.n, "first": self.first, **second}


@dataclasses.dataclass(frozen=True, eq=False)
class FloatSums:
    """float64 sums and, if asked, scatter about the mean, with a bound on what rounding has done to them.

    Chan: with a = mean_2 - mean_1, scatter = scatter_1 + scatter_2 + a a' n_1 n_2 / n; solved for scatter_1 to take
    rows out.

    Args:
        n: rows.
        first: (d,) sums.
        second: (d,) or (d, d) scatter.
        size: (d,) sums of absolute values.
        first_lost: (d,) what rounding may have added to or taken from ``first`` since it was added up from rows;
            infinite of sums that came from elsewhere.
        second_lost: (d,) as much of the diagonal of ``second``.
    """

    n: int
    first: F
    second: F | None
    size: F
    first_lost: F
    second_lost: F

    @property
    def stale(self) -> bool:
        """Whether what rounding left could show: the sums are then made anew from rows."""
        if (self.first_lost > LOST * self.size).any():
            return True
        if self.second is None:
            return False
        # A mean that is rounded gives a constant feature this much scatter, in fresh sums as well.
        noise = (4 * EPSILON * self.first) ** 2 / max(self.n, 1)
        return bool((self.second_lost > LOST * self._spread() + noise).any())

    def _spread(self) -> F:
        """(d,) the diagonal of the scatter."""
        second = np.zeros_like(self.first) if self.second is None else self.second
        return np.maximum(np.diagonal(second) if second.ndim == 2 else second, 0.0)

    @classmethod
    def of(cls, X: F, order: Order, step: float) -> Self:
        """Sum over rows (n, d)."""
        first, second, size = X.sum(0), None, np.abs(X).sum(0)
        if order != "first":
            deviations = X - first / max(len(X), 1)
            second = (deviations * deviations).sum(0) if order == "diagonal" else deviations.T @ deviations
        fresh = cls(len(X), first, second, size, EPSILON * size, np.zeros_like(size))
        return dataclasses.replace(fresh, second_lost=EPSILON * fresh._spread())

    def _between(self, other: Self, n_1: int, mean_1: F) -> tuple[Any, F]:
        """What lies between two means, and what rounding may do to its diagonal."""
        a = other.mean() - mean_1
        weight = n_1 * other.n / (n_1 + other.n)
        product = np.multiply.outer(a, a) if np.asarray(self.second).ndim == 2 else a * a
        apart = EPSILON * (np.abs(mean_1) + np.abs(other.mean()))
        lost = self.first_lost / self.n + other.first_lost / other.n
        return product * weight, weight * (2 * np.abs(a) * (apart + lost) + EPSILON * a * a)

    def _lost(self, other: Self, between: F) -> tuple[F, F]:
        first = self.first_lost + other.first_lost + EPSILON * np.maximum(np.abs(self.first), np.abs(other.first))
        rounded = EPSILON * np.maximum(self._spread(), other._spread())
        return first, self.second_lost + other.second_lost + rounded + between

    def plus(self, other: Self) -> Self:
        """Sums over both."""
        second, apart = None, np.zeros_like(self.first)
        if self.second is not None and other.second is not None:
            between, apart = self._between(other, self.n, self.mean())
            second = self.second + other.second + between
        lost = self._lost(other, apart)
        return type(self)(self.n + other.n, self.first + other.first, second, self.size + other.size, *lost)

    def minus(self, other: Self) -> Self:
        """Sums without rows that are in these."""
        n, first = self.n - other.n, self.first - other.first
        second, apart = None, np.zeros_like(self.first)
        if self.second is not None and other.second is not None:
            between, apart = self._between(other, n, first / n) if n else (0.0, apart)
            second = self.second - other.second - between
        return type(self)(n, first, second, np.maximum(self.size - other.size, 0.0), *self._lost(other, apart))

    def bare(self) -> Self:
        """The sums with nothing of how they came about: the first row that leaves makes them be added up anew."""
        size, unknown = np.abs(self.first), np.full_like(self.first, np.inf)
        return dataclasses.replace(self, size=size, first_lost=unknown, second_lost=unknown)

    def total(self) -> F:
        """(d,) sums."""
        return self.first

    def mean(self) -> F:
        """(d,) means."""
        return self.first / self.n

    def scatter(self) -> F:
        """(d, d) or (d,) sums of products of deviations from the mean."""
        return np.asarray(self.second)

    def sizes(self) -> dict[str, float]:
        """What rounding in ``arrays`` goes by: a sum of absolute values, and what a rounded mean does to a scatter."""
        apart = 4 * EPSILON * self.first**2 / max(self.n, 1)
        return {"first": float(self.size.max(initial=0.0)), "second": float(apart.max(initial=0.0))}

    def arrays(self) -> dict[str, Any]:
        """What it consists of."""
        second = {} if self.second is None else {"second": self.second}
        return {"n": self.n, "first": self.first, **second}


Sums = GridSums | FloatSums


def sums_of(X: F, order: Order, exactness: str, step: float) -> Any:
    """Sums over rows in the arithmetic of an exactness.

    Args:
        X: (n, d) any unit.
        order: which products are summed: none, squares, or all.
        exactness: ``bitwise`` or ``1e-12``.
        step: the unit of X. Of the grid.

    Returns:
        GridSums or FloatSums.

    >>> sums = sums_of(np.array([[1.0], [2.0], [6.0]]), "diagonal", "bitwise", 2.0**-16)
    >>> without = sums.minus(sums_of(np.array([[6.0]]), "diagonal", "bitwise", 2.0**-16))
    >>> sums.scatter().tolist(), without.mean().tolist(), without.scatter().tolist()
    ([14.0], [1.5], [0.5])
    """
    kind = GridSums if exactness == "bitwise" else FloatSums
    return kind.of(X, order, step)


def restored(arrays: dict[str, Any], exactness: str, step: float) -> Sums:
    """The sums that gave these arrays."""
    n, second = arrays["n"], arrays.get("second")
    if exactness == "bitwise":
        return GridSums(n, arrays["first"], second, step)
    first = arrays["first"]
    return FloatSums(n, first, second, first, first, first).bare()


def together(sums: Sequence[Any]) -> Any:
    """Sums over several."""
    return functools.reduce(lambda one, other: one.plus(other), sums)
