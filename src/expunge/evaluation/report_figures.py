"""The charts of the report, each with the numbers that it draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from expunge.charts.histogram import Panel, bin_counts, bin_edges, histogram_pair
from expunge.charts.intervals import Row, interval_plot
from expunge.charts.markup import Markup, element, join
from expunge.charts.scale import Span, tick_texts
from expunge.charts.scatter import Point, Shape, scatter
from expunge.evaluation.report_cells import UNMEASURED, YARDSTICKS, Evidence, criterion_label, fixed, reason_of
from expunge.evaluation.report_html import table

WIDE, NARROW = 820.0, 360.0
SCORE_AXIS = "min-k score of an item, nats per token (further right: more familiar to the model)"
KEYS: tuple[tuple[Shape, str], ...] = (
    ("star", "retrained without the forget people"),
    ("square", "original"),
    ("dot", "earned its claim"),
    ("ring", "did not earn it"),
)


def span_of(cell: Mapping[str, Any] | None) -> Span | None:
    """The number of a cell with its interval; None where there is none. An end at infinity is not drawn."""
    ends = [(cell or {}).get(name) for name in ("value", "low", "high")]
    value, low, high = (end if end is not None and math.isfinite(end) else None for end in ends)
    return None if value is None else Span(value, low, high)


def _figure(draw: Callable[[float], Markup], caption: str, data: Markup) -> Markup:
    wide, narrow = (
        Markup(draw(width).replace("<svg ", f'<svg class="{name}" ', 1))
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    )
    shown = element("details", None, element("summary", None, "The numbers of this chart"), data)
    return element("figure", None, wide, narrow, element("figcaption", None, caption), shown)


def _numbers(span: Span | None) -> list[str]:
    if span is None:
        return ["-", "-", "-"]
    return [fixed(span.value, 3), *("-" if end is None else fixed(end, 3) for end in (span.low, span.high))]


def _shape(row: Mapping[str, Any]) -> Shape:
    fixed_shapes: dict[str, Shape] = {"retrained": "star", "original": "square"}
    return fixed_shapes.get(row["key"], "dot" if row.get("status") == "earned" else "ring")


def trade_off(evidence: Evidence) -> Markup | None:
    """Forgetting against utility; None if no row has both."""
    spans = [
        (row, *(span_of(row.get("cells", {}).get(k)) for k in ("ks", "model_utility"))) for row in evidence["rows"]
    ]
    points = [Point(row["label"], x, y, _shape(row)) for row, x, y in spans if x is not None and y is not None]
    if not points:
        return None
    bounds = evidence["run"].get("bounds") or {}
    band = (bounds["ks"], bounds["model_utility"]) if {"ks", "model_utility"} <= bounds.keys() else None
    shapes = {point.shape for point in points}
    policy = evidence["run"].get("policy") or "the policy"

    def draw(width: float) -> Markup:
        return scatter(
            points,
            title="Forgetting against model utility",
            description=f"{len(points)} models. Left is closer to the retrained model on the forget set, up is more "
            "model utility; the best place is the upper left, at the star.",
            x_label="KS distance D to the retrained model on the forget set, 0 to 1 (further left is better)",
            y_label="Model utility, harmonic mean, 0 to 1 (higher is better)",
            keys=[key for key in KEYS if key[0] in shapes],
            band=band,
            band_label=f"within the margins of {policy}",
            width=width,
        )

    missing = [f"{row['label']} ({_why(row)})" for row, x, y in spans if x is None or y is None]
    caption = "Bars are intervals. A model that forgets by breaking lies at the bottom, whatever its distance."
    caption += f" Not drawn: {'; '.join(missing)}." if missing else ""
    heads = ["model", "KS D", "low", "high", "model utility", "low", "high"]
    rows = [[row["label"], *_numbers(x), *_numbers(y)] for row, x, y in spans]
    return _figure(draw, caption, table("Forgetting against model utility, as drawn", heads, rows))


def _why(row: Mapping[str, Any]) -> str:
    return reason_of(row, "ks") or reason_of(row, "model_utility") or UNMEASURED


def _domain(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    # A destroyed model's scores lie so far out that on a common axis all others would be one line: the axis covers
    # the yardsticks and half their range on either side, and what lies beyond is counted at the edge, in words too.
    scores = [s for r in rows if r["key"] in YARDSTICKS for part in r["distributions"].values() for s in part]
    if not scores:
        return None
    low, high = min(scores), max(scores)
    return low - (high - low) / 2, high + (high - low) / 2


def distributions(evidence: Evidence) -> Markup | None:
    """Scores of forget and holdout items, one panel a model; None if no row has any."""
    rows = [row for row in evidence["rows"] if row.get("distributions")]
    if not rows:
        return None
    panels = [Panel(row["label"], row["distributions"]["forget"], row["distributions"]["holdout"]) for row in rows]
    edges = bin_edges(panels, domain=_domain(rows))

    def draw(width: float) -> Markup:
        return histogram_pair(
            panels,
            title="Scores of forget and holdout items",
            description=f"One panel for each of {len(panels)} models on a shared axis. Where the filled bars of the "
            "forget items and the dashed outline of the holdout items coincide, the score cannot tell them apart.",
            x_label=SCORE_AXIS,
            names=("forget", "holdout"),
            edges=edges,
            width=width,
        )

    counts = {(len(panel.first), len(panel.second)) for panel in panels}
    sizes = "; ".join(f"n = {first} forget and {second} holdout items" for first, second in sorted(counts))
    caption = f"{sizes} per model. Heights are shares of a group, scaled to the tallest bin of a panel; "
    caption += "what lies beyond the axis counts into the outermost bin. An attacker "
    caption += "who sees the score cannot tell the two groups apart where the shapes coincide."
    missing = [row["label"] for row in evidence["rows"] if not row.get("distributions")]
    caption += f" Without scores: {'; '.join(missing)}." if missing else ""
    return _figure(draw, caption, _bins(panels, edges))


def _bins(panels: Sequence[Panel], edges: Sequence[float]) -> Markup:
    heads = ["model", "items", "n", "lower quartile", "median", "upper quartile", *tick_texts(edges[:-1])]
    rows: list[list[str]] = []
    for panel in panels:
        for name, scores in (("forget", panel.first), ("holdout", panel.second)):
            quartiles = (
                [fixed(float(q), 2) for q in np.quantile(scores, (0.25, 0.5, 0.75))] if len(scores) else ["-"] * 3
            )
            rows.append([panel.label, name, str(len(scores)), *quartiles, *map(str, bin_counts(scores, edges))])
    last = tick_texts(edges)[-1]
    return table(
        f"Items per bin. A column is headed by the lower edge of its bin; the last one ends at {last}", heads, rows
    )


def _criteria(evidence: Evidence) -> dict[str, float]:
    found = [f for row in evidence["rows"] for f in row.get("findings", ()) if f.get("difference") and f.get("margin")]
    return {finding["criterion"]: finding["margin"] for finding in found}


def differences(evidence: Evidence) -> list[tuple[str, Markup]]:
    """(label of the criterion, figure) for each attack whose difference to a model that never knew is stored."""
    return [
        (criterion_label(evidence, name), _difference(evidence, name, margin))
        for name, margin in _criteria(evidence).items()
    ]


def _difference(evidence: Evidence, criterion: str, margin: float) -> Markup:
    label = criterion_label(evidence, criterion)
    judged = [
        (row, finding)
        for row in evidence["rows"]
        for finding in row.get("findings", ())
        if finding["criterion"] == criterion
    ]
    spans = [span_of(finding.get("difference")) for _, finding in judged]
    rows = [Row(row["label"], span, finding["status"]) for (row, finding), span in zip(judged, spans, strict=True)]

    def draw(width: float) -> Markup:
        return interval_plot(
            rows,
            margin=margin,
            title=f"{label}: difference to never-knew",
            description=f"One interval for each of {len(rows)} models; earned where it lies within {margin:g} of zero.",
            x_label=f"{label}: model minus never-knew (nearer to 0 is better; shaded: the margin ±{margin:g})",
            width=width,
        )

    heads = ["model", "difference", "low", "high", "verdict", "reason"]
    lines = [
        [row["label"], *_numbers(span), finding["status"], finding["reason"]]
        for (row, finding), span in zip(judged, spans, strict=True)
    ]
    caption = "A mark is filled where its whole interval lies within the margin."
    return _figure(draw, caption, table(f"{label}, as drawn", heads, lines, words=(4, 5)))


def figures(evidence: Evidence) -> Markup | None:
    """All charts under their headings; None if nothing can be drawn."""
    named = [("Forgetting against utility", trade_off(evidence)), ("Score distributions", distributions(evidence))]
    named += [(f"Difference to never-knew: {name}", figure) for name, figure in differences(evidence)]
    drawn = [(name, figure) for name, figure in named if figure is not None]
    return join(*(join(element("h3", None, name), figure) for name, figure in drawn)) if drawn else None
