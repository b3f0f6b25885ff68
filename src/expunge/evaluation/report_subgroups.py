"""Every score by subgroup: the largest gap of each model in one table, and all groups below it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from expunge.charts.markup import Markup, element, join
from expunge.evaluation.report_cells import Evidence, fixed
from expunge.evaluation.report_html import counted, folded, section, table, unbroken

Entry = Mapping[str, Any]
WORDS = {"subgroup": "subgroup", "relation": "relation (the kind of fact)", "subset": "subset"}
SHORT = {"rouge_l": "ROUGE-L", "min_k": "min-k", "min_k_auc": "min-k AUC", "ks": "KS D"}
SAYS = (
    "An average may hide that some people or facts were forgotten and others not. Below: each score's mean in each "
    "group, or a statistic of the group's records alone, and the largest difference of two groups. The largest of "
    "several is large by chance alone; its interval allows for that, and where it begins at 0 the groups cannot be "
    "told apart. What makes a group easy by itself is in every model's gap; the lines less the retrained model's, "
    "scores record by record, leave it out."
)


def name_of(entry: Entry) -> str:
    """A score in words.

    >>> name_of({"score": "min_k", "role": "forget"}), name_of({"score": "outcome", "role": "relearning"})
    ('min-k on forget', 'relearning')
    """
    role, score = str(entry["role"]).replace("_", " "), str(entry["score"])
    return role if score == "outcome" else f"{SHORT.get(score, score.replace('_', ' '))} on {role}"


def interval_text(cell: Mapping[str, Any]) -> tuple[str, str]:
    """Value and interval of a cell as a table shows them; a dash where there is no value.

    >>> interval_text({"value": 0.25, "low": 0.1, "high": 0.4}), interval_text({"value": None})
    (('0.250', '[0.100, 0.400]'), ('-', ''))
    """
    if cell.get("value") is None:
        return "-", ""
    ends = [cell.get("low"), cell.get("high")]
    shown = "" if None in ends else f"[{fixed(ends[0], 3)}, {fixed(ends[1], 3)}]"  # type: ignore[arg-type]
    return fixed(cell["value"], 3), shown


def between(gap: Mapping[str, Any]) -> str:
    """Which group is above which; empty where none is.

    >>> between({"between": ["old", "young"]})
    'old above young'
    """
    high, low = gap.get("between") or ("", "")
    return f"{high} above {low}" if high else ""


def gap_line(found: Mapping[str, Any]) -> str:
    """The largest gap of ``Subgroups.cells`` in a line of text.

    >>> gap = {"value": 0.3, "low": 0.1, "high": 0.5, "between": ["old", "young"], "reason": ""}
    >>> gap_line({"gap": gap}), gap_line({"gap": {"value": None, "reason": "there is one group"}})
    ('largest gap 0.300 [0.100, 0.500], old above young', 'no gap (there is one group)')
    """
    gap = found["gap"]
    if gap.get("value") is None:
        return f"no gap ({gap.get('reason') or 'not measured'})"
    parts = [" ".join(filter(None, ("largest gap", *interval_text(gap)))), between(gap)]
    line = ", ".join(filter(None, parts))
    return f"{line} ({gap['reason']})" if gap.get("reason") else line


def _cell(cell: Mapping[str, Any], *more: str) -> Markup:
    value, interval = (re.sub(r"-(?=\d)", "−", text) for text in interval_text(cell))
    below = [element("span", {"class": "interval"}, interval)] if interval else []
    below += [element("span", {"class": "below"}, text) for text in more if text]
    return join("–" if value == "-" else value, *below)


def _gap(found: Mapping[str, Any] | None) -> Markup | str:
    if found is None:
        return "–"
    gap = found["gap"]
    return _cell(gap, between(gap), str(gap.get("reason") or ""))


def _entries(row: Mapping[str, Any], by: str) -> list[Entry]:
    return [entry for entry in row.get("subgroups", ()) if entry["by"] == by]


def _lines(entries: Sequence[Entry], names: Sequence[str]) -> Iterator[list[object]]:
    for entry in entries:
        for label, found in ((name_of(entry), entry), (f"{name_of(entry)}, less retrained", entry.get("less"))):
            if found is not None:
                yield [label, _gap(found), *(_cell(found["groups"].get(name, {})) for name in names)]


def _by(evidence: Evidence, by: str) -> Markup | None:
    rows = [row for row in evidence["rows"] if _entries(row, by)]
    if not rows:
        return None
    scores = list(dict.fromkeys(name_of(entry) for row in rows for entry in _entries(row, by)))
    largest = [[row["label"], *(_gap(_named(row, by, score)) for score in scores)] for row in rows]
    level = (evidence["run"].get("measured_by") or {}).get("level")
    caption = f"Largest gap between groups by {WORDS.get(by, by)}, with its {f'{level:.0%} ' if level else ''}interval"
    parts = [table(caption, ["model", *map(unbroken, scores)], largest)]
    for row in rows:
        entries = _entries(row, by)
        names = sorted({name for entry in entries for name in entry["groups"]})
        heads, caption = ["score", "largest gap", *names], f"{row['label']}: each score by {by}"
        size = f"{counted(len(entries), 'score', 'scores')} in {counted(len(names), 'group', 'groups')}"
        parts.append(folded(f"{row['label']}: {size}", table(caption, heads, [*_lines(entries, names)])))
    return join(element("h3", None, f"By {WORDS.get(by, by)}"), *parts)


def _named(row: Mapping[str, Any], by: str, score: str) -> Entry | None:
    return next((entry for entry in _entries(row, by) if name_of(entry) == score), None)


def subgroups(evidence: Evidence) -> Markup | None:
    """The section on subgroups; None where nothing groups the records.

    Args:
        evidence: as ``evidence.json`` holds it.
    """
    kinds = dict.fromkeys(entry["by"] for row in evidence["rows"] for entry in row.get("subgroups", ()))
    parts = [part for by in kinds if (part := _by(evidence, by))]
    return section("subgroups", "Subgroups", element("p", None, SAYS), *parts) if parts else None
