"""How much of what was forgotten comes back with a little training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup, join
from expunge.charts.scatter import Shape
from expunge.evaluation.recovery import recovered_area, steps_to
from expunge.evaluation.report_cells import YARDSTICKS, Evidence, fixed, numbers, span_of
from expunge.evaluation.report_html import figure, table

CONTEXT: dict[str, Shape] = {"original": "square", "retrained": "star"}


def _curve(row: Mapping[str, Any], shape: Shape) -> Curve:
    spans = [(float(point["steps"]), span_of(point)) for point in row["recovery"]]
    return Curve(row["label"], [(steps, span) for steps, span in spans if span is not None], shape)


def _points(row: Mapping[str, Any]) -> list[tuple[float, float]]:
    return [(float(p["steps"]), span.value) for p in row["recovery"] if (span := span_of(p)) is not None]


def _summary(rows: list[Mapping[str, Any]]) -> Markup | None:
    """A table of each method's curve in three numbers; None without an original and a retrained model beside it."""
    curves_of = {row["key"]: _points(row) for row in rows}
    known, never = curves_of.get("original"), curves_of.get("retrained")
    lines: list[list[str]] = []
    for row in rows:
        own = curves_of[row["key"]]
        steps = [[step for step, _ in curve] for curve in (own, known or [], never or [])]
        if row["key"] in YARDSTICKS or not own or not known or not never or steps[1:] != steps[:-1]:
            continue
        area = recovered_area(own, never_knew=never, original=known)
        reached = [steps_to(share, own, never_knew=never, original=known) for share in (0.5, 0.9)]
        told = [f"not within {own[-1][0]:g}" if found is None else fixed(found, 1) for found in reached]
        # Where the attack cannot tell the original from a model that never knew, nothing is a share of that.
        lines.append([row["label"], *(["-"] * 3 if area is None else [fixed(area, 2), *told])])
    heads = ["model", "area under the curve", "steps to 50 %", "steps to 90 %"]
    title = "How much comes back, and how soon: 0 is a model that never knew, 1 and 100 % the original, attacked alike"
    return table(title, heads, lines) if lines else None


def recovery(evidence: Evidence) -> Markup | None:
    """Probability of forgotten answers against relearning steps; None if no method was attacked so."""
    rows = [row for row in evidence["rows"] if row.get("recovery")]
    panels = [_curve(row, "dot") for row in rows if row["key"] not in YARDSTICKS]
    context = [_curve(row, CONTEXT[row["key"]]) for row in rows if row["key"] in CONTEXT]
    if not panels:
        return None

    def draw(width: float) -> Markup:
        return curves(
            panels,
            context,
            title="Forgotten knowledge regained by relearning",
            description=f"One panel for each of {len(panels)} methods: the probability of forgotten answers that the "
            "attacker was not shown, after some steps of training on others. Forgetting lasts where the curve stays "
            "with the retrained model's.",
            x_label="relearning steps on other forgotten records of the same people",
            y_label="Probability per token of forgotten answers that were not shown, 0 to 1 (as the retrained model's)",
            own="the method",
            width=width,
        )

    caption = "Bars are intervals over people. The retrained model shows what the training itself teaches of names and "
    caption += "form; what a method regains beyond it was still there."
    missing = [row["label"] for row in evidence["rows"] if not row.get("recovery")]
    caption += f" Not attacked: {'; '.join(missing)}." if missing else ""
    lines = [[row["label"], str(point["steps"]), *numbers(span_of(point))] for row in rows for point in row["recovery"]]
    heads = ["model", "steps", "probability", "low", "high"]
    drawn = table("Probability after relearning, as drawn", heads, lines)
    return figure(draw, caption, join(drawn, _summary(rows)))
