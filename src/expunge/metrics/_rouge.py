"""ROUGE of pairs of texts, on stemmed words. Source: Lin 2004, as the package rouge-score counts it.

Values equal the package's. It stems every word of every text again and fills a table for each pair; here a word is
stemmed once, and a subsequence is found by arithmetic on whole rows of bits (Hyyrö 2004).
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError, MissingExtra

WORD = re.compile(r"[a-z0-9]+")
UNSTEMMED = 3
"""Words up to this length stay as they are."""


@functools.cache
def _stemmer() -> Any:
    try:
        from nltk.stem.porter import PorterStemmer
    except ImportError as error:
        raise MissingExtra("a ROUGE score", "hf", "rouge_score") from error
    return PorterStemmer()


@functools.lru_cache(maxsize=2**16)
def _stem(word: str) -> str:
    return _stemmer().stem(word)


@functools.lru_cache(maxsize=2**12)
def words(text: str) -> tuple[str, ...]:
    """The stemmed words of a text; what is no Latin letter or digit separates them.

    Raises:
        MissingExtra: the stemmer is not installed.

    >>> words("Cats, running at the caf\u00e9.")
    ('cat', 'run', 'at', 'the', 'caf')
    """
    return tuple(_stem(word) if len(word) > UNSTEMMED else word for word in WORD.findall(text.lower()))


def in_common(one: Sequence[str], two: Sequence[str]) -> int:
    """Words that two texts share, in any order, each as often as both have it.

    >>> in_common(["a", "b", "b", "c"], ["b", "a", "b", "b"])
    3
    """
    return (Counter(one) & Counter(two)).total()


def subsequence(one: Sequence[str], two: Sequence[str]) -> int:
    """Length of the longest common subsequence of two texts.

    Bit i of a row is 0 where the length grows at word i of ``one``; a word of ``two`` moves the row on by
    row = (row + u) | (row - u),  u = row & places of the word in ``one``.

    >>> subsequence(["a", "b", "c", "d", "b"], ["b", "d", "c", "b", "a"])  # b c b or b d b
    3
    """
    places: dict[str, int] = {}
    for i, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << i
    whole = (1 << len(one)) - 1
    row = whole
    for word in two:
        found = row & places.get(word, 0)
        if found:
            row = (row + found | row - found) & whole
    return len(one) - row.bit_count()


COUNT: dict[str, Callable[[Sequence[str], Sequence[str]], int]] = {"rouge1": in_common, "rougeL": subsequence}


def _share(part: str, common: int, wanted: int, said: int) -> float:
    precision, recall = common / max(said, 1), common / max(wanted, 1)
    if part != "fmeasure":
        return recall if part == "recall" else precision
    return 2 * precision * recall / (precision + recall) if common else 0.0


def rouge(kind: str, part: str, text: Sequence[str], generated: Sequence[str]) -> np.ndarray:
    """One number a pair.

    Args:
        kind: ``rouge1`` or ``rougeL``.
        part: ``recall``, ``precision`` or ``fmeasure``.
        text: (B,) the records' answers.
        generated: (B,) what was said.

    Raises:
        EvidenceError: the columns differ in length.
        MissingExtra: the package rouge-score, which brings the stemmer, is not installed.
    """
    if len(text) != len(generated):
        raise EvidenceError("answers and generated texts differ in number", why=f"{len(text)} against {len(generated)}")
    found: list[float] = []
    for want, got in zip(text, generated, strict=True):
        wanted, said = words(want), words(got)
        found.append(_share(part, COUNT[kind](wanted, said), len(wanted), len(said)))
    return np.array(found, dtype=np.float64)
