"""Growing nodes level by level, all trees at once. Source: Brophy & Lowd 2021 (DaRE), algorithm 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.targets.forest.cuts import Cuts, best, draw, highest, score, total
from expunge.targets.forest.keys import U32, U64, between, keyed
from expunge.targets.forest.pool import Forest, Ints, spans

_ORDER = 2
"""The first two numbers of a node's key are its children's; attributes come after."""
_AT_ONCE = 1 << 20
"""Values that one sort takes in."""


@dataclass(frozen=True)
class Task:
    """Nodes to be grown.

    Args:
        rows: (R,) of one node after the other.
        sizes: (S,) how many each has.
        key: (S,) of their draws.
        depth: (S,) at which they stand.
    """

    rows: NDArray[np.int64]
    sizes: Ints
    key: U64
    depth: Ints


def keys_at(key: U64, attribute: Ints) -> U64:
    """Keys of the draws of a node's attributes."""
    return keyed(key, attribute + _ORDER)


def grow(forest: Forest, task: Task) -> NDArray[np.int64]:
    """Grow nodes, and all below them, into the pool.

    Returns:
        (S,) their numbers in the pool.
    """
    width = min(forest.rule.attributes or forest.codes.shape[1], forest.codes.shape[1])
    loads = np.cumsum(task.sizes * width) // _AT_ONCE
    found: list[NDArray[np.int64]] = []
    row = 0
    for part in np.split(np.arange(len(task.sizes)), np.flatnonzero(np.diff(loads)) + 1):
        more = int(task.sizes[part].sum())
        found.append(_grown(forest, task.rows[row : row + more], task.sizes[part], task.key[part], task.depth[part]))
        row += more
    return np.concatenate(found)


def _grown(forest: Forest, rows: NDArray[np.int64], sizes: Ints, key: U64, depth: Ints) -> NDArray[np.int64]:
    pool, K = forest.pool, forest.pool.classes
    order = rows.copy()
    start = np.cumsum(sizes) - sizes
    base = pool.rows.append(row=np.zeros(len(rows), np.int32))
    roots: NDArray[np.int64] | None = None
    parents = np.empty(0, np.int64)
    while len(sizes):
        segment = np.repeat(np.arange(len(sizes)), sizes)
        counts = np.bincount(segment * K + forest.labels[rows], minlength=len(sizes) * K).reshape(-1, K)
        open_ = (highest(counts) < sizes) & (depth < forest.rule.depth)
        cuts, owner = _cuts(forest, rows, sizes, key, depth, counts, np.flatnonzero(open_))
        n_cuts = np.bincount(owner, minlength=len(sizes))
        split = np.flatnonzero(n_cuts)
        attribute, code = np.full(len(sizes), -1), np.zeros(len(sizes), np.uint32)
        if len(split):
            worth = score(cuts.left, counts[owner], forest.rule.criterion)
            chosen = best(worth, (np.cumsum(n_cuts) - n_cuts)[split], n_cuts[split])
            attribute[split], code[split] = cuts.segment[chosen], cuts.code[chosen]
        first = pool.cuts.append(attribute=cuts.segment, code=cuts.code, at=cuts.at, left=cuts.left)
        made = np.arange(len(sizes)) + pool.nodes.append(
            counts=counts,
            child=np.full((len(sizes), 2), -1),
            start=base + start,
            size=sizes,
            key=key,
            depth=depth,
            attribute=attribute,
            code=code,
            first_cut=first + np.cumsum(n_cuts) - n_cuts,
            n_cuts=n_cuts,
        )
        if roots is None:
            roots = made
        else:
            pool.nodes["child"][parents[::2], 0], pool.nodes["child"][parents[1::2], 1] = made[::2], made[1::2]
        parents = np.repeat(made[split], 2)
        rows, sizes, start = parted(forest, order, sizes[split], start[split], attribute[split], code[split])
        key = keyed(np.repeat(key[split], 2), np.tile([0, 1], len(split)))
        depth = np.repeat(depth[split], 2) + 1
    pool.rows["row"][base : base + len(order)] = order
    return np.empty(0, np.int64) if roots is None else roots


def parted(
    forest: Forest, order: NDArray[np.int64], sizes: Ints, start: Ints, attribute: Ints, code: Ints
) -> tuple[NDArray[np.int64], Ints, Ints]:
    """Bring the rows that go left before those that go right, in ``order`` too; the two sides of each node."""
    places = spans(start, sizes)
    rows = order[places]
    node = np.repeat(np.arange(len(sizes)), sizes)
    right = forest.codes[rows, attribute[node]] > code[node]
    rows = rows[np.argsort(2 * node + right, kind="stable")]
    order[places] = rows
    n_right = np.bincount(node[right], minlength=len(sizes))
    both = np.stack([sizes - n_right, n_right], axis=1)
    return rows, both.ravel(), np.stack([start, start + both[:, 0]], axis=1).ravel()


def _cuts(
    forest: Forest, rows: NDArray[np.int64], sizes: Ints, key: U64, depth: Ints, counts: Ints, nodes: Ints
) -> tuple[Cuts, Ints]:
    """Thresholds of these nodes, their segments being attributes, and the node of each; sorted by node."""
    random = nodes[depth[nodes] < forest.rule.random_levels]
    greedy = nodes[depth[nodes] >= forest.rule.random_levels]
    start = np.cumsum(sizes) - sizes
    parts = []
    for some, make in ((greedy, _greedy), (random, _random)):
        if len(some):
            inside = rows[spans(start[some], sizes[some])]
            cuts, owner = make(forest, inside, sizes[some], key[some])
            parts.append((cuts, some[owner]))
    if len(parts) == 1:
        return parts[0]
    K = forest.pool.classes
    none = Cuts(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.int64), np.empty((0, K), np.int64))
    parts.append((none, np.empty(0, np.int64)))
    owner = np.concatenate([of for _, of in parts])
    order = np.argsort(owner, kind="stable")
    fields = ("segment", "code", "at", "left")
    joined = (np.concatenate([getattr(cuts, field) for cuts, _ in parts])[order] for field in fields)
    return Cuts(*joined), owner[order]


def _preferred(
    forest: Forest, rows: NDArray[np.int64], sizes: Ints, key: U64, most: int
) -> tuple[NDArray[np.int64], U32]:
    """(S, most) attributes of each node, the first in a keyed order that are not constant, sorted (-1: there are not
    so many), and the codes (R, most) of its rows."""
    d = forest.codes.shape[1]
    order = np.argsort(keys_at(key[:, None], np.arange(d)[None]), axis=1)
    start = np.cumsum(sizes) - sizes
    head = np.sort(order[:, :most], axis=1)
    x = _codes_of(forest, rows, sizes, head)
    poor = np.flatnonzero(~_spread(x, start, sizes).all(axis=1))
    if len(poor):
        n = sizes[poor]
        at = spans(start[poor], n)
        fits = _spread(_codes_of(forest, rows[at], n, order[poor]), np.cumsum(n) - n, n)
        rank = np.argsort(~fits, axis=1, kind="stable")[:, :most]
        picked = np.take_along_axis(order[poor], rank, axis=1)
        head[poor] = np.sort(np.where(np.take_along_axis(fits, rank, axis=1), picked, -1), axis=1)
        x[at] = _codes_of(forest, rows[at], n, head[poor])
    return head, x


def _codes_of(forest: Forest, rows: NDArray[np.int64], sizes: Ints, attributes: Ints) -> U32:
    """(R, m) codes of rows in the attributes (S, m) of their nodes."""
    return forest.codes[rows[:, None], np.repeat(attributes, sizes, axis=0)]


def _spread(x: U32, start: Ints, sizes: Ints) -> NDArray[np.bool_]:
    """(S, m) whether codes take more than one value in the nodes."""
    return np.logical_or.reduceat(x != np.repeat(x[start], sizes, axis=0), start, axis=0)


def _greedy(forest: Forest, rows: NDArray[np.int64], sizes: Ints, key: U64) -> tuple[Cuts, Ints]:
    d = forest.codes.shape[1]
    most = min(forest.rule.attributes or d, d)
    if most == d:
        attributes, x = np.tile(np.arange(d), (len(sizes), 1)), forest.codes[rows]
    else:
        attributes, x = _preferred(forest, rows, sizes, key, most)
    node = np.repeat(np.arange(len(sizes)), sizes)
    segment = node[:, None] * most + np.arange(most)
    label = np.broadcast_to(forest.labels[rows][:, None], x.shape)
    if (attributes < 0).any():
        real = attributes[node] >= 0
        x, label, segment = x[real], label[real], segment[real]
    keys = keys_at(key[:, None], attributes).ravel()
    cuts = draw(x.ravel(), label.ravel(), segment.ravel(), keys, forest.pool.classes, forest.rule.thresholds)
    return Cuts(attributes.ravel()[cuts.segment], cuts.code, cuts.at, cuts.left), cuts.segment // most


def _random(forest: Forest, rows: NDArray[np.int64], sizes: Ints, key: U64) -> tuple[Cuts, Ints]:
    attributes, x = _preferred(forest, rows, sizes, key, 1)
    attribute, x, K = attributes[:, 0], x[:, 0], forest.pool.classes
    start = np.cumsum(sizes) - sizes
    node = np.repeat(np.arange(len(sizes)), sizes)
    low, high = np.minimum.reduceat(x, start), np.maximum.reduceat(x, start)
    fits = np.flatnonzero(attribute >= 0)
    code = np.zeros(len(sizes), np.uint32)
    code[fits] = between(keys_at(key[fits], attribute[fits]), low[fits], high[fits])
    under = x <= code[node]
    left = np.bincount(node[under] * K + forest.labels[rows[under]], minlength=len(sizes) * K).reshape(-1, K)[fits]
    return Cuts(attribute[fits], code[fits], total(left), left), fits
