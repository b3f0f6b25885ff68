"""Whether a text says an answer. Source: SQuAD's normalisation, Rajpurkar et al. 2016 (1606.05250)."""

from __future__ import annotations

import re
import unicodedata

ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """Lower case, without articles and punctuation, one space between words and at both ends.

    >>> normalised("The  U.S. – an Owl!")
    ' us owl '
    """
    lower = unicodedata.normalize("NFKC", text).casefold()
    letters = "".join(c for c in lower if not unicodedata.category(c).startswith("P"))
    return f" {' '.join(ARTICLES.sub(' ', letters).split())} "


def says(said: str, answer: str, others: str = "") -> bool:
    """Whether the words of the answer stand in the text, in a row; or those of another wording of it.

    Args:
        said: the text.
        answer: what is looked for; one that has no words is never said.
        others: other wordings, one a line.

    >>> says("It was in the Oslo Fjord.", "Oslo fjord"), says("In Osloer.", "Oslo"), says("By the sea.", "Oslo", "sea")
    (True, False, True)
    """
    wanted = (normalised(wording) for wording in (answer, *others.splitlines()))
    found = normalised(said)
    return any(words.strip() and words in found for words in wanted)
