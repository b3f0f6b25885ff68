"""Two measured quantities against each other, with error bars and direct labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from expunge.charts.lettering import text_width, wrap
from expunge.charts.markup import Markup, element, join, number
from expunge.charts.placing import Box, place
from expunge.charts.scale import Scale, Span, enclosing, nice_ticks
from expunge.charts.svg import (
    BAND,
    FIRST,
    HALO,
    INK,
    LINE,
    MUTED,
    NARROW,
    PAPER,
    SECOND,
    SIZE,
    axis_title,
    legend,
    line,
    paragraph,
    picture,
    rectangle,
    widest,
    x_axis,
    y_axis,
)

FRONT = f"stroke: {FIRST}; stroke-width: 1.5; stroke-dasharray: 7 3 1.5 3"
Shape = Literal["dot", "ring", "star", "square"]


@dataclass(frozen=True)
class Point:
    """One labelled mark.

    Args:
        label: shown beside the mark.
        x: with its interval.
        y: with its interval.
        shape: star for the model that all others are measured against.
        front: whether the staircase of the best trade-offs goes through it.
    """

    label: str
    x: Span
    y: Span
    shape: Shape = "dot"
    front: bool = False


def best(pairs: Sequence[tuple[float, float]]) -> list[bool]:
    """Which pairs are on the Pareto front: none other has less x and no less y, or as little x and more y.

    >>> best([(0.2, 0.8), (0.1, 0.7), (0.2, 0.7), (0.9, 0.9)])
    [True, True, False, True]
    """
    return [not any(p <= x and q >= y and (p, q) != (x, y) for p, q in pairs) for x, y in pairs]


@dataclass(frozen=True)
class Frame:
    """Scales and edges of the plotting area."""

    x: Scale
    y: Scale
    left: float
    top: float
    right: float
    bottom: float


def mark(shape: Shape) -> Markup:
    """A mark around the origin, about 14 pixels across."""
    if shape == "star":
        turns = [(9.0 if k % 2 == 0 else 3.8, -math.pi / 2 + k * math.pi / 5) for k in range(10)]
        corners = " ".join(f"{number(r * math.cos(a))},{number(r * math.sin(a))}" for r, a in turns)
        return element("polygon", {"points": corners, "style": f"fill: {SECOND}; stroke: {PAPER}"})
    if shape == "square":
        return rectangle(-5, -5, 10, 10, f"fill: {INK}; stroke: {PAPER}")
    fill, edge = (FIRST, PAPER) if shape == "dot" else (PAPER, FIRST)
    ring = f"fill: {fill}; stroke: {edge}; stroke-width: {1 if shape == 'dot' else 2.5}"
    return element("circle", {"cx": 0, "cy": 0, "r": 6 if shape == "dot" else 5, "style": ring})


def _describe(span: Span) -> str:
    return f"{span.value:.3f}" + ("" if span.low is None else f" [{span.ends[0]:.3f}, {span.ends[1]:.3f}]")


def _marks(points: Sequence[Point], frame: Frame) -> tuple[Markup, list[Box]]:
    bars: list[Markup] = []
    marks: list[Markup] = []
    boxes: list[Box] = []
    style = f"stroke: {MUTED}; stroke-width: 1.25; opacity: 0.75"
    for point in points:
        x, y = frame.x(point.x.value), frame.y(point.y.value)
        (x1, x2), (y2, y1) = map(frame.x, point.x.ends), map(frame.y, point.y.ends)
        bars += [line(x1, y, x2, y, style), line(x, y1, x, y2, style)]
        boxes += [Box(x1, y - 1, x2 - x1, 2), Box(x - 1, y1, 2, y2 - y1)]
        hint = f"{point.label}: x {_describe(point.x)}, y {_describe(point.y)}"
        place_at = {"class": "mark", "transform": f"translate({number(x)} {number(y)})"}
        marks.append(element("g", place_at, element("title", None, hint), mark(point.shape)))
    return join(*bars, *marks), boxes


def _front(points: Sequence[Point], frame: Frame) -> tuple[Markup | None, list[Box]]:
    corners = sorted((frame.x(p.x.value), frame.y(p.y.value)) for p in points if p.front)
    if not corners:
        return None, []
    path = [(corners[0][0], frame.bottom), corners[0]]
    for x, y in corners[1:]:
        path += [(x, path[-1][1]), (x, y)]
    path.append((frame.right, path[-1][1]))
    boxes = [
        Box(min(a, c) - 1, min(b, d) - 1, abs(c - a) + 2, abs(d - b) + 2) for (a, b), (c, d) in itertools.pairwise(path)
    ]
    points_of = " ".join(f"{number(x)},{number(y)}" for x, y in path)
    return element("polyline", {"class": "front", "points": points_of, "style": f"fill: none; {FRONT}"}), boxes


def _labels(points: Sequence[Point], frame: Frame, avoid: list[Box]) -> Markup:
    room = (frame.right - frame.left) * 0.4
    anchors = [(frame.x(p.x.value), frame.y(p.y.value)) for p in points]
    canvas = Box(frame.left + 2, frame.top, frame.right - frame.left - 2, frame.bottom - frame.top - 2)
    tries: list[tuple[list[list[str]], list[Box | None]]] = []
    for lines in (3, 2, 1) if room < 200 else (2, 1):
        rows = [wrap(point.label, room, SIZE, lines=lines) for point in points]
        sizes = [(max(text_width(r, SIZE) for r in row) + 4, LINE * len(row) + 3) for row in rows]
        tries.append((rows, place(anchors, sizes, canvas, avoid=avoid)))
        if None not in tries[-1][1]:
            break
    rows, boxes = min(tries, key=lambda attempt: attempt[1].count(None))
    parts: list[Markup] = []
    for box, (x, y), row in zip(boxes, anchors, rows, strict=True):
        if box is None:
            continue
        if box.distance(x, y) > 20:
            near = box.nearest(x, y)
            parts.append(line(x, y, *near, f"stroke: {MUTED}; stroke-width: 1; stroke-dasharray: 1.5 2.5"))
        parts.append(paragraph(box.left + 2, box.top + SIZE, row, style=HALO, kind="label"))
    return join(*parts)


def _frame(points: Sequence[Point], width: float, top: float, bottom: float) -> tuple[Frame, Markup]:
    x_ticks = nice_ticks(*enclosing([p.x for p in points], 0.0), 5)
    y_ticks = nice_ticks(*enclosing([p.y for p in points], 0.0), 5)
    left, right = max(46.0, widest(y_ticks) + 12), width - max(12.0, widest(x_ticks) / 2 + 2)
    x, y = Scale(x_ticks[0], x_ticks[-1], left, right), Scale(y_ticks[0], y_ticks[-1], bottom, top)
    axes = join(x_axis(x, x_ticks, top, bottom), y_axis(y, y_ticks, left, right))
    return Frame(x, y, left, top, right, bottom), axes


def scatter(
    points: Sequence[Point],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    keys: Sequence[tuple[Shape, str]] = (),
    band: tuple[float, float] | None = None,
    band_label: str = "",
    front_label: str = "",
    width: float = 720.0,
) -> Markup:
    """Draw points with error bars. To the right is more of x, up is more of y; both axes hold zero.

    Args:
        points: (N,) the marks.
        title: name of the chart.
        description: what it shows, for those who cannot see it.
        x_label: quantity, unit and which direction is good.
        y_label: likewise, set above the axis.
        keys: what the shapes mean.
        band: (largest x, smallest y) of the corner that is shaded.
        band_label: what holds there.
        front_label: what the staircase is called.
        width: () pixels. Of the whole chart.

    Returns:
        An SVG element.
    """
    edge = 4.0
    head, tall = axis_title(y_label, edge, SIZE, width - 2 * edge)
    top = tall + 12.0
    bottom = top + max(320.0, min(0.52 * width, 380.0))
    frame, axes = _frame(points, width, top, bottom)
    left = frame.left
    parts = [head]
    if band is not None:
        x_edge, y_edge = frame.x(band[0]), frame.y(band[1])
        parts.append(rectangle(left, top, x_edge - left, y_edge - top, f"fill: {BAND}", kind="band"))
    marks, boxes = _marks(points, frame)
    front, steps = _front(points, frame)
    parts += [axes, *([front] if front else []), marks, _labels(points, frame, boxes + steps)]
    foot, deep = axis_title(x_label, left if width > NARROW else edge, bottom + 2.4 * LINE, width - left)
    entries = [(mark(shape), words) for shape, words in keys]
    if band is not None:
        entries.append((rectangle(-9, -7, 18, 14, f"fill: {BAND}; stroke: {MUTED}; stroke-width: 0.5"), band_label))
    if front is not None:
        entries.append((line(-9, 0, 9, 0, FRONT), front_label))
    base = bottom + 2.4 * LINE + deep + 10
    key, high = legend(entries, left if width > NARROW else edge, base, width - edge)
    return picture(width, base + high - LINE + 6, title, description, *parts, foot, key)
