"""A forest in a form that follows from what it is, not from how it came to be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from expunge.core.canonical import digest, digest_bytes
from expunge.targets.forest.keys import U32
from expunge.targets.forest.pool import Forest, Ints, Pool, Rule, spans


def levels(forest: Forest) -> Iterator[NDArray[np.int64]]:
    """Nodes of all trees by depth, from left to right, tree after tree."""
    here = forest.roots.astype(np.int64)
    while len(here):
        yield here
        inner = here[forest.pool.nodes["attribute"][here] >= 0]
        here = forest.pool.nodes["child"][inner].ravel().astype(np.int64)


def shape_digest(forest: Forest) -> bytes:
    """Hash of what the trees predict from: splits and the class counts of the nodes."""
    hasher, nodes = hashlib.sha256(), forest.pool.nodes
    present = np.unique(forest.labels[forest.alive])
    for here in levels(forest):
        attribute = nodes["attribute"][here]
        code = np.where(attribute >= 0, nodes["code"][here], 0).astype(np.uint32)
        counts = np.ascontiguousarray(nodes["counts"][here][:, present])
        for array in (np.array([len(here)], np.int64), attribute.astype(np.int32), code, counts):
            hasher.update(array.tobytes())
    return hasher.digest()


def compact(forest: Forest) -> Forest:
    """The same forest in a pool of its own, with nothing of rows and classes that are gone.

    The order of nodes and rows follows from the forest alone, so that equal forests give equal arrays.
    """
    alive, old = forest.alive, forest.pool
    present = np.unique(forest.labels[alive])
    pool = Pool(len(present))
    number = np.cumsum(alive) - 1
    all_levels = list(levels(forest))
    here = np.concatenate(all_levels)
    values = {name: old.nodes[name][here] for name in ("key", "depth", "attribute", "n_cuts")}
    counts = old.nodes["counts"][here][:, present]
    inner = values["attribute"] >= 0
    n = counts.sum(axis=1)
    child = np.full((len(here), 2), -1)
    child[inner] = len(forest.roots) + np.arange(2 * inner.sum()).reshape(-1, 2)
    start = np.zeros(len(here), np.int64)
    start[: len(forest.roots)] = np.cumsum(n[: len(forest.roots)]) - n[: len(forest.roots)]
    stop = 0
    for level in all_levels:
        some = np.arange(stop, stop + len(level))[inner[stop : stop + len(level)]]
        stop += len(level)
        start[child[some, 0]] = start[some]
        start[child[some, 1]] = start[some] + n[child[some, 0]]
    n_cuts = np.where(inner, values["n_cuts"], 0)
    cuts = spans(old.nodes["first_cut"][here[inner]], values["n_cuts"][inner])
    pool.cuts.append(
        **{name: old.cuts[name][cuts] for name in ("attribute", "code", "at")}, left=old.cuts["left"][cuts][:, present]
    )
    code = np.where(inner, old.nodes["code"][here], 0)
    first = np.where(inner, np.cumsum(n_cuts) - n_cuts, 0)
    values |= {"counts": counts, "child": child, "start": start, "size": n, "code": code}
    pool.nodes.append(**{**values, "n_cuts": n_cuts, "first_cut": first})
    leaves = np.flatnonzero(~inner)
    rows, sizes = forest.rows_of(here[leaves])
    packed = (np.repeat(np.arange(len(leaves)), sizes) << 32) | rows
    packed.sort()
    placed = np.zeros(len(rows), np.int32)
    placed[spans(start[leaves], sizes)] = number[packed & 0xFFFFFFFF]
    pool.rows.append(row=placed)
    pool.settle()
    labels = np.searchsorted(present, forest.labels[alive])
    roots = np.arange(len(forest.roots))
    return Forest(forest.rule, pool, roots, forest.codes[alive], labels, np.ones(int(alive.sum()), bool))


def arrays(forest: Forest) -> dict[str, NDArray[np.generic]]:
    """All arrays of a compact forest's pool, by name."""
    tables = compact(forest).pool.tables
    return {f"{t}_{name}": table[name][: table.size].copy() for t, table in tables.items() for name in table.names}


def checksum(state: Mapping[str, NDArray[np.generic]]) -> str:
    """Digest of arrays, which shows whether a file of them was damaged."""
    return digest({name: digest_bytes(state[name].tobytes()) for name in state})


def restored(state: Mapping[str, NDArray[np.generic]], rule: Rule, trees: int, codes: U32, labels: Ints) -> Forest:
    """The forest that gave these arrays.

    Args:
        state: of ``arrays``.
        rule: how it is drawn.
        trees: how many it has.
        codes: (n, d) of its rows, sorted as they were.
        labels: (n,) class numbers.
    """
    pool = Pool(state["nodes_counts"].shape[1])
    for t, table in pool.tables.items():
        table.append(**{name: np.asarray(state[f"{t}_{name}"]) for name in table.names})
    pool.settle()
    return Forest(rule, pool, np.arange(trees), codes, labels, np.ones(len(codes), bool))
