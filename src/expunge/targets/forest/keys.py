"""Draws that depend on what they are for, never on who else is in the data. Source: Steele et al. 2014 (splitmix64)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
U32 = NDArray[np.uint32]

STRIDE = np.uint64(0x9E3779B97F4A7C15)
_ONE, _TWO = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_REACH = 2.0**128
"""No finite float32 is larger."""


def mixed(key: U64) -> U64:
    """Scramble 64-bit keys, in place; every bit of the result depends on every bit of the key."""
    key ^= key >> np.uint64(30)
    key *= _ONE
    key ^= key >> np.uint64(27)
    key *= _TWO
    key ^= key >> np.uint64(31)
    return key


def keyed(key: U64, number: NDArray[np.integer]) -> U64:
    """Keys for the numbered draws of something that has a key."""
    return mixed(key + (number.astype(np.uint64) + np.uint64(1)) * STRIDE)


def codes_of(values: NDArray[np.float32]) -> U32:
    """Integers in the order of the values; a value's code does not depend on the others.

    >>> codes = codes_of(np.array([-2.5, -0.0, 0.0, 1.5], np.float32))
    >>> bool(codes[0] < codes[1] == codes[2] < codes[3]), values_of(codes).tolist()
    (True, [-2.5, 0.0, 0.0, 1.5])
    """
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31)).astype(np.uint32)


def values_of(codes: U32) -> NDArray[np.float32]:
    """The values that have these codes."""
    bits = np.where(codes >> np.uint32(31), codes & np.uint32((1 << 31) - 1), ~codes)
    return bits.astype(np.uint32).view(np.float32)


def between(key: U64, low: U32, high: U32) -> U32:
    """A cut drawn uniformly from [low, high), which stays the same while it lies in a narrower interval.

    Draws fall on the whole line; each that misses narrows the line on its side. What a draw outside of an interval
    does is the same for every interval within, so that the first hit of the wider one, where it lies in the narrower
    one, is its first hit too; given that, it is uniform on it.

    Args:
        key: (n,) what the draws are for.
        low: (n,) codes.
        high: (n,) codes, larger than ``low``.

    Returns:
        (n,) codes of the largest float32 values that are not above the cuts.
    """
    low_value, high_value = values_of(low).astype(float), values_of(high).astype(float)
    found = np.zeros(len(key))
    bottom, top = np.full(len(key), -_REACH), np.full(len(key), _REACH)
    open_, step = np.arange(len(key)), 0
    while len(open_):
        share = (keyed(key[open_], np.full(len(open_), step)) >> np.uint64(11)) * 2.0**-53
        drawn = bottom[open_] + share * (top[open_] - bottom[open_])
        under, over = drawn < low_value[open_], drawn >= high_value[open_]
        bottom[open_[under]], top[open_[over]] = drawn[under], drawn[over]
        hit = ~(under | over)
        found[open_[hit]] = drawn[hit]
        open_, step = open_[~hit], step + 1
    near = found.astype(np.float32)
    return codes_of(near) - (near.astype(float) > found).astype(np.uint32)
