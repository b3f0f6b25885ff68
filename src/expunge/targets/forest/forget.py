"""Deleting rows from all trees at once. Source: Brophy & Lowd 2021 (DaRE), algorithm 2.

The deleted rows go down from the roots. Counts on their paths are lowered; thresholds that are gone are drawn again;
where another split is then the best, or a side of a random one is empty, what is below is grown anew from its rows.
Nothing is changed in place: nodes on the paths are written anew, all others are shared. A few rows go down to the
leaves at once, so that each step is one array operation for all nodes of their paths; what was done below a node that
is grown anew is dropped, which of many rows would be too much, so that these go down level by level.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from expunge.targets.forest.cuts import best, draw, highest, score, total
from expunge.targets.forest.grow import Task, grow, keys_at, parted
from expunge.targets.forest.keys import keyed
from expunge.targets.forest.pool import Forest, Ints, spans

_FEW = 8
"""So many rows go down at once."""


@dataclass(frozen=True)
class Effort:
    """What a deletion takes.

    Args:
        nodes: whose counts are lowered.
        redrawn: nodes at which thresholds are drawn again.
        rebuilt: nodes that split otherwise now, so that all below them is grown anew.
        rows: in those, counted once for each tree.
    """

    nodes: int
    redrawn: int
    rebuilt: int
    rows: int

    def __str__(self) -> str:
        return (
            f"counts of {self.nodes} nodes lowered, thresholds of {self.redrawn} drawn again,"
            f" what is below {self.rebuilt} grown anew from {self.rows} rows"
        )


@dataclass
class _Walk:
    """What one deletion has found so far; a place is where a node's number belongs: (node, side), or (tree, -1)."""

    nodes: int = 0
    redrawn: int = 0
    anew: list[tuple[Ints, Ints]] = dataclasses.field(default_factory=list)
    """Old nodes that are grown anew, and places."""
    moved: list[Ints] = dataclasses.field(default_factory=list)
    """New nodes with another split, whose children are grown anew."""


@dataclass(frozen=True)
class _Front:
    """Old nodes (U,), where the new ones belong (U, 2), and the deleted rows in them (i,) with their nodes' indices."""

    node: Ints
    place: Ints
    item: Ints
    row: Ints


@dataclass(frozen=True)
class _Paths:
    """A front and nodes below it, level after level: ``parent`` is an index into them, -1 of those of the front."""

    node: Ints
    parent: Ints
    side: Ints
    item: Ints
    row: Ints
    levels: list[slice]


def forget(forest: Forest, gone: Ints, trees: Ints, rows: Ints, *, dry: bool = False) -> tuple[Forest, Effort]:
    """A forest as it would have been grown without some rows; the one that is given stays as it is.

    Args:
        forest: from which.
        gone: (m,) the rows.
        trees: (i,) trees that hold them, and
        rows: (i,) which of them each tree holds.
        dry: only say what it would take; the forest that is returned is then the one given.
    """
    pool = forest.pool
    alive = forest.alive.copy()
    alive[gone] = False
    after = dataclasses.replace(forest, alive=alive)
    with pool.lock:
        sizes = pool.nodes.size, pool.cuts.size, pool.rows.size
        roots = forest.roots.copy()
        walk = _Walk()
        touched = np.unique(trees)
        places = np.stack([touched, np.full(len(touched), -1)], axis=1)
        front = _Front(roots[touched], places, np.searchsorted(touched, trees), rows)
        stride = forest.rule.depth + 1 if len(gone) <= _FEW else 1
        while len(front.node):
            front = _passed(after, roots, front, stride, walk)
        task, places = _tasks(after, walk)
        rebuilt = sum(len(nodes) for nodes in (*walk.moved, *(old for old, _ in walk.anew)))
        effort = Effort(walk.nodes, walk.redrawn, rebuilt, len(task.rows))
        if dry:
            pool.nodes.size, pool.cuts.size, pool.rows.size = sizes
            return forest, effort
        if rebuilt:
            _link(after, roots, places, grow(after, task))
    return dataclasses.replace(after, roots=roots), effort


def _tasks(forest: Forest, walk: _Walk) -> tuple[Task, Ints]:
    """What is to be grown, and where it belongs."""
    nodes = forest.pool.nodes
    none = np.empty(0, np.int64)
    anew = np.concatenate([none, *(old for old, _ in walk.anew)])
    rows, sizes = forest.rows_of(anew)
    moved = np.concatenate([none, *walk.moved])
    under, n = forest.rows_of(moved)
    under, halves, _ = parted(forest, under, n, np.cumsum(n) - n, nodes["attribute"][moved], nodes["code"][moved])
    side = np.tile([0, 1], len(moved))
    task = Task(
        np.concatenate([rows, under]),
        np.concatenate([sizes, halves]),
        np.concatenate([nodes["key"][anew], keyed(np.repeat(nodes["key"][moved], 2), side)]),
        np.concatenate([nodes["depth"][anew], np.repeat(nodes["depth"][moved], 2) + 1]).astype(np.int64),
    )
    places = [np.empty((0, 2), np.int64), *(place for _, place in walk.anew)]
    return task, np.concatenate([*places, np.stack([np.repeat(moved, 2), side], axis=1)])


def _link(forest: Forest, roots: Ints, places: Ints, nodes: Ints) -> None:
    """Write the numbers of nodes where they belong."""
    top = places[:, 1] < 0
    roots[places[top, 0]] = nodes[top]
    forest.pool.nodes["child"][places[~top, 0], places[~top, 1]] = nodes[~top]


@dataclass
class _Lists:
    """Thresholds of the nodes of one level, sorted by node, attribute and code."""

    node: Ints
    attribute: Ints
    code: Ints
    at: Ints
    left: Ints

    def keep(self, which: NDArray[np.bool_]) -> _Lists:
        """Some of them."""
        return self if which.all() else self.picked(np.flatnonzero(which))

    def picked(self, at: Ints) -> _Lists:
        """Those at some positions, in that order."""
        return _Lists(*(getattr(self, field.name)[at] for field in dataclasses.fields(self)))


def _down(forest: Forest, node: Ints, item: Ints, row: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Children that rows go to: the nodes, an index of a parent and the side of each, and their rows as in a front."""
    nodes = forest.pool.nodes
    inner = nodes["attribute"][node[item]] >= 0
    item, row = item[inner], row[inner]
    here = node[item]
    side = (forest.codes[row, nodes["attribute"][here]] > nodes["code"][here]).astype(np.int64)
    child, first, below = np.unique(nodes["child"][here, side], return_index=True, return_inverse=True)
    return child.astype(np.int64), item[first], side[first], below, row


def _routed(forest: Forest, front: _Front, stride: int) -> _Paths:
    """The front and what its rows meet in the levels below it, ``stride`` levels in all."""
    node, item, row = front.node, front.item, front.row
    found = [(node, np.full(len(node), -1), front.place[:, 1], item, row)]
    levels = [slice(0, len(node))]
    while len(levels) < stride and len(node):
        start, stop = levels[-1].start, levels[-1].stop
        node, parent, side, item, row = _down(forest, node, item, row)
        found.append((node, parent + start, side, item + stop, row))
        levels.append(slice(stop, stop + len(node)))
    return _Paths(*(np.concatenate(parts) for parts in zip(*found, strict=True)), levels)  # type: ignore[arg-type]


def _passed(forest: Forest, roots: Ints, front: _Front, stride: int, walk: _Walk) -> _Front:
    """Take rows out of nodes, write these anew, and say where the rows are then.

    Args:
        forest: with the rows gone.
        roots: to be written.
        front: where the rows are.
        stride: how many levels to pass.
        walk: to be added to.
    """
    pool, K, paths = forest.pool, forest.pool.classes, _routed(forest, front, stride)
    nodes, node = pool.nodes, paths.node
    gone = np.bincount(paths.item * K + forest.labels[paths.row], minlength=len(node) * K)
    counts = nodes["counts"][node] - gone.reshape(-1, K)
    before = nodes["attribute"][node]
    leaf = (before < 0) | (highest(counts) == total(counts))
    cuts = _lowered(forest, node, np.flatnonzero(~leaf), paths.item, paths.row)
    cuts, redrawn, stuck = _redrawn(forest, node, cuts, counts)
    n_cuts = np.bincount(cuts.node, minlength=len(node))
    attribute, code = np.full(len(node), -1), np.zeros(len(node), np.uint32)
    split = n_cuts > 0
    if split.any():
        worth = score(cuts.left, counts[cuts.node], forest.rule.criterion)
        chosen = best(worth, (np.cumsum(n_cuts) - n_cuts)[split], n_cuts[split])
        attribute[split], code[split] = cuts.attribute[chosen], cuts.code[chosen]
    split &= ~stuck
    same = split & (attribute == before) & (code == nodes["code"][node])
    valid = np.ones(len(node), bool)
    for level in paths.levels[1:]:
        valid[level] = (valid & same)[paths.parent[level]]
    kept = np.flatnonzero(valid & (leaf | split))
    new = np.full(len(node), -1)
    new[kept] = _written(forest, node[kept], counts[kept], attribute[kept], code[kept], same[kept], cuts, kept)
    place = np.stack([new[paths.parent], paths.side], axis=1)
    place[paths.levels[0]] = front.place
    _link(forest, roots, place[kept], new[kept])
    anew = valid & ~leaf & ~split
    walk.nodes += int(valid.sum())
    walk.redrawn += int(redrawn[valid].sum())
    walk.anew.append((node[anew], place[anew]))
    walk.moved.append(new[valid & split & ~same])
    on = (valid & same)[paths.item] & (paths.item >= paths.levels[-1].start)
    below, parent, side, item, row = _down(forest, node, paths.item[on], paths.row[on])
    return _Front(below, np.stack([new[parent], side], axis=1), item, row)


def _written(
    forest: Forest, node: Ints, counts: Ints, attribute: Ints, code: Ints, same: Ints, cuts: _Lists, of: Ints
) -> NDArray[np.int64]:
    """Write nodes into the pool in the place of old ones; the thresholds of each are those of the number ``of``."""
    nodes = forest.pool.nodes
    position = np.full(int(max(cuts.node.max(initial=-1), of.max(initial=-1))) + 1, -1)
    position[of] = np.arange(len(of))
    cuts = cuts.keep(position[cuts.node] >= 0)
    n_cuts = np.bincount(position[cuts.node], minlength=len(of))
    first = forest.pool.cuts.append(attribute=cuts.attribute, code=cuts.code, at=cuts.at, left=cuts.left)
    start = nodes.append(
        counts=counts,
        child=np.where(same[:, None], nodes["child"][node], -1),
        attribute=attribute,
        code=code,
        first_cut=first + np.cumsum(n_cuts) - n_cuts,
        n_cuts=n_cuts,
        **{name: nodes[name][node] for name in ("start", "size", "key", "depth")},
    )
    return np.arange(start, start + len(node))


def _lowered(forest: Forest, node: Ints, inner: Ints, item: Ints, row: Ints) -> _Lists:
    """Thresholds of the inner ones of some nodes, with the deleted rows out of their counts."""
    pool, K = forest.pool, forest.pool.classes
    size = np.zeros(len(node), np.int64)
    size[inner] = pool.nodes["n_cuts"][node[inner]]
    start = np.cumsum(size) - size
    at = spans(pool.nodes["first_cut"][node[inner]], size[inner])
    lists = _Lists(
        np.repeat(np.arange(len(node)), size), *(pool.cuts[n][at] for n in ("attribute", "code", "at", "left"))
    )
    n = size[item]
    which = spans(start[item], n)
    own = np.repeat(row, n)
    x, code = forest.codes[own, lists.attribute[which]], lists.code[which]
    under = x <= code
    random = pool.nodes["depth"][node] < forest.rule.random_levels
    same = np.where(random[lists.node[which]], under, x == code)
    lists.at = lists.at - np.bincount(which[same], minlength=len(at))
    taken = np.bincount(which[under] * K + forest.labels[own[under]], minlength=len(at) * K)
    lists.left = lists.left - taken.reshape(-1, K)
    return lists


def _redrawn(
    forest: Forest, node: Ints, cuts: _Lists, counts: Ints
) -> tuple[_Lists, NDArray[np.bool_], NDArray[np.bool_]]:
    """Without thresholds that are gone, with those that take their places; at which nodes any was drawn, and which
    nodes must be grown anew."""
    redrawn, stuck = np.zeros((2, len(node)), bool)
    bad = (cuts.at <= 0) | (total(cuts.left) >= total(counts)[cuts.node])
    if not bad.any():
        return cuts, redrawn, stuck
    nodes, d, most = forest.pool.nodes, forest.codes.shape[1], forest.rule.thresholds
    random = nodes["depth"][node] < forest.rule.random_levels
    segment = cuts.node * d + cuts.attribute
    hit, of, held = np.unique(segment, return_inverse=True, return_counts=True)
    lost = np.bincount(of[bad], minlength=len(hit))
    full = (lost > 0) & (held == most) & ~random[hit // d]
    if forest.rule.attributes is not None and forest.rule.attributes < d:
        stuck[hit[(lost == held) & ~full] // d] = True
        full &= ~stuck[hit // d]
    again = np.flatnonzero(full)
    cuts = cuts.keep(~bad & ~full[of])
    if not len(again):
        return cuts, redrawn, stuck
    owner, attribute = hit[again] // d, hit[again] % d
    rows, sizes = forest.rows_of(node[owner])
    within = np.repeat(np.arange(len(again)), sizes)
    x = forest.codes[rows, attribute[within]]
    key = keys_at(nodes["key"][node[owner]], attribute)
    drawn = draw(x, forest.labels[rows], within, key, forest.pool.classes, most)
    if forest.rule.attributes is not None and forest.rule.attributes < d:
        stuck[owner[np.bincount(drawn.segment, minlength=len(again)) == 0]] = True
    added = _Lists(owner[drawn.segment], attribute[drawn.segment], drawn.code, drawn.at, drawn.left)
    joined = _Lists(
        *(np.concatenate([getattr(cuts, f.name), getattr(added, f.name)]) for f in dataclasses.fields(_Lists))
    )
    order = np.argsort(joined.node * d + joined.attribute, kind="stable")
    redrawn[owner] = True
    return joined.picked(order), redrawn, stuck
