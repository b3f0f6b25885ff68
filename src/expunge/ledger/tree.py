"""Merkle trees: hashes, inclusion and consistency proofs. Source: RFC 9162, section 2.1."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

Read = Callable[[int, int], bytes]
"""(level, index) -> the hash over leaves index * 2**level up to, not including, (index + 1) * 2**level."""
EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""


def leaf_hash(body: bytes) -> bytes:
    """SHA-256 of a zero byte and a leaf.

    >>> leaf_hash(b"").hex()[:8]
    '6e340b9c'
    """
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of a one byte and two children.

    >>> node_hash(leaf_hash(b""), leaf_hash(b"\\x00")).hex()[:8]
    'fac54203'
    """
    return hashlib.sha256(b"\x01" + left + right).digest()


def peaks_at(size: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the largest full subtrees that make up a tree, from left to right.

    >>> list(peaks_at(6))
    [(2, 0), (1, 2)]
    """
    start = 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            yield level, start >> level
            start += 1 << level


class Frontier:
    """The right edge of a tree, to which leaves are added: O(log n) memory, one hash a leaf on average.

    Args:
        size: leaves so far.
        peaks: hashes of ``peaks_at(size)``.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self._peaks = [(level, value) for (level, _), value in zip(peaks_at(size), peaks, strict=True)]

    def push(self, leaf: bytes) -> list[tuple[int, bytes]]:
        """Add the hash of a leaf.

        Returns:
            (level, hash) of each subtree that is full now and was not before; its index is ``(size - 1) >> level``.
        """
        made, level = [(0, leaf)], 0
        while self._peaks and self._peaks[-1][0] == level:
            leaf = node_hash(self._peaks.pop()[1], leaf)
            level += 1
            made.append((level, leaf))
        self._peaks.append((level, leaf))
        self.size += 1
        return made

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._peaks:
            return EMPTY
        found = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found


def _split(count: int) -> int:
    """The largest power of two below a count above 1."""
    return 1 << ((count - 1).bit_length() - 1)


def _over(start: int, stop: int, read: Read) -> bytes:
    count = stop - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return read(level, start >> level)
    middle = start + _split(count)
    return node_hash(_over(start, middle, read), _over(middle, stop, read))


def root_at(size: int, read: Read) -> bytes:
    """The root over the first ``size`` leaves."""
    return _over(0, size, read) if size else EMPTY


def inclusion_path(index: int, size: int, read: Read) -> list[bytes]:
    """PATH(m, D_n): what turns the hash of leaf ``index`` into the root over ``size`` leaves.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} among {size}")
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(_over(middle, stop, read))
            stop = middle
        else:
            path.append(_over(start, middle, read))
            start = middle
    return path[::-1]


def consistency_path(first: int, second: int, read: Read) -> list[bytes]:
    """PROOF(m, D_n): what shows that the tree over ``first`` leaves is the beginning of that over ``second``.

    Raises:
        ValueError: the first is larger than the second, or negative.
    """
    if not 0 <= first <= second:
        raise ValueError(f"no consistency of {first} with {second}")
    if first in (0, second):
        return []
    path: list[bytes] = []
    start, stop, whole = 0, second, True
    while first != stop:
        middle = start + _split(stop - start)
        if first <= middle:
            path.append(_over(middle, stop, read))
            stop = middle
        else:
            path.append(_over(start, middle, read))
            start, whole = middle, False
    if not whole:
        path.append(_over(start, stop, read))
    return path[::-1]


def includes(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether a path proves a leaf's hash (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    fn, sn, found = index, size - 1, leaf
    for step in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node_hash(step, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node_hash(found, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def consistent(first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether a path proves that one tree continues another (RFC 9162, 2.1.4.2)."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path and first_root == EMPTY
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    if not path or not steps:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    one = two = steps[0]
    for step in steps[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            one, two = node_hash(step, one), node_hash(step, two)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            two = node_hash(two, step)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and one == first_root and two == second_root
