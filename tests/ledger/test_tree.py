"""RFC 9162 trees: the known vectors, and a naive recursive definition."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.ledger.tree import (
    EMPTY,
    Frontier,
    consistency_path,
    consistent,
    includes,
    inclusion_path,
    leaf_hash,
    node_hash,
    peaks_at,
    root_at,
)

# The leaves, roots and proofs of the reference implementation of RFC 6962 (certificate-transparency, merkle_tree_test).
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
NODE_2_3 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
NODE_4_7 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
NODE_6_7 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
NODE_4_5 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSION = {
    (0, 1): [],
    (0, 8): [LEAF_1, NODE_2_3, NODE_4_7],
    (5, 8): [LEAF_4, NODE_6_7, ROOTS[3]],
    (2, 3): [ROOTS[1]],
    (1, 5): [ROOTS[0], NODE_2_3, LEAF_4],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [LEAF_1, NODE_2_3, NODE_4_7],
    (6, 8): [NODE_4_5, NODE_6_7, ROOTS[3]],
    (2, 5): [NODE_2_3, LEAF_4],
}
bodies = st.lists(st.binary(max_size=3), max_size=40)


class Tree:
    """A tree in memory, made by the frontier alone."""

    def __init__(self, leaves):
        self.nodes, self.roots = {}, [EMPTY]
        edge = Frontier()
        for seq, leaf in enumerate(leaves):
            self.nodes |= {(level, seq >> level): value for level, value in edge.push(leaf_hash(leaf))}
            self.roots.append(edge.root())

    def read(self, level, index):
        return self.nodes[level, index]


def naive_root(leaves):
    """MTH of RFC 9162, 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m, leaves):
    """PATH of RFC 9162, 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m, leaves, whole):
    """SUBPROOF of RFC 9162, 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m <= k:
        return [*naive_subproof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


VECTORS = Tree([bytes.fromhex(text) for text in INPUTS])


def test_roots_are_those_of_rfc_6962():
    assert [root.hex() for root in VECTORS.roots] == [hashlib.sha256().hexdigest(), *ROOTS]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_inclusion_proofs_are_those_of_rfc_6962(index, size):
    assert [step.hex() for step in inclusion_path(index, size, VECTORS.read)] == INCLUSION[index, size]


@pytest.mark.parametrize(("first", "second"), CONSISTENCY)
def test_consistency_proofs_are_those_of_rfc_6962(first, second):
    assert [step.hex() for step in consistency_path(first, second, VECTORS.read)] == CONSISTENCY[first, second]


@given(bodies)
def test_every_root_and_proof_is_the_naive_one_and_verifies(leaves):
    tree, size = Tree(leaves), len(leaves)
    assert tree.roots == [naive_root(leaves[:n]) for n in range(size + 1)]
    assert root_at(size, tree.read) == tree.roots[size]
    for index in range(size):
        path = inclusion_path(index, size, tree.read)
        assert path == naive_path(index, leaves)
        assert includes(leaf_hash(leaves[index]), index, size, path, tree.roots[size])
    for first in range(1, size + 1):
        path = consistency_path(first, size, tree.read)
        assert path == naive_subproof(first, leaves, True)
        assert consistent(first, size, tree.roots[first], tree.roots[size], path)
    assert consistent(0, size, EMPTY, tree.roots[size], consistency_path(0, size, tree.read))


@given(bodies.filter(len), st.data())
def test_a_proof_of_anything_else_fails(leaves, data):
    tree, size = Tree(leaves), len(leaves)
    index = data.draw(st.integers(0, size - 1))
    root, leaf = tree.roots[size], leaf_hash(leaves[index])
    path = inclusion_path(index, size, tree.read)
    other = hashlib.sha256(b"other").digest()
    assert not includes(other, index, size, path, root)
    assert not includes(leaf, index, size, path, other)
    assert not includes(leaf, index, size, [*path, other], root)
    assert not includes(leaf, size, size, path, root)
    if path:
        spot = data.draw(st.integers(0, len(path) - 1))
        assert not includes(leaf, index, size, path[:spot] + path[spot + 1 :], root)
        assert not includes(leaf, index, size, [*path[:spot], other, *path[spot + 1 :]], root)
    first = data.draw(st.integers(1, size))
    proof = consistency_path(first, size, tree.read)
    assert not consistent(first, size, other, root, proof)
    assert not consistent(first, size, tree.roots[first], other, proof)
    assert not consistent(first, size, tree.roots[first], root, [*proof, other])
    for spot in range(len(proof)):
        assert not consistent(first, size, tree.roots[first], root, [*proof[:spot], other, *proof[spot + 1 :]])
        assert not consistent(first, size, tree.roots[first], root, proof[:spot] + proof[spot + 1 :])


@given(bodies, bodies)
def test_a_frontier_continues_where_another_ended(before, after):
    tree, whole = Tree(before), Tree(before + after)
    edge = Frontier(len(before), (tree.read(*peak) for peak in peaks_at(len(before))))
    for leaf in after:
        edge.push(leaf_hash(leaf))
    assert edge.root() == whole.roots[-1]


def test_no_proof_of_what_is_not_there():
    with pytest.raises(ValueError, match="no leaf 8 among 8"):
        inclusion_path(8, 8, VECTORS.read)
    with pytest.raises(ValueError, match="no consistency of 9 with 8"):
        consistency_path(9, 8, VECTORS.read)
    assert not consistent(5, 4, EMPTY, EMPTY, [])


def test_a_proof_reads_few_nodes():
    edge, nodes = Frontier(), {}
    for seq in range(5000):
        nodes |= {(level, seq >> level): value for level, value in edge.push(leaf_hash(b"%d" % seq))}
    reads = []

    def read(level, index):
        reads.append(level)
        return nodes[level, index]

    for index in range(0, 5000, 7):
        reads.clear()
        inclusion_path(index, 5000, read)
        assert len(reads) <= 2 * 13


def test_leaves_and_nodes_are_hashed_apart():
    assert leaf_hash(b"\x01" * 64) != node_hash(b"\x01" * 32, b"\x01" * 32)
