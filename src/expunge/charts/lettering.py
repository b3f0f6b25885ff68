"""How much room text takes, without a font: an upper bound, so that nothing is cut off."""

from __future__ import annotations

import unicodedata

NARROW = frozenset("iljtfr.,:;|!'()[]/ -I")
BROAD = frozenset("mwMW@%—…→←")


def _em(character: str) -> float:
    if character in NARROW:
        return 0.42
    if character in BROAD or unicodedata.east_asian_width(character) in "WF":
        return 1.02
    return 0.72 if character.isupper() else 0.62


def text_width(text: str, size: float) -> float:
    """Pixels that a line of text takes at most, in a sans-serif face.

    Args:
        text: one line.
        size: () pixels. Font size.

    Returns:
        () pixels.
    """
    return size * sum(map(_em, text))


def shorten(text: str, width: float, size: float) -> str:
    """The text, or as much of its start as fits with an ellipsis."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, width: float, size: float, *, lines: int = 2) -> list[str]:
    """Break text between words into at most ``lines`` lines that fit; the last one is shortened if need be.

    Args:
        text: what is to be set; runs of white space count as one.
        width: () pixels. Room for a line.
        size: () pixels. Font size.
        lines: () lines. How many are allowed.

    Returns:
        One to ``lines`` strings.
    """
    words = text.split() or [""]
    rows = [words.pop(0)]
    while words:
        if text_width(f"{rows[-1]} {words[0]}", size) <= width:
            rows[-1] += " " + words.pop(0)
        elif len(rows) < lines:
            rows.append(words.pop(0))
        else:
            rows[-1] += " " + " ".join(words)
            break
    return [shorten(row, width, size) for row in rows]
