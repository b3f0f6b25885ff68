"""Distributions of two groups of items, one panel a model, on one shared axis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expunge.charts.lettering import shorten, text_width
from expunge.charts.markup import Markup, element, join, number
from expunge.charts.scale import Scale, nice_ticks, tick_texts
from expunge.charts.svg import (
    FIRST,
    HALO,
    INK,
    LINE,
    MUTED,
    NARROW,
    SECOND,
    SIZE,
    axis_title,
    legend,
    line,
    picture,
    rectangle,
    text,
    widest,
    x_axis,
)
from expunge.core.errors import EvidenceError

PANEL = 58.0
EDGE = 8.0
STROKES = {
    "second": f"stroke: {SECOND}; stroke-width: 2; stroke-dasharray: 5 2.5",
    "third": f"stroke: {INK}; stroke-width: 1.25; stroke-dasharray: 1.5 2",
}


@dataclass(frozen=True)
class Panel:
    """The scores of one model.

    Args:
        label: of the model.
        first: (N,) scores of the first group, drawn as filled bars.
        second: (M,) scores of the second group, drawn as a dashed outline.
        third: (L,) scores of a third group, drawn as a thin dotted outline; empty for none.
    """

    label: str
    first: Sequence[float]
    second: Sequence[float]
    third: Sequence[float] = ()

    @property
    def groups(self) -> tuple[Sequence[float], ...]:
        """The groups that it has."""
        return (self.first, self.second, *((self.third,) if len(self.third) else ()))


def bin_edges(panels: Sequence[Panel], *, bins: int = 24, domain: tuple[float, float] | None = None) -> list[float]:
    """Equal bins from one nice tick to another, the same for all panels.

    Args:
        panels: what will be drawn.
        bins: () bins. How many.
        domain: (low, high) of interest; what lies outside counts into the outermost bins.

    Returns:
        ``bins + 1`` increasing edges.

    Raises:
        EvidenceError: a score is not finite.
    """
    scores = np.array([s for panel in panels for group in panel.groups for s in group], dtype=float)
    if not np.isfinite(scores).all():
        raise EvidenceError("a score that is to be drawn is not finite")
    low, high = (float(scores.min()), float(scores.max())) if scores.size else (0.0, 1.0)
    if domain is not None:
        low, high = max(low, domain[0]), min(high, domain[1])
    ticks = nice_ticks(low, max(low, high), 6)
    return [float(edge) for edge in np.linspace(ticks[0], ticks[-1], bins + 1)]


def bin_counts(scores: Sequence[float], edges: Sequence[float]) -> list[int]:
    """How many scores fall into each bin; what lies beyond the edges counts into the outermost ones.

    >>> bin_counts([0.1, 0.2, 0.9, 7.0], [0.0, 0.5, 1.0])
    [2, 2]
    """
    inside = np.clip(np.asarray(scores, dtype=float), edges[0], edges[-1])
    return [int(count) for count in np.histogram(inside, bins=np.asarray(edges))[0]]


def _outline(shares: Sequence[float], xs: Sequence[float], base: float, peak: float, kind: str) -> Markup:
    style = f"fill: none; {STROKES[kind]}"
    parts: list[Markup] = []
    bins = list(zip(shares, xs, xs[1:], strict=False))
    for filled, run in itertools.groupby(bins, key=lambda item: item[0] > 0):
        steps = list(run)
        tops = [(x, base - PANEL * share / peak) for share, left, right in steps for x in (left, right)]
        points = [(steps[0][1], base), *tops, (steps[-1][2], base)]
        path = " ".join(f"{number(x)},{number(y)}" for x, y in points)
        parts += [element("polyline", {"class": kind, "points": path, "style": style})] if filled else []
    return join(*parts)


def _beyond(panel: Panel, edges: Sequence[float]) -> str:
    scores = [s for group in panel.groups for s in group]
    low, high = tick_texts((edges[0], edges[-1]))
    below, above = sum(s < edges[0] for s in scores), sum(s > edges[-1] for s in scores)
    parts = [f"{below} below {low}"] * (below > 0) + [f"{above} above {high}"] * (above > 0)
    return ", ".join(parts)


def _panel(panel: Panel, edges: Sequence[float], scale: Scale, top: float, lines: int) -> Markup:
    base = top + LINE * lines + 6 + PANEL
    xs = [scale(edge) for edge in edges]
    counted = [(bin_counts(scores, edges), max(len(scores), 1)) for scores in panel.groups]
    first, *others = ([count / n for count in counts] for counts, n in counted)
    peak = max(map(max, (first, *others))) or 1.0
    caption = f"n = {', '.join(str(len(group)) for group in panel.groups)}"
    if beyond := _beyond(panel, edges):
        caption = f"{beyond}; {caption}"
    room = scale.end - scale.start - (text_width(caption, SIZE) + 12 if lines == 1 else 0)
    where = (scale.end, top + SIZE, "end") if lines == 1 else (scale.start, top + SIZE + LINE, "start")
    bars = [
        rectangle(left, base - PANEL * share / peak, right - left, PANEL * share / peak, f"fill: {FIRST}; opacity: 0.6")
        for share, left, right in zip(first, xs, xs[1:], strict=False)
        if share
    ]
    return element(
        "g",
        {"class": "panel"},
        element("title", None, panel.label),
        text(
            scale.start, top + SIZE, shorten(panel.label, room, SIZE), style=f"font-weight: 600; {HALO}", kind="label"
        ),
        text(where[0], where[1], caption, anchor=where[2], style=f"fill: {MUTED}; {HALO}", kind="label"),
        *bars,
        *(_outline(shares, xs, base, peak, kind) for shares, kind in zip(others, STROKES, strict=False)),
        line(scale.start, base, scale.end, base, f"stroke: {INK}; stroke-width: 1"),
    )


def histogram_pair(
    panels: Sequence[Panel],
    *,
    title: str,
    description: str,
    x_label: str,
    names: Sequence[str] = ("forget", "holdout"),
    edges: Sequence[float] | None = None,
    width: float = 720.0,
) -> Markup:
    """Draw one panel a model: the first group as filled bars, the others as a dashed and a dotted outline.

    Heights are shares of a group, scaled to the tallest bin of the panel.

    Args:
        panels: (P,) the models.
        title: name of the chart.
        description: what it shows, for those who cannot see it.
        x_label: quantity, unit and which direction is good.
        names: of the groups.
        edges: of the bins; by default from all scores.
        width: () pixels. Of the whole chart.

    Returns:
        An SVG element.
    """
    edges = bin_edges(panels) if edges is None else edges
    ticks = nice_ticks(edges[0], edges[-1], 6)
    inset = max(EDGE + 8, widest(ticks) / 2 + 2)
    scale = Scale(edges[0], edges[-1], inset, width - inset)
    bars = rectangle(-9, -6, 18, 12, f"fill: {FIRST}; opacity: 0.6")
    strokes = [line(-9, 0, 9, 0, style) for style in STROKES.values()]
    key, high = legend(list(zip([bars, *strokes], names, strict=False)), EDGE, SIZE, width - EDGE)
    lines = 1 if width > NARROW else 2
    top, step = high + 6, LINE * lines + PANEL + 18
    bottom = top + step * len(panels) - 6
    parts = [_panel(panel, edges, scale, top + step * k, lines) for k, panel in enumerate(panels)]
    grid = x_axis(scale, ticks, top + LINE, bottom)
    foot, deep = axis_title(x_label, EDGE, bottom + 2.4 * LINE, width - 2 * EDGE)
    return picture(width, bottom + 2.4 * LINE + deep - 6, title, description, key, grid, join(*parts), foot)
