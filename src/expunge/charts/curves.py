"""Small multiples of curves with error bars: one panel a model, the same yardsticks in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.charts.lettering import shorten
from expunge.charts.markup import Markup, element, join, number
from expunge.charts.scale import Scale, Span, enclosing, nice_ticks
from expunge.charts.scatter import Shape, mark
from expunge.charts.svg import (
    FIRST,
    HALO,
    INK,
    LINE,
    NARROW,
    SECOND,
    SIZE,
    axis_title,
    legend,
    line,
    picture,
    text,
    widest,
    x_axis,
    y_axis,
)

TALL = 132.0
EDGE = 4.0
COLUMN = 250.0
STYLES: dict[Shape, str] = {
    "dot": f"stroke: {FIRST}; stroke-width: 2.25",
    "ring": f"stroke: {FIRST}; stroke-width: 2.25",
    "square": f"stroke: {INK}; stroke-width: 1.5; stroke-dasharray: 6 3",
    "star": f"stroke: {SECOND}; stroke-width: 1.75; stroke-dasharray: 1.5 3",
}


@dataclass(frozen=True)
class Curve:
    """One model.

    Args:
        label: of the model.
        points: (K,) place on the x axis and what was measured there, from left to right.
        shape: of its marks; decides the dashes too.
        quantity: what it is a curve of. Behind a panel's own curve stands the context of the same quantity.
    """

    label: str
    points: Sequence[tuple[float, Span]]
    shape: Shape = "dot"
    quantity: str = ""


def _curve(curve: Curve, x: Scale, y: Scale) -> Markup:
    style = STYLES[curve.shape]
    places = [(x(at), span) for at, span in curve.points]
    path = " ".join(f"{number(left)},{number(y(span.value))}" for left, span in places)
    parts = [element("polyline", {"points": path, "style": f"fill: none; {style}"})]
    bar = style.partition("; stroke-dasharray")[0]
    for left, span in places:
        low, high = map(y, span.ends)
        parts.append(line(left, low, left, high, f"{bar}; opacity: 0.6"))
        where = f"translate({number(left)} {number(y(span.value))}) scale(0.6)"
        parts.append(element("g", {"class": "mark", "transform": where}, mark(curve.shape)))
    return element("g", {"class": "curve"}, element("title", None, curve.label), *parts)


def curves(
    panels: Sequence[Curve],
    context: Sequence[Curve],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    own: str,
    width: float = 720.0,
) -> Markup:
    """Draw one panel a curve, each with the context of the same quantity behind it, on shared axes.

    Args:
        panels: (P,) one curve a panel, which bears its label.
        context: (C,) what every panel of its quantity shows as well.
        title: name of the chart.
        description: what it shows, for those who cannot see it.
        x_label: quantity and unit.
        y_label: quantity, unit and which direction is good.
        own: what the key calls a panel's own curve.
        width: () pixels. Of the whole chart.

    Returns:
        An SVG element.
    """
    every = [*panels, *context]
    x_ticks = nice_ticks(*enclosing([Span(at) for curve in every for at, _ in curve.points]), 4)
    y_ticks = nice_ticks(*enclosing([span for curve in every for _, span in curve.points], 0.0, 1.0), 4)
    fit = max(1, int(width // COLUMN)) if width > NARROW else 1
    rows = max(1, -(-len(panels) // fit))
    columns = max(1, -(-len(panels) // rows))
    wide = width / columns
    head, high = axis_title(y_label, EDGE, SIZE, width - 2 * EDGE)
    named: list[tuple[Shape, str]] = [
        *((panel.shape, own) for panel in panels[:1]),
        *((curve.shape, curve.label) for curve in context),
    ]
    entries = [(join(line(-9, 0, 9, 0, STYLES[shape]), _small(shape)), words) for shape, words in dict.fromkeys(named)]
    key, deep = legend(entries, EDGE, high + 1.6 * LINE, width - EDGE)
    first, step = high + deep + 1.4 * LINE, TALL + 3.6 * LINE
    parts: list[Markup] = []
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        top = first + step * row + 1.7 * LINE
        left = column * wide + widest(y_ticks) + 14
        right = (column + 1) * wide - max(12.0, widest(x_ticks) / 2 + 2)
        x, y = Scale(x_ticks[0], x_ticks[-1], left, right), Scale(y_ticks[0], y_ticks[-1], top + TALL, top)
        name = shorten(panel.label, wide - 2 * EDGE, SIZE)
        parts += [
            text(column * wide + EDGE, top - 0.8 * LINE, name, style=f"font-weight: 600; {HALO}", kind="label"),
            x_axis(x, x_ticks, top, top + TALL),
            y_axis(y, y_ticks, left, right),
            *(_curve(c, x, y) for c in (*(c for c in context if c.quantity == panel.quantity), panel)),
        ]
    bottom = first + step * rows
    foot, low = axis_title(x_label, EDGE, bottom + SIZE, width - 2 * EDGE)
    return picture(width, bottom + low + 4, title, description, head, key, *parts, foot)


def _small(shape: Shape) -> Markup:
    return element("g", {"transform": "scale(0.6)"}, mark(shape))
