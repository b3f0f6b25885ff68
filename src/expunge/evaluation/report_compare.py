"""Several runs on one page: all their rows, and differences where the runs allow any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from expunge.charts.markup import Markup, element, join
from expunge.evaluation.report import page
from expunge.evaluation.report_cells import YARDSTICKS, Evidence, check, fixed
from expunge.evaluation.report_figures import trade_off
from expunge.evaluation.report_html import counted, section, table
from expunge.evaluation.report_sections import models_table, questions

COMPARED = ("ks", "model_utility", "probability", "truth_ratio", "rouge_l", "min_k_auc", "relearn_gap")
CAPTION = "Every model of every run, each against its own run's retrained model. In brackets: intervals."
APART, OPEN = "differ", "cannot be told apart"


@dataclass(frozen=True)
class Run:
    """One run.

    Args:
        name: as the page calls it.
        evidence: as ``evidence.json`` holds it.
        corpus: digest of its records, never shown; empty where they are no longer there.
    """

    name: str
    evidence: Evidence
    corpus: str = ""


@dataclass(frozen=True)
class Difference:
    """One number of one model in two runs.

    Args:
        label: of the model.
        column: label of the number.
        first: in the first run.
        other: in the other one.
        low: least difference, other minus first, that the two intervals allow.
        high: largest one.
    """

    label: str
    column: str
    first: float
    other: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether zero lies outside."""
        return APART if self.low > 0 or self.high < 0 else OPEN


def obstacles(first: Run, other: Run) -> list[str]:
    """Why numbers of two runs may not be subtracted; empty if they may."""
    one, two = (run.evidence["run"].get("measured_by") or {} for run in (first, other))
    found: list[str] = []
    for part, words in (
        ("policy", "they were judged by different policies"),
        ("reference", "their retrained models differ, and with them what every distance is measured from"),
    ):
        if not one.get(part) or not two.get(part):
            found.append(f"one of them does not say which {part} it was measured by")
        elif one[part] != two[part]:
            found.append(words)
    if first.evidence["run"].get("seeds") != other.evidence["run"].get("seeds"):
        found.append("they pool different seeds")
    gone = [run.name for run in (first, other) if not run.corpus]
    if gone:
        found.append(f"the records of {' and '.join(gone)} are no longer there, so that they cannot be compared")
    elif first.corpus != other.corpus:
        found.append("they are about different records")
    return found


def _kept(run: Run) -> list[str]:
    return sorted((run.evidence.get("utility_components") or {}).get("kept", ()))


def _ends(cell: Mapping[str, Any] | None) -> tuple[float, float, float] | None:
    value, low, high = ((cell or {}).get(name) for name in ("value", "low", "high"))
    return None if value is None or low is None or high is None else (value, low, high)


def differences(first: Run, other: Run) -> Iterator[Difference]:
    """Other minus first for each number that both have, with the widest interval that their two intervals allow."""
    columns = {column["key"]: column["label"] for column in first.evidence["columns"]}
    theirs = {row["key"]: row for row in other.evidence["rows"]}
    for row in first.evidence["rows"]:
        for key in COMPARED:
            if row["key"] not in theirs or key not in columns:
                continue
            if key == "model_utility" and _kept(first) != _kept(other):
                continue
            one, two = (_ends(found.get("cells", {}).get(key)) for found in (row, theirs[row["key"]]))
            if one and two:
                yield Difference(row["label"], columns[key], one[0], two[0], two[1] - one[2], two[2] - one[1])


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if fixed(value, 2) != "0.00" else "0.00"


def _plain(value: float) -> str:
    return fixed(value, 2).replace("-", "−")


def _pair(first: Run, other: Run) -> Markup:
    heading = element("h3", None, f"{other.name} less {first.name}")
    if reasons := obstacles(first, other):
        says = f"No differences are shown between {first.name} and {other.name}: {'; '.join(reasons)}."
        return join(heading, element("p", {"class": "obstacle"}, says))
    found = list(differences(first, other))
    if not found:
        return join(heading, element("p", None, "They have no method and number with an interval in common."))
    lines = [
        [
            d.label,
            d.column,
            _plain(d.first),
            _plain(d.other),
            _signed(d.other - d.first),
            f"[{_signed(d.low)}, {_signed(d.high)}]",
            d.verdict,
        ]
        for d in found
    ]
    heads = ["method", "number", first.name, other.name, "difference", "interval", "the two"]
    apart = sum(d.verdict == APART for d in found)
    says = f"{apart} of {counted(len(found), 'number', 'numbers')} differ by more than their intervals allow."
    missing = None
    if _kept(first) != _kept(other):
        missing = element("p", None, "Utility is left out: it is made of different components in the two runs.")
    return join(
        heading, element("p", None, says), missing, table(f"{other.name} less {first.name}", heads, lines, words=(1, 6))
    )


def _merged(runs: Sequence[Run]) -> dict[str, Any]:
    columns = {column["key"]: column for run in runs for column in run.evidence["columns"]}
    rows = [{**row, "label": f"{run.name}: {row['label']}"} for run in runs for row in run.evidence["rows"]]
    return {"run": {}, "columns": list(columns.values()), "rows": rows}


def _together(runs: Sequence[Run]) -> Markup | None:
    """All methods against one retrained model; None unless they share it."""
    first, *others = runs
    if any(obstacles(first, other) for other in others):
        return None
    rows = [{**row, "label": f"{first.name}: {row['label']}"} for row in first.evidence["rows"]]
    for number, other in enumerate(others):
        rows += [
            {**row, "label": f"{other.name}: {row['label']}", "key": f"{number} {row['key']}"}
            for row in other.evidence["rows"]
            if row["key"] not in YARDSTICKS
        ]
    run = {name: first.evidence["run"].get(name) for name in ("bounds", "policy")}
    return trade_off({"run": run, "columns": first.evidence["columns"], "rows": rows})


def render_comparison(runs: Sequence[Run]) -> str:
    """Render several runs as one page.

    Args:
        runs: at least two; each is compared with the first.

    Returns:
        HTML that is also well-formed XML: the same bytes for the same evidence.

    Raises:
        EvidenceError: a part is missing or a number cannot be drawn.
    """
    for run in runs:
        check(run.evidence)
    first, *others = runs
    merged = _merged(runs)
    rows = [
        [
            run.name,
            str(run.evidence["run"].get("title") or ""),
            str(run.evidence["run"].get("policy") or ""),
            f"{len(run.evidence['rows'])}",
        ]
        for run in runs
    ]
    chart = _together(runs)
    says = "An interval of a difference is the widest that the two intervals allow, wider than resampling the people "
    says += "of both runs together would make it. Where it leaves out zero, the two differ; where it does not, they "
    says += "cannot be told apart here."
    return page(
        f"Comparison of {len(runs)} runs - Expunge report",
        ("table", "Skip to the table"),
        element("h1", None, f"Comparison of {len(runs)} runs"),
        section(
            "runs", "The runs", table("The runs", ["run", "title", "policy", "models"], rows, words=(1, 2), quiet=True)
        ),
        section("table", "The table", models_table(merged, CAPTION, COMPARED)),
        questions(merged),
        section("differences", "Differences", element("p", None, says), *(_pair(first, other) for other in others)),
        section("charts", "Charts", element("h3", None, "Forgetting against utility"), chart) if chart else None,
        element("p", None, "This page holds no text of any record."),
    )
