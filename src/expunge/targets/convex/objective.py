"""The perturbed objective and its derivatives, over rows that lie where they lie. Source: Guo et al. 2020, section 3.

L_b(W) = sum_i l(W'x_i, y_i) + (lam n / 2) |W|^2 + <b, W>. Rows that were taken out are masked, never copied; a piece of
rows is read once and stays in the cache between its two products.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.targets.convex.losses import Loss, require_convex
from expunge.targets.learners._rows import Rows

F = NDArray[np.float64]
PIECE = 2**15
"""Numbers of X in a piece, 256 KiB."""


def signs(codes: NDArray[np.generic], head: int) -> F:
    """(n,) 1 where the code is the head, else -1.

    >>> signs(np.array([2, 0, 2]), 2).tolist()
    [1.0, -1.0, 1.0]
    """
    return np.where(codes == head, 1.0, -1.0)


@dataclass(frozen=True, eq=False)
class Objective:
    """L_b of one head on the rows that are held.

    Args:
        loss: of scores and targets.
        rows: X (n, d) with what is kept of the targets.
        lam: penalty per row.
        b: (d, k) noise.
        head: the class that is set against the rest; None where targets are read as they are kept.
    """

    loss: Loss
    rows: Rows
    lam: float
    b: F
    head: int | None = None

    def targets(self, kept: NDArray[np.generic]) -> F:
        """(n,) what the loss reads."""
        return kept.astype(np.float64) if self.head is None else signs(kept, self.head)

    def pieces(self) -> Iterator[tuple[F, F, NDArray[np.bool_]]]:
        """X, targets and what is live, piece by piece."""
        for part in self.rows.parts:
            X, kept, live = part.block.X, part.block.y, part.live
            assert kept is not None
            step = max(256, PIECE // X.shape[1])
            for at in range(0, len(X), step):
                yield X[at : at + step], self.targets(kept[at : at + step]), live[at : at + step]

    def gradient(self, W: F) -> F:
        """(d, k) of L_b, in one pass over the rows."""
        total = self.lam * len(self.rows) * W + self.b
        for X, y, live in self.pieces():
            G = self.loss.gradient(X @ W, y)
            if not live.all():
                G = np.where(live[:, None], G, 0.0)
            total += X.T @ G
        return total

    def value(self, W: F) -> float:
        """L_b(W)."""
        total = self.lam * len(self.rows) / 2 * float((W * W).sum()) + float((self.b * W).sum())
        for X, y, live in self.pieces():
            total += float(self.loss.value(X @ W, y)[live].sum())
        return total

    def hessian(self, W: F) -> F:
        """(dk, dk) of L_b, parameters in the order of W.ravel().

        Raises:
            ConfigError: a user's loss is not convex here, or not what it states.
        """
        H = np.zeros((W.size, W.size))
        for X, y, live in self.pieces():
            if not live.all():
                X, y = X[live], y[live]
            Z = X @ W
            require_convex(self.loss, Z, y)
            H += curved(X, self.loss.curvature(Z, y))
        H.flat[:: W.size + 1] += self.lam * len(self.rows)
        return H

    def gram(self) -> F:
        """(d, d) X'X."""
        total = 0.0
        for X, _, live in self.pieces():
            kept = X if live.all() else X[live]
            total = total + kept.T @ kept
        return np.asarray(total)


def curved(X: F, C: F) -> F:
    """sum_i (x_i x_i') times C_i, as a (dk, dk) matrix over W.ravel().

    Args:
        X: (n, d) rows.
        C: (n, k, k) curvature of each, not negative.

    >>> curved(np.array([[2.0, 3.0]]), np.array([[[5.0]]])).tolist()
    [[20.0, 30.0], [30.0, 45.0]]
    """
    d, k = X.shape[1], C.shape[1]
    if k == 1:
        half = X * np.sqrt(np.maximum(C[:, :, 0], 0.0))
        return half.T @ half  # one operand twice, so that syrk computes it
    H = np.empty((d, k, d, k))
    for i in range(k):
        for j in range(i, k):
            H[:, i, :, j] = H[:, j, :, i] = X.T @ (X * C[:, i, j, None])
    return H.reshape(d * k, d * k)
