"""Distributions of scores over items, one panel a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.charts.histogram import Panel, bin_counts, bin_edges, histogram_pair
from expunge.charts.markup import Markup
from expunge.charts.scale import tick_texts
from expunge.evaluation.report_cells import YARDSTICKS, Evidence, fixed
from expunge.evaluation.report_html import figure, table

REFERENCE = "retrained"
SCORE_AXIS = "min-k score of an item, nats per token (further right: more familiar to the model)"
RATIO_AXIS = (
    "log10 truth ratio of a forgotten item (further left: the model prefers the right answer; 0: it cannot tell)"
)


def _domain(scores: Sequence[float]) -> tuple[float, float] | None:
    # A destroyed model's scores lie so far out that on a common axis all others would be one line: the axis covers
    # the yardsticks and half their range on either side, and what lies beyond is counted at the edge, in words too.
    if not scores:
        return None
    low, high = min(scores), max(scores)
    return low - (high - low) / 2, high + (high - low) / 2


def _caption(panels: Sequence[Panel], names: Sequence[str]) -> str:
    counts = {tuple(len(group) for group in panel.groups) for panel in panels}
    sizes = "; ".join(
        "n = " + ", ".join(f"{n} {name}" for n, name in zip(found, names, strict=False)) for found in sorted(counts)
    )
    caption = f"{sizes} per model. Heights are shares of a group, scaled to the tallest bin of a panel; "
    return caption + "what lies beyond the axis counts into the outermost bin."


def distributions(evidence: Evidence) -> Markup | None:
    """Scores of forget and holdout items beside the retrained model's forget items; None if no row has any."""
    rows = [row for row in evidence["rows"] if row.get("distributions")]
    if not rows:
        return None
    of_reference = next((row["distributions"]["forget"] for row in rows if row["key"] == REFERENCE), ())
    panels = [
        Panel(
            row["label"],
            row["distributions"]["forget"],
            row["distributions"]["holdout"],
            () if row["key"] == REFERENCE else of_reference,
        )
        for row in rows
    ]
    known = [s for r in rows if r["key"] in YARDSTICKS for part in r["distributions"].values() for s in part]
    edges = bin_edges(panels, domain=_domain(known))
    names = ("forget", "holdout", *(("forget by the retrained model",) if len(of_reference) else ()))

    def draw(width: float) -> Markup:
        return histogram_pair(
            panels,
            title="Scores of forget and holdout items",
            description=f"One panel for each of {len(panels)} models on a shared axis. Where the filled bars of the "
            "forget items and the dashed outline of the holdout items coincide, the score cannot tell them apart; "
            "the dotted outline is where the retrained model has the forget items.",
            x_label=SCORE_AXIS,
            names=names,
            edges=edges,
            width=width,
        )

    caption = _caption(panels, names) + " An attacker who sees the score cannot tell forget from holdout items where "
    caption += "the shapes coincide."
    missing = [row["label"] for row in evidence["rows"] if not row.get("distributions")]
    caption += f" Without scores: {'; '.join(missing)}." if missing else ""
    groups = [
        (panel.label, name, part) for panel in panels for name, part in zip(names, panel.groups[:2], strict=False)
    ]
    return figure(draw, caption, _bins(groups, edges))


def _logs(ratios: Sequence[float | None]) -> list[float]:
    return [math.log10(max(ratio, 1e-30)) for ratio in ratios if ratio is not None]


def truth_ratios(evidence: Evidence) -> Markup | None:
    """Truth ratios of the forget items by each model and by the retrained one; None if there are none."""
    found: Mapping[str, Any] = (evidence.get("items") or {}).get("scores", {}).get("truth_ratio", {})
    if REFERENCE not in found:
        return None
    labels = {row["key"]: row["label"] for row in evidence["rows"]}
    logs = {key: _logs(found[key]) for key in labels if key in found}
    panels = [Panel(labels[key], logs[key], logs[REFERENCE]) for key in logs if key != REFERENCE]
    if not panels:
        return None
    edges = bin_edges(panels, domain=_domain([s for key in logs if key in YARDSTICKS for s in logs[key]]))
    names = ("by this model", "by the retrained model")

    def draw(width: float) -> Markup:
        return histogram_pair(
            panels,
            title="Truth ratios of forgotten items",
            description=f"One panel for each of {len(panels)} models on a shared axis. The KS distance is the largest "
            "gap between the cumulative shares of the filled bars and of the dashed outline.",
            x_label=RATIO_AXIS,
            names=names,
            edges=edges,
            width=width,
        )

    caption = _caption(panels, names) + " The nearer the shapes, the smaller the KS distance."
    return figure(draw, caption, _bins([(labels[key], "forget", logs[key]) for key in logs], edges))


def _bins(groups: Sequence[tuple[str, str, Sequence[float]]], edges: Sequence[float]) -> Markup:
    heads = ["model", "items", "n", "lower quartile", "median", "upper quartile", *tick_texts(edges[:-1])]
    rows: list[list[str]] = []
    for label, name, scores in groups:
        quartiles = [fixed(float(q), 2) for q in np.quantile(scores, (0.25, 0.5, 0.75))] if len(scores) else ["-"] * 3
        rows.append([label, name, str(len(scores)), *quartiles, *map(str, bin_counts(scores, edges))])
    last = tick_texts(edges)[-1]
    caption = f"Items per bin. A column is headed by the lower edge of its bin; the last one ends at {last}"
    return table(caption, heads, rows, words=(1,))
