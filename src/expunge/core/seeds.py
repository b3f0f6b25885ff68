"""Randomness that depends on names, never on the order in which things happen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def derive(seed: int, *names: str | int) -> int:
    """A 63-bit seed for one purpose.

    Args:
        seed: the verb's seed.
        names: what the randomness is for, for example ``("shuffle", epoch)``.

    Returns:
        A non-negative integer below 2**63.

    >>> derive(0, "shuffle", 1) == derive(0, "shuffle", 1) != derive(0, "shuffle", 2)
    True
    """
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def keyed_mark(key: str, seed: int, *names: str | int) -> bytes:
    """Where a key stands in the order that ``keyed_order`` draws: keys sort by their marks.

    >>> sorted("abc", key=lambda key: keyed_mark(key, 7)) == ["abc"[i] for i in keyed_order("abc", 7)]
    True
    """
    text = "\x1f".join(str(part) for part in (seed, *names, key))
    return hashlib.sha256(text.encode()).digest()


def keyed_order(keys: Iterable[str], seed: int, *names: str | int) -> list[int]:
    """A pseudo-random order of positions keyed by record id.

    Adding, removing or reordering records never changes the relative order of the others.

    Args:
        keys: one id per position.
        seed: the verb's seed.
        names: what the order is for.

    Returns:
        Positions, in the drawn order.

    >>> ids = ["a", "b", "c"]
    >>> [ids[i] for i in keyed_order(ids, 7)] == [ids[::-1][i] for i in keyed_order(ids[::-1], 7)]
    True
    """
    marks = [(keyed_mark(key, seed, *names), key) for key in keys]
    return sorted(range(len(marks)), key=lambda i: marks[i])
