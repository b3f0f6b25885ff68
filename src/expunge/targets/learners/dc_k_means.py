"""K-means that forgets rows: divide and conquer. Source: Ginart et al. 2019 (arXiv 1907.05012), algorithms 3 and 4."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ConfigError
from expunge.core.seeds import derive
from expunge.targets.learners._centred import Centred
from expunge.targets.learners._checks import listed, positive
from expunge.targets.learners._k_means import Settings, run
from expunge.targets.learners._learner import State

F = NDArray[np.float64]
Node = tuple[int, int]
"""Level, 0 for the root, and number within the level."""


class DCKMeans(Centred):
    """A tree of k-means: a leaf holds the rows that a hash of their ids sends there, a node above it their centres.

    ``unlearn`` fits the leaves anew that held a row, and the nodes above them, in which a row is among width * k
    centres: with w leaves about n / w + w k rows in place of n. Every node's draws are keyed by its place and by its
    rows' ids, so that the result is bit for bit that of a fit without the rows. Centres above the leaves count alike,
    as in the paper, however many rows stand behind them.

    Args:
        n_clusters: centres; a node of fewer rows has as many as rows.
        width: children of a node.
        depth: levels below the root; 0 is plain k-means.
        max_iter: rounds of a node at most.
        step: unit of X. Of the grid that rows and centres are put on; a power of two.
        random_state: of the leaves and of each node's first centres.

    >>> rows = [[0.0], [1.0], [9.0], [11.0]]
    >>> fitted = DCKMeans(n_clusters=2, width=2, step=2.0**-4).fit(rows)
    >>> sorted(fitted.unlearn(["0", "3"]).cluster_centers_.ravel().tolist())
    [1.0, 9.0]
    """

    _nodes: dict[Node, F]
    _leaves: dict[int, tuple[str, ...]]

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        width: int = 16,
        depth: int = 1,
        max_iter: int = 10,
        step: float = 2.0**-12,
        random_state: int = 0,
    ) -> None:
        self.n_clusters, self.width, self.depth = n_clusters, width, depth
        self.max_iter, self.step, self.random_state = max_iter, step, random_state

    def _check_settings(self) -> None:
        super()._check_settings()
        positive("max_iter", self.max_iter, zero=True)
        whole = isinstance(self.width, int) and isinstance(self.depth, int)
        if not whole or self.width < 2 or self.depth < 0 or self.width**self.depth > 2**20:
            why = f"width is {self.width!r} and depth {self.depth!r}"
            raise ConfigError("no such tree", why=why, next="Give a width from 2, a depth from 0, at most 2^20 leaves")

    def _sent(self, names: Sequence[str]) -> dict[int, tuple[str, ...]]:
        """Number of a leaf -> the ids that it holds, sorted."""
        key, leaves = derive(self.random_state, "leaf"), self.width**self.depth
        found: dict[int, list[str]] = {}
        for name in sorted(names):
            mark = hashlib.sha256(f"{key}\x1f{name}".encode()).digest()[:8]
            found.setdefault(int.from_bytes(mark, "big") % leaves, []).append(name)
        return {leaf: tuple(some) for leaf, some in found.items()}

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        self._leaves, self._nodes, self.last_deletion_ = self._sent(tuple(self._rows)), {}, ""
        self._fit_nodes(set(self._leaves))

    def unlearn(self, ids: Iterable[str]) -> Self:
        """A new learner that holds all rows but these; this one stays valid.

        Raises:
            StoreError: an id is not held (any more), or given twice; nothing is changed.
            ConfigError: a setting was changed since rows were learned.
        """
        names = listed(ids)
        fresh = super().unlearn(names)
        if names and fresh._rows.parts:
            fresh._delete(names)
        return fresh

    def _delete(self, names: Sequence[str]) -> None:
        """Fit anew what held these rows, which are gone; no leaf of others is looked at."""
        gone, touched = frozenset(names), set(self._sent(names))
        left = {leaf: tuple(name for name in self._leaves[leaf] if name not in gone) for leaf in touched}
        self._leaves = {leaf: some for leaf, names in self._leaves.items() if (some := left.get(leaf, names))}
        self._nodes = dict(self._nodes)
        fitted = self._fit_nodes(touched)
        self.last_deletion_ = f"{fitted} of {len(self._nodes)} nodes of the tree were fitted anew"

    def _fit_nodes(self, leaves: set[int]) -> int:
        """Fit some leaves and all nodes above them, from below; returns how many were fitted."""
        count, touched = 0, leaves
        for level in range(self.depth, -1, -1):
            for number in sorted(touched):
                self._nodes.pop((level, number), None)
                if level == self.depth:
                    names = self._leaves.get(number, ())
                    X = self._grid(self._rows_of(names)) if names else np.zeros((0, 0))
                else:
                    names, X = self._below(level, number)
                if len(names):
                    of = {"rounds": self.max_iter, "seed": self.random_state, "names": ("node", level, number)}
                    settings = Settings(self.n_clusters, **of)
                    self._nodes[level, number] = run(X, names, settings).final[0]
                    count += 1
            touched = {number // self.width for number in touched}
        return count

    def _rows_of(self, names: Sequence[str]) -> F:
        """Rows by their names, which are sorted; no other row is touched."""
        found = self._rows.find(names)
        got = [self._rows.parts[b].block.ids[int(at)] for b, places in sorted(found.items()) for at in places]
        return self._rows.take(found)[0][sorted(range(len(got)), key=lambda i: got[i])]

    def _below(self, level: int, number: int) -> tuple[list[str], F]:
        """Names and places of the centres of a node's children."""
        children = range(number * self.width, (number + 1) * self.width)
        found = [(child, self._nodes[level + 1, child]) for child in children if (level + 1, child) in self._nodes]
        names = [f"{child}.{at}" for child, centres in found for at in range(len(centres))]
        return names, np.concatenate([centres for _, centres in found]) if found else np.zeros((0, 0))

    def _centres(self) -> F:
        return self._nodes[0, 0]

    def _statistics(self) -> State:
        nodes = sorted(self._nodes)
        found = [self._nodes[node] for node in nodes]
        sizes = np.array([len(centres) for centres in found], np.int64)
        return {"nodes": np.array(nodes, np.int64), "sizes": sizes, "centres": np.concatenate(found)}

    def _restore(self, state: Mapping[str, Any]) -> None:
        ends = np.cumsum(state["sizes"])[:-1]
        parts = np.split(np.asarray(state["centres"]), ends)
        self._nodes = {(int(a), int(b)): part for (a, b), part in zip(state["nodes"], parts, strict=True)}
        self._leaves = self._sent(state["ids"])


dc_k_means = DCKMeans
