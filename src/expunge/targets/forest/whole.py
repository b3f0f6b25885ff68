"""A forest as a whole: which tree holds which row, growing all trees, and what they predict."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from expunge.targets.forest.grow import Task, grow
from expunge.targets.forest.keys import U32, U64, keyed
from expunge.targets.forest.pool import Forest, Ints, Pool, Rule

_AT_ONCE = 1 << 18


def plant(rule: Rule, codes: U32, labels: Ints, classes: int, key: U64, held: list[NDArray[np.int64]]) -> Forest:
    """Grow trees.

    Args:
        rule: how they are drawn.
        codes: (n, d) order codes.
        labels: (n,) class numbers.
        classes: how many.
        key: (T,) of each tree.
        held: rows that each tree holds.
    """
    pool = Pool(classes)
    forest = Forest(rule, pool, np.empty(0, np.int64), codes, labels, np.ones(len(codes), bool))
    sizes = np.array([len(rows) for rows in held], np.int64)
    roots = grow(forest, Task(np.concatenate(held), sizes, key, np.zeros(len(held), np.int64)))
    pool.settle()
    return dataclasses.replace(forest, roots=roots)


def holders(row_key: U64, trees: int, each: int | None) -> NDArray[np.bool_]:
    """(n, T) which trees hold a row: all, or those with the smallest of its draws (Occ(q), DynFrs).

    Args:
        row_key: (n,) of the rows.
        trees: T.
        each: q, how many trees hold a row; None: all.
    """
    if each is None or each >= trees:
        return np.ones((len(row_key), trees), bool)
    held = np.zeros((len(row_key), trees), bool)
    for some in np.array_split(np.arange(len(row_key)), max(1, len(row_key) * trees // _AT_ONCE)):
        order = np.argsort(keyed(row_key[some, None], np.arange(trees)[None]), axis=1)[:, :each]
        held[some[:, None], order] = True
    return held


def probabilities(forest: Forest, codes: U32) -> NDArray[np.float64]:
    """(n, K) mean over the trees that hold rows of the shares of classes in a row's leaf."""
    parts = max(1, len(codes) * len(forest.roots) // _AT_ONCE)
    return np.concatenate([_probabilities(forest, some) for some in np.array_split(codes, parts)])


def _probabilities(forest: Forest, codes: U32) -> NDArray[np.float64]:
    nodes = forest.pool.nodes
    roots = forest.roots[nodes["counts"][forest.roots].sum(axis=1) > 0]
    at = np.repeat(roots, len(codes)).astype(np.int64)
    row = np.tile(np.arange(len(codes)), len(roots))
    open_ = np.arange(len(at))
    while len(open_):
        here = at[open_]
        inner = nodes["attribute"][here] >= 0
        open_, here = open_[inner], here[inner]
        side = codes[row[open_], nodes["attribute"][here]] > nodes["code"][here]
        at[open_] = nodes["child"][here, side.astype(np.int64)]
    counts = nodes["counts"][at].astype(float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return shares.reshape(len(roots), len(codes), -1).sum(axis=0) / len(roots)
