"""What deletions are expected to cost. Source: arXiv 1912.03817, measuring time.

N rows in S shards of equal size; every deletion falls into each shard with probability 1/S, whatever fell there before.
"""

from __future__ import annotations


def batch_points(rows: int, shards: int, deleted: int) -> float:
    """Rows that are trained on again when K deletions are answered at once: N (1 - (1 - 1/S)^K) - K.

    A shard is hit unless all K miss it; each that is hit is trained on what is left.

    Args:
        rows: N, before the deletions.
        shards: S.
        deleted: K.

    >>> batch_points(100, 4, 2)
    41.75
    """
    return rows * (1 - (1 - 1 / shards) ** deleted) - deleted


def sequential_points(rows: int, shards: int, deleted: int) -> float:
    """Rows that are trained on again when K deletions are answered one by one: (N/S + 1/(2S) - 1) K - K^2 / (2S).

    The i-th, from 0, trains its shard of (N - i)/S rows on average, without the row.

    Args:
        rows: N, before the deletions.
        shards: S.
        deleted: K.

    >>> sequential_points(100, 4, 2)
    47.75
    """
    return (rows / shards + 1 / (2 * shards) - 1) * deleted - deleted**2 / (2 * shards)


def slicing_point_epochs(rows: int, shards: int, slices: int, epochs: float) -> float:
    """Rows times epochs of one deletion from a shard of R slices: e' (N/S) (2/3 + 1/(3R)); without slices e' N/S.

    With e_r = 2e'/(R + 1) and a deletion as likely in each slice. So slicing alone saves a third at most.

    Args:
        rows: N; the one that goes is counted, as in the paper.
        shards: S.
        slices: R.
        epochs: e', of a shard without slices.

    >>> slicing_point_epochs(120, 4, 2, 10)
    250.0
    """
    return epochs * (rows / shards) * (2 * slices + 1) / (3 * slices)
