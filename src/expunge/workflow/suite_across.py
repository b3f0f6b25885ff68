"""A suite over several runs: forget sets of growing size, or one request after another. Source: MUSE (2407.06460), 3.3.

Scalability asks what becomes of a number as more is forgotten at once, sustainability as requests follow one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError, EvidenceError, StoreError
from expunge.core.suite import Reading
from expunge.evaluation.contrast import contrast
from expunge.evaluation.per_item import Unmeasured
from expunge.evaluation.suite_findings import MISSING, Findings, Measured, plain
from expunge.workflow.recompute import KEPT
from expunge.workflow.suite_budget import made_with
from expunge.workflow.suite_run import measured_in

By = Literal["sizes", "requests"]
NAMES = {"sizes": "scalability", "requests": "sustainability"}


def across_runs(runs: Sequence[Path], by: By) -> dict[str, Any]:
    """The readings that a suite compares over runs.

    Args:
        runs: folders of ``run_suite``; for requests in the order in which they were carried out.
        by: what tells the runs apart: ``sizes`` orders them by their forgotten records, ``requests`` numbers them.

    Returns:
        ``criterion``, ``steps`` (records or numbers), and for each reading its estimates, and the change from the first
        to the last, paired by record where both measured the same ones.

    Raises:
        ConfigError: there are fewer than two runs, or the suite compares nothing over runs.
        StoreError: a folder holds no run of a suite.
        EvidenceError: the runs are of different suites, or made their attacks with different settings.
    """
    if by not in get_args(By) or len(runs) < 2:
        raise ConfigError(
            "nothing to compare", why=f"{len(runs)} runs by {by}", next="Give two or more, by sizes or requests"
        )
    kept = [_kept(run) for run in runs]
    measured = [measured_in(run, about) for run, about in zip(runs, kept, strict=True)]
    suite = measured[0].suite
    if any(other.suite != suite for other in measured):
        raise EvidenceError("the runs are of different suites", next="Give runs of one suite")
    if not suite.across:
        raise ConfigError(f"the suite {suite.name} compares nothing over runs")
    made = [made_with(about, suite) for about in kept]
    if any(other[name] != made[0][name] for other in made for name in suite.across if name in made[0]):
        raise EvidenceError("the runs attacked with different settings", next="Run them at one budget")
    steps = [_forgotten(found) if by == "sizes" else place + 1 for place, found in enumerate(measured)]
    order = sorted(range(len(runs)), key=lambda i: steps[i])
    ordered = [measured[i] for i in order]
    return {
        "suite": suite.name,
        "criterion": NAMES[by],
        "steps": [steps[i] for i in order],
        "rows": [_row(ordered, suite.reading(name)) for name in suite.across],
    }


def _kept(run: Path) -> dict[str, Any]:
    kept = read_json(run / KEPT) if (run / KEPT).is_file() else {}
    if kept.get("kind") != "suite":
        raise StoreError(f"{run} holds no run of a suite", next="Run expunge suite first")
    return kept


def _forgotten(measured: Measured) -> int:
    """Distinct forgotten records."""
    parts = [part.name for part in measured.suite.parts if part.role == "forget"]
    tables = measured.tables["model"]
    return len({key for part in parts if part in tables for key in tables[part]["ids"]})


def _row(measured: Sequence[Measured], reading: Reading) -> dict[str, Any]:
    def value(found: Measured) -> dict[str, Any]:
        try:
            return plain(Findings(found).value(reading, "model"))
        except Unmeasured as reason:
            return {"skipped": str(reason)}

    told = {"name": reading.name, "question": reading.question, "better": reading.better}
    return {**told, "values": [value(found) for found in measured], "change": _change(measured, reading)}


def _change(measured: Sequence[Measured], reading: Reading) -> dict[str, Any]:
    """The last run less the first, each read with the reference and the original of its own run."""
    first, last = measured[0], measured[-1]
    earlier = {who: f"first.{who}" for who in last.tables if who in first.tables}
    tables = {**last.tables, **{name: first.tables[who] for who, name in earlier.items()}}
    try:
        found = Findings(replace(last, tables=tables))
        statistic = found.statistic(reading)
        for who, _, _ in statistic.needs:
            if who not in earlier:
                raise Unmeasured(MISSING.get(who, f"{who} was not measured in both runs"))
        cast = replace(found.cast, names={**found.cast.names, **{name: name for name in earlier.values()}})
        return plain(cast.estimate(*contrast(statistic, {}, earlier)))
    except Unmeasured as reason:
        return {"skipped": str(reason)}
    except EvidenceError:
        return {"skipped": "the first and the last run are not about the same records"}


def across_text(found: dict[str, Any]) -> str:
    """The comparison as plain text.

    Args:
        found: of ``across_runs``.
    """
    head = {"scalability": "forgotten records", "sustainability": "request"}[found["criterion"]]
    lines = [f"{found['suite']}, {found['criterion']}: {head} {', '.join(map(str, found['steps']))}"]
    for row in found["rows"]:
        values = "  ".join("-" if "skipped" in v or v["value"] is None else f"{v['value']:.3f}" for v in row["values"])
        change = row["change"]
        ends = (change.get("low"), change.get("high"))
        interval = "" if None in ends else f" [{ends[0]:+.3f}, {ends[1]:+.3f}]"
        last = change.get("skipped") or f"change {change['value']:+.3f}{interval}"
        lines.append(f"  {row['name']:<22} {values}  {last} (good: {row['better']})")
    return "\n".join(lines)
