"""facebookresearch/certified-removal (7693b26): its bounds of what Newton removal leaves, quirks included.

* The spectral norm of the rows is that of 20 power iterations from a drawn start, which is always too small. Ours is
  from the largest eigenvalue of X'X.
* One against the rest has one X'X for all heads, and takes a row out of it once for each head: of K times, K - 1 are
  too many, so that the norm is too small again. Ours takes a row out once.
* The heads' bounds are added and set against one budget, though each head has its own noise and all are published. Ours
  has one budget a head, with epsilon and delta shared among them.
* What the training left of the gradient is not counted. Ours counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from expunge.targets.convex.losses import logistic

F = NDArray[np.float64]
ITERATIONS = 20


def power_norm(gram: F, start: F, *, iterations: int = ITERATIONS) -> float:
    """Spectral norm of X by power iterations on X'X. Quirk: never above the norm, and below it while they are few.

    Args:
        gram: (d, d) X'X.
        start: (d,) where the iterations begin.
        iterations: how many.

    Returns:
        () unit of the rows.

    >>> gram = np.diag([9.0, 1.0])
    >>> round(power_norm(gram, np.array([0.6, 0.8]), iterations=1), 4)  # |(5.4, 0.8)|^(1/2); the norm is 3
    2.3364
    """
    point, size = start, 1.0
    for _ in range(iterations):
        point = gram @ point
        size = float(np.linalg.norm(point))
        point = point / size
    return float(np.sqrt(size))


def removal_bounds(
    X: F, Y: F, W: F, gone: Sequence[int], *, lam: float, norm: Callable[[F], float]
) -> tuple[list[float], F]:
    """One row after another removed by Newton steps of logistic heads: the bound of each row, summed over the heads.

    sum_k gamma |X'| |H_k^-1 g_k| |X' H_k^-1 g_k|, X' the rows that stay, |X'| of the X'X that all heads share

    Args:
        X: (n, d) rows.
        Y: (n, K) -1 or 1. For each head.
        W: (d, K) parameters of the heads.
        gone: rows that leave, in their order.
        lam: penalty of a row.
        norm: of X from X'X; ``power_norm`` as the peer has it.

    Returns:
        (m) bounds of the norm of the gradient, and (d, K) parameters.

    >>> X, W = np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros((2, 1))  # p = 1/2: g = (-1/2, 0), H = diag(1/2, 3/4)
    >>> exact = lambda gram: float(np.linalg.eigvalsh(gram)[-1]) ** 0.5
    >>> bounds, after = removal_bounds(X, np.ones((2, 1)), W, [0], lam=0.5, norm=exact)
    >>> bounds, after.ravel().tolist()  # the step is (-1, 0), and no row that stays sees it
    ([0.0], [-1.0, 0.0])
    """
    gram, W, stays, bounds = X.T @ X, W.copy(), np.ones(len(X), dtype=bool), []
    for row in gone:
        stays[row] = False
        kept, total = X[stays], 0.0
        for head in range(Y.shape[1]):
            gram = gram - np.outer(X[row], X[row])
            w, y = W[:, head], Y[stays, head]
            left = X[row] * logistic.gradient((X[row] @ w)[None, None], Y[row, head][None])[0, 0] + lam * w
            curvature = logistic.curvature((kept @ w)[:, None], y)[:, 0, 0]
            hessian = (kept.T * curvature) @ kept + lam * len(kept) * np.eye(len(w))
            step = np.linalg.solve(hessian, left)
            total += logistic.gamma * norm(gram) * float(np.linalg.norm(step) * np.linalg.norm(kept @ step))
            W[:, head] = w + step
        bounds.append(total)
    return bounds, W
