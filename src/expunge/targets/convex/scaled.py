"""Rows of norm at most 1 from what was given, by bounds that are public. Source: Guo et al. 2020 (ICML), section 3."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expunge.accounting.given import positive
from expunge.core.errors import ConfigError, TargetError
from expunge.core.record import record
from expunge.targets.learners import _checks

F = NDArray[np.float64]
ROUNDING = 1e-12


def double_rows(X: Any, width: int | None) -> F:
    """Rows (n, d) in double precision; half precision is refused.

    Args:
        X: finite numbers.
        width: d, None for any.

    Raises:
        TargetError: half precision, not a table of finite numbers, or another width.
    """
    if np.asarray(X).dtype == np.float16:
        why = "what rounded them may have made a row shorter than it was, and the bound on a row is what is proven"
        raise TargetError("the rows are of float16", why=why, next="Give them in double precision")
    return _checks.real_rows(X, width)


@record
class Scaled:
    """Columns by their divisors, rows by one bound, and a constant column, which counts in the norm.

    Nothing in it may be read off the rows that are learned.

    Args:
        scale: bound of the norm of a row, by which it is divided.
        divisors: what each column is divided by before; empty for 1.
        intercept: whether a constant column is put beside the others; each row is then [x, 1] / sqrt 2.
        norms: ``refuse`` rows beyond the bound, or ``clip`` them to it.

    >>> Scaled(scale=5.0, divisors=(1.0, 2.0), intercept=True).rows([[3.0, 8.0]]).round(4).tolist()  # (0.6, 0.8, 1)
    [[0.4243, 0.5657, 0.7071]]
    """

    scale: float = 1.0
    divisors: tuple[float, ...] = ()
    intercept: bool = False
    norms: Literal["refuse", "clip"] = "refuse"

    def __post_init__(self) -> None:
        positive("scale", self.scale)
        for value in self.divisors:
            positive("a divisor", value)

    def rows(self, X: Any, *, learned: bool = True) -> F:
        """Rows (n, d) or (n, d + 1) as a convex model takes them.

        Args:
            X: (n, d) numbers, float64 or whole.
            learned: whether they are to be learned from: a row that is only predicted may be beyond the bound.

        Raises:
            TargetError: half precision, another width, or a row beyond the bound where that is refused.
        """
        given = double_rows(X, len(self.divisors) or None)
        rows = given / (np.array(self.divisors or (1.0,)) * self.scale)
        norms = np.sqrt((rows * rows).sum(axis=1))
        if (norms > 1 + ROUNDING).any():
            if self.norms == "clip":
                rows = rows / np.maximum(norms, 1.0)[:, None]
            elif learned:
                largest = float(norms.max()) * self.scale
                raise TargetError(
                    f"row {int(norms.argmax())} has norm {largest:.6g}, above the bound {self.scale:g}",
                    why="one row could move the model further than the noise covers",
                    next="Give a larger scale, or divisors of columns, from what is known without the rows; or clip",
                )
        if not self.intercept:
            return rows
        return np.concatenate([rows, np.ones((len(rows), 1))], axis=1) / math.sqrt(2)


def divisors_of(columns: tuple[str, ...], given: dict[str, float]) -> tuple[float, ...]:
    """What each column of a table is divided by; 1 where nothing is given.

    Raises:
        ConfigError: the table has no such column.

    >>> divisors_of(("age", "hours"), {"hours": 99.0})
    (1.0, 99.0)
    """
    strange = [name for name in given if name not in columns]
    if strange:
        known = ", ".join(columns[:8]) or "not named"
        raise ConfigError(f"there is no column {strange[0]!r} to be divided", why=f"its columns are {known}")
    return tuple(float(given.get(name, 1.0)) for name in columns) if given else ()
