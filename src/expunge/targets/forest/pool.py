"""Nodes of trees in arrays that only grow, so that every earlier forest over them stays as it was."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expunge.targets.forest.keys import U32

Ints = NDArray[np.integer]
_STALE = 4
Criterion = Literal["gini", "entropy"]


def spans(start: Ints, size: Ints) -> NDArray[np.int64]:
    """All positions of some ranges, one range after the other.

    >>> spans(np.array([10, 30]), np.array([2, 3])).tolist()
    [10, 11, 30, 31, 32]
    """
    ends = np.cumsum(size, dtype=np.int64)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - size - start, size)


class Columns:
    """Arrays of one length that grow at the end.

    Args:
        kinds: name of each column, with its dtype and the shape of one entry.
    """

    def __init__(self, **kinds: tuple[Any, tuple[int, ...]]) -> None:
        self.size = self.settled = 0
        self._arrays = {name: np.zeros((64, *shape), dtype) for name, (dtype, shape) in kinds.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self._arrays)

    def append(self, **values: NDArray[Any]) -> int:
        """Add entries; returns the position of the first."""
        start, more = self.size, len(next(iter(values.values())))
        room = len(next(iter(self._arrays.values())))
        if start + more > room:
            room = max(2 * room, start + more)
            for name, old in self._arrays.items():
                self._arrays[name] = np.zeros((room, *old.shape[1:]), old.dtype)
                self._arrays[name][:start] = old[:start]
        for name, array in self._arrays.items():
            array[start : start + more] = values[name]
        self.size = start + more
        return start


class Pool:
    """Nodes, the thresholds that they consider and the rows that were in them when they were made.

    A node has its class ``counts``, its two ``child`` nodes (-1: a leaf), a range of ``rows`` (of which some may be
    gone since), the ``key`` of its draws, its ``depth``, its split and a range of ``cuts``, sorted by attribute and
    code: for each, how many rows are ``left`` of it by class and how many lie ``at`` its value (``at`` of a cut that
    is no row's value: how many lie left of it).

    Args:
        classes: how many.
    """

    def __init__(self, classes: int) -> None:
        one: tuple[int, ...] = ()
        self.classes = classes
        self.lock = threading.Lock()
        self.nodes = Columns(
            counts=(np.int32, (classes,)),
            child=(np.int32, (2,)),
            start=(np.int64, one),
            size=(np.int32, one),
            key=(np.uint64, one),
            depth=(np.int32, one),
            attribute=(np.int32, one),
            code=(np.uint32, one),
            first_cut=(np.int64, one),
            n_cuts=(np.int32, one),
        )
        self.cuts = Columns(
            attribute=(np.int32, one), code=(np.uint32, one), at=(np.int32, one), left=(np.int32, (classes,))
        )
        self.rows = Columns(row=(np.int32, one))
        self.tables = {"nodes": self.nodes, "cuts": self.cuts, "rows": self.rows}

    def settle(self) -> None:
        """Remember how much is in use: all of it."""
        for table in self.tables.values():
            table.settled = table.size

    @property
    def stale(self) -> bool:
        """Whether most of it may be of no use to the newest forest."""
        return any(table.size > _STALE * (table.settled + 1024) for table in self.tables.values())


@dataclass(frozen=True)
class Rule:
    """How trees are drawn.

    Args:
        depth: of the deepest leaf.
        attributes: considered at a node; None: all.
        thresholds: considered for an attribute; None: all.
        random_levels: how many levels from the root on split at random.
        criterion: what a split lowers.
    """

    depth: int
    attributes: int | None
    thresholds: int | None
    random_levels: int
    criterion: Criterion


@dataclass(frozen=True)
class Forest:
    """Trees over a table of rows, some of which are gone.

    Args:
        rule: how they are drawn.
        pool: where their nodes are.
        roots: (T,) nodes.
        codes: (n, d) order codes of the values.
        labels: (n,) class numbers.
        alive: (n,) whether the row is still there.
    """

    rule: Rule
    pool: Pool
    roots: Ints
    codes: U32
    labels: Ints
    alive: NDArray[np.bool_]

    def rows_of(self, nodes: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows that are in some nodes, one node after the other, and how many each has."""
        sizes = self.pool.nodes["size"][nodes].astype(np.int64)
        rows = self.pool.rows["row"][spans(self.pool.nodes["start"][nodes], sizes)]
        there = self.alive[rows]
        of = np.repeat(np.arange(len(nodes)), sizes)[there]
        return rows[there].astype(np.int64), np.bincount(of, minlength=len(nodes))
