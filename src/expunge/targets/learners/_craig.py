"""Which rows stand for all: facility location by lazy greedy steps. Source: Mirzasoleiman et al. 2020 (1906.01827).

A set S of rows costs L(S) = sum_i min_{j in S} d_ij; each step takes the row that lowers it most, of equal ones the
first id. Distances are rounded to whole steps of a grid, so that every sum is exact and depends on the rows alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.targets.learners._k_means import squared

F = NDArray[np.float64]
ROWS_AT_ONCE = 1 << 7


@dataclass(frozen=True, eq=False)
class Chosen:
    """The rows that were chosen, and the log of gains by which a deletion is checked.

    Args:
        ids: of the chosen, in the order of the steps.
        counts: (r,) rows for which each stands: those to which no other chosen one is nearer.
        sums: (n,) summed distance of each row to all, by which the first is chosen.
        gains: (r - 1, n) what each row would have lowered the cost by, as last computed before a later one was chosen;
            -1 for what was chosen before.
        stamps: (r - 1, n) how many were chosen when that was computed. Gains only shrink, so an old one is a bound.
    """

    ids: tuple[str, ...]
    counts: NDArray[np.int64]
    sums: F
    gains: F
    stamps: NDArray[np.int32]


def bare(ids: Sequence[str], counts: Sequence[int] | NDArray[np.int64]) -> Chosen:
    """A selection without its log."""
    return Chosen(tuple(ids), np.array(counts, np.int64), np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0), np.int32))


def distances(X: F, to: F, lengths: F | None = None) -> F:
    """(n, m) distances in whole steps; ``lengths`` (n,) are squared ones of X, where they are known.

    >>> distances(np.array([[1.0, 5.0]]), np.array([[4.0, 1.0], [1.0, 3.0], [2.0, 4.0]])).tolist()
    [[5.0, 2.0, 1.0]]
    """
    return np.rint(np.sqrt(squared(X, to, lengths)))


def _sums(X: F, lengths: F) -> F:
    blocks = [distances(X, X[at : at + ROWS_AT_ONCE], lengths).sum(0) for at in range(0, len(X), ROWS_AT_ONCE)]
    return np.concatenate(blocks)


def _gains(X: F, lengths: F, least: F, to: F) -> F:
    """(m,) by how much each of some rows would lower the cost; ``least`` (n,) is each row's distance so far."""
    return np.maximum(least[:, None] - distances(X, to, lengths), 0).sum(0)


def choose(X: F, ids: Sequence[str], size: int) -> Chosen:
    """Choose rows.

    Args:
        X: (n, d) steps, sorted by id; n >= 1.
        ids: (n).
        size: rows to choose; all where there are fewer.

    >>> rows = np.array([[0.0], [1.0], [2.0], [9.0]])
    >>> found = choose(rows, ["a", "b", "c", "d"], 2)
    >>> found.ids, found.counts.tolist(), found.gains.tolist()  # sums 12, 10, 10, 24; then d saves 8
    (('b', 'd'), [3, 1], [[1.0, -1.0, 2.0, 8.0]])
    """
    n, lengths = len(X), (X * X).sum(1)
    sums = _sums(X, lengths)
    order = [int(sums.argmin())]
    least = distances(X, X[order], lengths)[:, 0]
    gain = np.concatenate([_gains(X, lengths, least, X[at : at + ROWS_AT_ONCE]) for at in range(0, n, ROWS_AT_ONCE)])
    stamp = np.ones(n, np.int32)
    gains, stamps = [], []
    heap = [(-one, at) for at, one in enumerate(gain.tolist()) if at != order[0]]
    heapq.heapify(heap)
    for turn in range(1, min(size, n)):
        while stamp[at := heap[0][1]] < turn:
            # The first that is new is the largest: what lies below it in the heap can only have shrunk.
            gain[at], stamp[at] = _gains(X, lengths, least, X[[at]])[0], turn
            heapq.heapreplace(heap, (-float(gain[at]), at))
        gain[order] = -1.0
        gains.append(gain.copy())
        stamps.append(stamp.copy())
        order.append(heapq.heappop(heap)[1])
        least = np.minimum(least, distances(X, X[order[-1:]], lengths)[:, 0])
    counts = np.bincount(distances(X, X[order]).argmin(1), minlength=len(order))
    shape = (len(gains), n)
    log = np.array(gains).reshape(shape), np.array(stamps, np.int32).reshape(shape)
    return Chosen(tuple(ids[at] for at in order), counts, sums, *log)


def without(chosen: Chosen, X: F, ids: Sequence[str], stays: NDArray[np.bool_], size: int) -> Chosen | None:
    """The same choice among the rows that stay, if they would choose the same.

    A deleted row gave max(0, its distance to the nearest chosen one - its distance to j) to the gain of row j, at the
    time of that gain's stamp. Less these, the log bounds every gain of a run without the rows. Only where a bound
    exceeds what the chosen row gains at its step is that gain computed anew.

    Args:
        chosen: of all rows, with its log.
        X: (n, d) steps. All rows, sorted by id.
        ids: (n).
        stays: (n,) false for the rows that are deleted.
        size: rows to choose.

    Returns:
        The choice with its log; None where other rows would be chosen, or another number of them.
    """
    place = {name: at for at, name in enumerate(ids)}
    order = [place[name] for name in chosen.ids]
    if not stays[order].all() or min(size, int(stays.sum())) != len(order):
        return None
    gone, sums, counts, gains = np.flatnonzero(~stays), chosen.sums.copy(), chosen.counts, chosen.gains.copy()
    for at in range(0, len(gone), ROWS_AT_ONCE):
        apart = distances(X[gone[at : at + ROWS_AT_ONCE]], X)
        least = np.minimum.accumulate(apart[:, order], axis=1)
        sums -= apart.sum(0)
        counts = counts - np.bincount(apart[:, order].argmin(1), minlength=len(order))
        for row, stamp in zip(gains, chosen.stamps, strict=True):
            row -= np.maximum(least[:, stamp - 1] - apart, 0).sum(0) * (row >= 0)
    found = Chosen(chosen.ids, counts, sums[stays], gains[:, stays], chosen.stamps[:, stays])
    shift = np.cumsum(~stays)
    return found if _leads(found, X[stays], [int(at - shift[at]) for at in order]) else None


def _leads(chosen: Chosen, X: F, order: Sequence[int]) -> bool:
    """Whether at each step the row that was chosen has most to gain; gains that are computed for it enter the log."""
    if chosen.sums.argmin() != order[0]:
        return False
    lengths = (X * X).sum(1)
    least = distances(X, X[order[:1]], lengths)[:, 0]
    for turn, own in enumerate(order[1:], 1):
        while (first := int(chosen.gains[turn - 1].argmax())) != own:
            if chosen.stamps[turn - 1, first] == turn:
                return False
            later = np.flatnonzero(chosen.stamps[turn - 1 :, first] < turn) + turn - 1
            chosen.gains[later, first] = _gains(X, lengths, least, X[[first]])[0]
            chosen.stamps[later, first] = turn
        least = np.minimum(least, distances(X, X[[own]], lengths)[:, 0])
    return True
