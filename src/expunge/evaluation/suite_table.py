"""The findings of a suite as plain text: the same bytes for the same findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.evaluation.report_subgroups import gap_line, interval_text
from expunge.evaluation.table import one_line

HEAD = ("", "value", "interval", "reference", "original", "n", "groups", "better")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    ends = (row["low"], row["high"])
    interval = "too few subjects" if None in ends else f"[{ends[0]:.3f}, {ends[1]:.3f}]"
    others = [_number(row[arm].get("value")) for arm in ("reference", "original")]
    return (row["name"], _number(row["value"]), interval, *others, str(row["n"]), str(row["groups"]), row["better"])


def _subgroups(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The largest gap of each reading, and its groups below it; empty where nothing groups the records."""
    lines: list[str] = []
    for row in rows:
        for entry in row.get("subgroups", ()):
            lines.append(f"  {row['name']} by {entry['by']}: {one_line(gap_line(entry))}")
            if "less" in entry:
                lines.append(f"    less the reference's: {one_line(gap_line(entry['less']))}")
            lines += [f"    {one_line(name)}: {_group(cell)}" for name, cell in entry["groups"].items()]
    return ["", "By subgroup:", *lines] if lines else []


def _group(cell: Mapping[str, Any]) -> str:
    return f"{' '.join(interval_text(cell))} ({cell['n']} records, {cell['groups']} subjects)"


def suite_text(found: Mapping[str, Any]) -> str:
    """A table of the rows that were measured, the reasons for those that were not, and the verdict.

    Args:
        found: of ``suite_findings``.
    """
    about = found["suite"]
    lines = [f"{about['name']} {about['version']}: {about['question']}", ""]
    rows = [HEAD, *(_cells(row) for row in found["rows"] if "skipped" not in row)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines += [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    lines += [f"task {name}: {_number(row['value'])} (n {row['n']})" for name, row in found["tasks"].items()]
    if found["utility_kept"]:
        kept = found["utility_kept"]
        lines.append(f"utility kept: {_number(kept['value'])} [{_number(kept['low'])}, {_number(kept['high'])}]")
    lines += _subgroups(found["rows"])
    lacking = [(row["name"], row["skipped"]) for row in found["rows"] if "skipped" in row]
    lines += ["", "Not measured:"] * bool(lacking) + [f"  {name}: {one_line(why)}" for name, why in lacking]
    if verdict := found["verdict"]:
        lines += ["", f"{verdict['policy']}: {verdict['status']}"]
        lines += [f"  {f['criterion']}: {f['status']}, {one_line(f['reason'])}" for f in verdict["findings"]]
    lines += ["", "Questions:"]
    lines += [
        f"  {row['name']}: {row['question']} Good: {row['better']}; a retrained model: {row['retrained']}."
        for row in found["rows"]
    ]
    return "\n".join(lines) + "\n"
