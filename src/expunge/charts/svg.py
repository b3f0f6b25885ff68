"""The elements of a chart and their colours.

Colours are custom properties of the page with a fallback, so that a chart follows light and dark and also stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from expunge.charts.lettering import shorten, text_width, wrap
from expunge.charts.markup import Markup, element, join, number
from expunge.charts.scale import Scale, tick_texts

SIZE = 13.0
LINE = 17.0
NARROW = 520.0
INK = "currentColor"
MUTED = "var(--chart-muted, currentColor)"
GRID = "var(--chart-grid, #80808055)"
PAPER = "var(--chart-paper, #ffffff)"
FIRST = "var(--chart-first, #0072b2)"
SECOND = "var(--chart-second, #c04e00)"
HALO = f"paint-order: stroke; stroke: {PAPER}; stroke-width: 3px; stroke-linejoin: round"
BAND = "var(--chart-band, #0f8a5f2e)"


def picture(width: float, height: float, title: str, description: str, *children: object) -> Markup:
    """The whole chart, with a name and a description for those who cannot see it."""
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "role": "img",
        "viewBox": f"0 0 {number(width)} {number(height)}",
        "width": width,
        "height": height,
        "style": f"font: {number(SIZE)}px/1.3 system-ui, sans-serif; color: inherit; fill: currentColor",
    }
    return element("svg", attributes, element("title", None, title), element("desc", None, description), *children)


def text(x: float, y: float, content: object, *, anchor: str = "start", style: str = "", kind: str = "") -> Markup:
    """One line of text; ``kind`` becomes its class."""
    where = {"class": kind or None, "x": x, "y": y, "text-anchor": None if anchor == "start" else anchor}
    return element("text", {**where, "style": style or None}, content)


def line(x1: float, y1: float, x2: float, y2: float, style: str, *, kind: str = "") -> Markup:
    """A straight line."""
    return element("line", {"class": kind or None, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "style": style})


def rectangle(x: float, y: float, width: float, height: float, style: str, *, kind: str = "") -> Markup:
    """A rectangle; a negative extent counts as none."""
    place = {"class": kind or None, "x": x, "y": y, "width": max(width, 0.0), "height": max(height, 0.0)}
    return element("rect", {**place, "style": style})


def paragraph(x: float, y: float, rows: Sequence[str], *, style: str = "", kind: str = "") -> Markup:
    """Lines of text below one another; ``y`` is the first baseline."""
    return join(*(text(x, y + LINE * i, row, style=style, kind=kind) for i, row in enumerate(rows)))


def x_axis(scale: Scale, ticks: Sequence[float], top: float, bottom: float, *, signed: bool = False) -> Markup:
    """Grid lines with their numbers below; numbers that would touch their neighbour are left out."""
    parts: list[Markup] = []
    free = float("-inf")
    for tick, label in zip(ticks, tick_texts(ticks, signed=signed), strict=True):
        x, half = scale(tick), text_width(label, SIZE) / 2
        parts.append(line(x, top, x, bottom, f"stroke: {GRID}"))
        if x - half > free:
            parts.append(text(x, bottom + LINE, label, anchor="middle", style=f"fill: {MUTED}", kind="tick"))
            free = x + half + 4
    return join(*parts)


def widest(ticks: Sequence[float], *, signed: bool = False) -> float:
    """Pixels of the longest number of an axis."""
    return max(text_width(label, SIZE) for label in tick_texts(ticks, signed=signed))


def y_axis(scale: Scale, ticks: Sequence[float], left: float, right: float) -> Markup:
    """Grid lines with their numbers to the left."""
    parts: list[Markup] = []
    for tick, label in zip(ticks, tick_texts(ticks), strict=True):
        y = scale(tick)
        parts.append(line(left, y, right, y, f"stroke: {GRID}"))
        parts.append(text(left - 8, y + SIZE * 0.35, label, anchor="end", style=f"fill: {MUTED}", kind="tick"))
    return join(*parts)


def axis_title(content: str, x: float, y: float, width: float) -> tuple[Markup, float]:
    """What an axis shows, in at most three lines, and the height that they take."""
    rows = wrap(content, width, SIZE, lines=3)
    return paragraph(x, y, rows, style=f"fill: {INK}", kind="axis-title"), LINE * len(rows)


def legend(entries: Sequence[tuple[Markup, str]], x: float, y: float, right: float) -> tuple[Markup, float]:
    """Keys with their words, flowing into rows.

    Args:
        entries: (mark drawn around the origin within 18 x 14 pixels, words).
        x: () pixels. Left edge.
        y: () pixels. Baseline of the first row.
        right: () pixels. Where a row ends.

    Returns:
        The markup and its height in pixels.
    """
    parts: list[Markup] = []
    left, row = x, 0
    for mark, name in entries:
        words = shorten(name, right - x - 24, SIZE)
        wide = 24 + text_width(words, SIZE)
        if left > x and left + wide > right:
            left, row = x, row + 1
        base = y + row * (LINE + 2)
        parts.append(element("g", {"transform": f"translate({number(left + 9)} {number(base - 4.5)})"}, mark))
        parts.append(text(left + 24, base, words, kind="key"))
        left += wide + 14
    return join(*parts), (row + 1) * (LINE + 2) if entries else 0.0
