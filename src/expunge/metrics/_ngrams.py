"""Runs of tokens that one text takes from another. Source: Jang et al. 2023 (2210.01504), equation 1."""

from __future__ import annotations

from collections.abc import Sequence


def ngrams(tokens: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """All runs of n tokens, in order, each as often as it occurs."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def ngram_overlap(said: Sequence[int], wanted: Sequence[int], n: int) -> float:
    """Share of the n-grams of what was said that stand in what was wanted; 0 where it is shorter than n.

    o = sum over c in ngrams(said) of [c in ngrams(wanted)] / |ngrams(said)|

    >>> ngram_overlap([7, 8, 9, 7, 8], [5, 7, 8, 9], n=2)  # 78, 89 and 78 again of 78, 89, 97, 78
    0.75
    """
    found, there = ngrams(said, n), set(ngrams(wanted, n))
    return sum(gram in there for gram in found) / len(found) if found else 0.0
