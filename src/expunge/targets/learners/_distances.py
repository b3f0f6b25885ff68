"""Squared distances between rows, a few queries at a time. Each is a plain sum of squares, exact where rows agree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]
CELLS = 1 << 18


def distances(queries: F, rows: F) -> Iterator[F]:
    """Pieces (some queries, n) of the squared Euclidean distances (q, n), in the order of the queries."""
    n, d = rows.shape
    some = max(1, CELLS // rows.size)
    held = max(1, CELLS // (some * d))
    for start in range(0, len(queries), some):
        asked = queries[start : start + some, None, :]
        found = np.empty((len(asked), n))
        for at in range(0, n, held):
            apart = asked - rows[at : at + held]
            found[:, at : at + held] = np.einsum("qnd,qnd->qn", apart, apart)
        yield found
