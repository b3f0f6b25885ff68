"""Normal equations that rows leave. Source: Woodbury 1950; Hestenes & Stiefel 1952 (conjugate gradients).

Taking rows S (k, d) with targets Y out of A = X'X + D, whose solution is W = A^-1 C, gives, with P = A^-1 and
H = S P S', the solution W + P S' (I - H)^-1 (S W - Y). H is never formed: the k unknowns are found by conjugate
gradients, each step two passes over S and one over P. The eigenvalues of H are leverages, so that a few steps do.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from expunge.core.errors import TargetError

F = NDArray[np.float64]
DOT, AXPY = get_blas_funcs(("dot", "axpy"), dtype=np.float64)
POTRF, POTRS, POTRI = get_lapack_funcs(("potrf", "potrs", "potri"), dtype=np.float64)
SHRUNK = 1e-2
"""What is below this share of what it was, in squared units, is not got by subtracting."""
STEPS = 30
"""Of conjugate gradients: enough while the condition of I - H is below some 4. Else the rows leave the sums."""
CLOSE = 1e-14
"""Of the first residual: what the correction is off, seen from the rows that leave."""


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """(X'X + D) W = X'Y.

    Args:
        products: (d, d) X'X.
        cross: (d, m) X'Y.
        squares: (m,) diagonal of Y'Y, by which errors in ``cross`` are judged.
        penalty: (d,) diagonal of D.
        summed: rows when the sums were last added up from rows; infinite of sums that came from elsewhere.
        largest: (d,) pivots and (m,) squares, the largest since then; None where rows only came.
    """

    products: F
    cross: F
    squares: F
    penalty: F
    summed: float
    largest: tuple[F, F] | None = None

    @functools.cached_property
    def factor(self) -> F:
        """Cholesky factor of X'X + D.

        Raises:
            TargetError: it is singular.
        """
        A = self.products.copy()
        A.flat[:: len(A) + 1] += self.penalty
        # Each pivot against its own diagonal, so that features in different units are no reason to refuse.
        own = np.diagonal(A).copy()
        lower, info = POTRF(A.T, lower=1, clean=0, overwrite_a=1)
        if info or not (np.diagonal(lower) ** 2 > len(A) * np.finfo(float).eps * own).all():
            why = "the rows do not determine the coefficients"
            raise TargetError("the normal equations are singular", why=why, next="Raise the penalty, or fit more rows")
        return lower

    @functools.cached_property
    def _peak(self) -> tuple[F, F]:
        """(d,) pivots and (m,) squares, the largest since the sums were added up from rows."""
        pivots = np.diagonal(self.factor) ** 2
        if self.largest is None:
            return pivots, self.squares
        return np.maximum(pivots, self.largest[0]), np.maximum(self.squares, self.largest[1])

    def outlives(self, Y: F) -> bool:
        """Whether targets are so much smaller without rows that what rounding left of these would show."""
        most = self.squares if self.largest is None else np.maximum(self.squares, self.largest[1])
        return bool((self.squares - (Y * Y).sum(0) < SHRUNK * most).any())

    def folded(self, S: F, Y: F, penalty: F) -> NormalEquations | None:
        """The equations without rows that are in these; None where so little is left that rounding would show."""
        try:
            pivots, squares = self._peak
            left = NormalEquations(
                self.products - S.T @ S,
                self.cross - S.T @ Y,
                self.squares - (Y * Y).sum(0),
                penalty,
                self.summed,
                (pivots, squares),
            )
            small = (np.diagonal(left.factor) ** 2 < SHRUNK * pivots).any() or (left.squares < SHRUNK * squares).any()
        except TargetError:
            return None
        return None if small else left

    def bare(self) -> NormalEquations:
        """The equations with nothing of how they came about: the first row that leaves makes them be made anew."""
        squares = np.zeros_like(self.squares)
        return NormalEquations(self.products, self.cross, squares, self.penalty, math.inf)

    @functools.cached_property
    def solution(self) -> F:
        """W (d, m)."""
        return POTRS(self.factor, self.cross, lower=1)[0]

    @functools.cached_property
    def inverse(self) -> F:
        """P (d, d)."""
        lower = np.tril(POTRI(self.factor, lower=1)[0])
        return lower + np.tril(lower, -1).T

    def plus(self, S: F, Y: F, penalty: F) -> NormalEquations:
        """The equations with further rows."""
        squares = self.squares + (Y * Y).sum(0)
        products, cross, summed = self.products + S.T @ S, self.cross + S.T @ Y, self.summed + len(S)
        return NormalEquations(products, cross, squares, penalty, summed, self.largest)

    def solution_without(self, S: F, Y: F) -> F | None:
        """The solution without rows that are in these; None where it converges badly, or rows have leverage near 1."""
        W = self.solution.copy()
        residual = S.dot(W) - Y
        for j in range(W.shape[1]):
            change = _correction(self.inverse, S, residual[:, j])
            if change is None:
                return None
            W[:, j] += change
        return W


def _correction(P: F, S: F, residual: F) -> F | None:
    """P S' (I - S P S')^-1 residual (d,), by conjugate gradients.

    A step multiplies the residual by some factor. It was the last one where that factor, once more, leaves too little
    to matter.
    """
    residual, change = residual.copy(), np.zeros(len(P))
    direction = residual.copy()
    size = start = DOT(residual, residual)
    for _ in range(STEPS if start else 0):
        step = P.dot(direction.dot(S))
        image = direction - S.dot(step)
        curvature = DOT(direction, image)
        if curvature < SHRUNK * size:
            return None
        length = size / curvature
        AXPY(step, change, a=length)
        AXPY(image, residual, a=-length)
        after = DOT(residual, residual)
        if after * (after / size) <= CLOSE**2 * start:
            return change
        direction *= after / size
        direction += residual
        size = after
    return None if start else change


def equations(X: F, Y: F, penalty: F) -> NormalEquations:
    """The normal equations of rows."""
    return NormalEquations(X.T @ X, X.T @ Y, (Y * Y).sum(0), penalty, len(X))


def solved(products: F, cross: F, penalty: F) -> Any:
    """W of (products + D) W = cross."""
    return NormalEquations(products, cross, np.zeros(cross.shape[1]), penalty, 0).solution
