"""Thresholds of nodes: a keyed uniform sample, its counts and its scores. Source: Brophy & Lowd 2021 (DaRE), section 3.

A threshold of a node and attribute is a value of one of its rows that is not the largest; rows with at most this value
go left. Each threshold has a priority, a hash of the node's place, the attribute and the value; the k smallest are a
uniform sample without replacement. A deletion changes no other threshold's priority. So the sample over the rows that
are left follows from them alone: where one of the k goes, the next takes its place, as a fit without the row has it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import TargetError
from expunge.targets.forest.keys import STRIDE, U32, U64, mixed
from expunge.targets.forest.pool import Criterion, Ints

_SPARE, _ALL, _FEW = 24, np.uint64(1 << 32), 8


@dataclass(frozen=True)
class Cuts:
    """Thresholds of some segments (a node and one of its attributes), sorted by segment and code.

    Args:
        segment: (C,) which.
        code: (C,) order code of the value.
        at: (C,) rows of that value.
        left: (C, K) rows at or below, by class.
    """

    segment: Ints
    code: U32
    at: Ints
    left: Ints


def draw(x: U32, label: Ints, segment: Ints, key: U64, classes: int, most: int | None) -> Cuts:
    """Draw thresholds for segments, all in one sort.

    Args:
        x: (E,) codes.
        label: (E,) class numbers.
        segment: (E,) segment numbers.
        key: (S,) keys of the segments.
        classes: K.
        most: thresholds a segment; None: all.

    Raises:
        TargetError: segment, code and class do not fit into 64 bits.
    """
    bits = np.uint64(max(1, (classes - 1).bit_length()))
    if len(key) > 1 << (32 - int(bits)):
        raise TargetError(f"{len(key)} attributes of nodes of {classes} classes are too many at once")
    packed = segment.astype(np.uint64) << np.uint64(32)
    packed |= x
    packed <<= bits
    packed |= label.astype(np.uint64)
    packed.sort()
    value = packed >> bits
    last = np.empty(len(value), bool)
    np.not_equal(value[1:], value[:-1], out=last[:-1])
    last[-1:] = True
    ends = np.flatnonzero(last)
    value = value[ends]
    of = (value >> np.uint64(32)).astype(np.int64)
    final = np.empty(len(of), bool)
    np.not_equal(of[1:], of[:-1], out=final[:-1])
    final[-1:] = True
    chosen = _sampled(value, of, final, key, most)
    at = np.diff(ends, prepend=-1)[chosen]
    return Cuts(of[chosen], value[chosen].astype(np.uint32), at, _left(packed, bits, ends, chosen, final, classes))


def _sampled(value: U64, of: Ints, final: NDArray[np.bool_], key: U64, most: int | None) -> Ints:
    """Positions of the drawn ones among the distinct values."""
    room = np.bincount(of, minlength=len(key)) - 1
    if most is None or (room <= most).all():
        return np.flatnonzero(~final)
    code = value & np.uint64(0xFFFFFFFF)
    code *= STRIDE
    code += key[of]
    priority = mixed(code) >> np.uint64(32)
    share = np.minimum((3 * most + _SPARE) / np.maximum(room, 1), 1.0)
    limit = np.where(room <= most, _ALL, (share * 2.0**32).astype(np.uint64))
    while True:
        near = np.flatnonzero((priority < limit[of]) & ~final)
        got = np.bincount(of[near], minlength=len(key))
        short = got < np.minimum(room, most)
        if not short.any():
            break
        limit[short] = _ALL
    ranked = (of[near].astype(np.uint64) << np.uint64(32)) | priority[near]
    order = np.argsort(ranked, kind="stable")
    first = np.cumsum(got) - got
    rank = np.arange(len(near)) - np.repeat(first, got)
    return np.sort(near[order[rank < most]])


def _left(packed: U64, bits: np.uint64, ends: Ints, chosen: Ints, final: NDArray[np.bool_], classes: int) -> Ints:
    """(C, K) counts at or below the chosen values: sums over the stretches between them."""
    stop = final.copy()
    stop[chosen] = True
    stops = ends[stop]
    stretch = np.repeat(np.arange(len(stops)), np.diff(stops, prepend=-1))
    stretch *= classes
    stretch += (packed & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    counts = np.bincount(stretch, minlength=len(stops) * classes).reshape(-1, classes)
    so_far = np.cumsum(counts, axis=0)
    ending = final[stop]
    segments = np.flatnonzero(ending)
    before = np.zeros((len(segments), classes), np.int64)
    before[1:] = so_far[segments[:-1]]
    of = np.cumsum(ending) - ending
    return (so_far - before[of])[~ending]


def score(left: Ints, counts: Ints, criterion: Criterion) -> NDArray[np.float64]:
    """What splits are worth: the lower the weighted impurity of the two sides, the higher.

    Gini: sum over the sides of (sum_c n_c^2) / n, which is n minus n times the weighted impurity. Entropy: sum over
    the sides of (sum_c n_c ln n_c) - n ln n. Of whole numbers, so that equal counts give equal scores.

    Args:
        left: (C, K) rows left of the split, by class.
        counts: (C, K) rows of the node.
        criterion: which.

    >>> score(np.array([[3, 1], [2, 0]]), np.array([[4, 4], [4, 4]]), "gini").tolist()
    [5.0, 5.333333]
    >>> score(np.array([[2, 0]]), np.array([[4, 4]]), "entropy").tolist()
    [-3.819085]
    """
    worth = np.zeros(len(left))
    for side in (left, counts - left):
        n = total(side)
        if criterion == "gini":
            worth += total(np.square(side, dtype=np.int64)) / n
        else:
            table = _n_ln_n(int(n.max(initial=0)))
            for column in side.T:
                worth += table[column]
            worth -= table[n]
    return worth


def total(counts: Ints) -> NDArray[np.int64]:
    """(C,) sums over the classes; few are added column by column, which is faster."""
    if counts.shape[1] > _FEW:
        return counts.sum(axis=1)
    return functools.reduce(np.add, counts.T[1:], counts.T[0].astype(np.int64))


def highest(counts: Ints) -> Ints:
    """(C,) the largest over the classes."""
    return counts.max(axis=1) if counts.shape[1] > _FEW else functools.reduce(np.maximum, counts.T)


def _n_ln_n(most: int) -> NDArray[np.float64]:
    return np.array([0.0, *(n * math.log(n) for n in range(1, most + 1))])


def best(worth: NDArray[np.float64], starts: Ints, sizes: Ints) -> NDArray[np.int64]:
    """Position of the first best of each range, of which none is empty."""
    top = np.repeat(np.maximum.reduceat(worth, starts), sizes)
    at = np.where(worth == top, np.arange(len(worth)), len(worth))
    return np.minimum.reduceat(at, starts)
