"""How much of what was forgotten comes back with a little training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup
from expunge.charts.scatter import Shape
from expunge.evaluation.report_cells import YARDSTICKS, Evidence, numbers, span_of
from expunge.evaluation.report_html import figure, table

CONTEXT: dict[str, Shape] = {"original": "square", "retrained": "star"}


def _curve(row: Mapping[str, Any], shape: Shape) -> Curve:
    spans = [(float(point["steps"]), span_of(point)) for point in row["recovery"]]
    return Curve(row["label"], [(steps, span) for steps, span in spans if span is not None], shape)


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
    return figure(draw, caption, table("Probability after relearning, as drawn", heads, lines))
