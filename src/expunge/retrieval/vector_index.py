"""A FAISS index over the vectors of a datastore. It is only ever built from the store's rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import MissingExtra, StoreError
from expunge.core.files import replace_file

KINDS = ("flat", "ivf")


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise MissingExtra("a search by vector", "stores", "faiss-cpu") from error
    return faiss


def build(kind: str, rows_N: NDArray[np.int64], vectors_ND: NDArray[np.float32]) -> Any:
    """An index of squared Euclidean distance under the given row numbers.

    Flat compares with every vector. IVF sorts the vectors into about sqrt(N) cells around centroids, which are means
    of the vectors: they are computed anew from the rows that are left whenever a row is erased.

    Args:
        kind: ``flat`` or ``ivf``.
        rows_N: (N,) numbers that never change. A bare flat index would renumber them at each removal.
        vectors_ND: (N, D) any unit.
    """
    faiss = _faiss()
    n, d = vectors_ND.shape
    cells = min(math.isqrt(n), n // 40)
    if kind == "flat" or cells < 2:
        index = faiss.IndexIDMap2(faiss.IndexFlatL2(d))
    else:
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, cells, faiss.METRIC_L2)
        index.train(vectors_ND)
        index.nprobe = max(1, cells // 4)
    index.add_with_ids(vectors_ND, rows_N)
    return index


def nearest(index: Any, vector_D: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """(row, squared distance) of the nearest vectors, nearest first."""
    distances, rows = index.search(vector_D[None, :], min(k, index.ntotal)) if index.ntotal else ([[]], [[]])
    return [(int(row), float(far)) for row, far in zip(rows[0], distances[0], strict=True) if row >= 0]


def write(index: Any, path: Path) -> None:
    """Write an index, whole or not at all."""
    with replace_file(path, mode=0o600) as fresh:
        _faiss().write_index(index, str(fresh))


def read(path: Path, rows: int) -> Any | None:
    """An index from a file, or None where it is not one over so many rows."""
    try:
        index = _faiss().read_index(str(path))
    except RuntimeError:
        return None
    return index if index.ntotal == rows else None


def as_vectors(vectors: Any, rows: int, dimensions: int) -> NDArray[np.float32]:
    """Check vectors and make them (N, D) float32.

    Raises:
        StoreError: another shape, or not finite.
    """
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.shape != (rows, dimensions):
        raise StoreError(f"vectors of the shape {array.shape}", why=f"the store needs ({rows}, {dimensions})")
    if not np.isfinite(array).all():
        raise StoreError("a vector is not finite", why="no distance to it could be computed")
    return array
