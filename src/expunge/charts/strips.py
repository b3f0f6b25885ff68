"""Probability of each token of an answer, one row of bars a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.charts.lettering import shorten, text_width
from expunge.charts.markup import Markup, element
from expunge.charts.svg import (
    FIRST,
    GRID,
    INK,
    LINE,
    MUTED,
    NARROW,
    SIZE,
    axis_title,
    line,
    picture,
    rectangle,
    text,
)

EDGE = 4.0
TALL = 26.0
GAP = 5.0
CELL = 30.0
WORD = 64.0


@dataclass(frozen=True)
class Strip:
    """One answer.

    Args:
        label: names it.
        rows: (R,) name of a model and the (T,) probabilities that it gives to the tokens.
        tokens: (T,) text of each token; empty where only positions are shown.
    """

    label: str
    rows: Sequence[tuple[str, Sequence[float]]]
    tokens: Sequence[str] = ()


def _chunk(strip: Strip, start: int, stop: int, top: float, names: float, cell: float) -> list[Markup]:
    parts: list[Markup] = []
    for number, (name, shares) in enumerate(strip.rows):
        base = top + (TALL + GAP) * number + TALL
        room = names - 8
        parts.append(text(EDGE, base - TALL / 2 + SIZE * 0.35, shorten(name, room, SIZE), kind="label"))
        for place, share in enumerate(shares[start:stop]):
            left = names + cell * place
            high = TALL * min(1.0, max(0.0, share))
            hint = f"{name}, token {start + place + 1}: {share:.2f}"
            bar = rectangle(left + 2, base - high, cell - 4, high, f"fill: {FIRST}")
            frame = rectangle(left + 2, base - TALL, cell - 4, TALL, f"fill: none; stroke: {GRID}")
            parts.append(element("g", {"class": "token"}, element("title", None, hint), frame, bar))
        wide = cell * len(shares[start:stop])
        parts.append(line(names + 2, base, names + wide - 2, base, f"stroke: {INK}; stroke-width: 1"))
    foot = top + (TALL + GAP) * len(strip.rows) + LINE * 0.7
    free = float("-inf")
    for place in range(start, stop):
        shown = shorten(strip.tokens[place], cell - 3, SIZE) if strip.tokens else str(place + 1)
        middle, half = names + cell * (place - start + 0.5), text_width(shown, SIZE) / 2
        if middle - half >= free:
            parts.append(text(middle, foot, shown, anchor="middle", style=f"fill: {MUTED}", kind="tick"))
            free = middle + half + 1
    return parts


def token_strips(strips: Sequence[Strip], *, title: str, description: str, width: float = 720.0) -> Markup:
    """Draw the answers below one another. A full bar is probability 1; long answers go on in the next line.

    Args:
        strips: the answers.
        title: name of the chart.
        description: what it shows, for those who cannot see it.
        width: () pixels. Of the whole chart.

    Returns:
        An SVG element.
    """
    longest = max((text_width(name, SIZE) for strip in strips for name, _ in strip.rows), default=0.0)
    names = min(longest + 14, (0.3 if width <= NARROW else 0.22) * width)
    parts: list[Markup] = []
    top = 2.0
    for strip in strips:
        cell = WORD if strip.tokens else CELL
        per = max(1, int((width - names - EDGE) // cell))
        head, high = axis_title(strip.label, EDGE, top + SIZE, width - 2 * EDGE)
        parts.append(element("g", {"style": "font-weight: 600"}, head))
        top += high + 6
        count = max((len(shares) for _, shares in strip.rows), default=0)
        for start in range(0, max(count, 1), per):
            parts += _chunk(strip, start, min(start + per, count), top, names, cell)
            top += (TALL + GAP) * len(strip.rows) + LINE + 10
        top += 8
    return picture(width, top, title, description, *parts)
