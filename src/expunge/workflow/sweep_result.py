"""What a sweep comes to: one row a method, measured on the reported subjects, and the table that is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.policy import Policy
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.report_cells import fixed
from expunge.evaluation.score_table import load_tables
from expunge.evaluation.several import equivalence_p, holm, positive
from expunge.evaluation.table import one_line
from expunge.workflow.sweep_plan import PLAN, Plan, settings_line
from expunge.workflow.sweep_trial import judged
from expunge.workflow.verbs import find_policy

NEARER = 0.2
"""How much nearer to the reference than the original a method must come in KS D to count as effective."""
DISTANCE = "forget_quality"
LABELS = {"original": "original", "reference": "retrained (the reference)", "second": "second reference: the ceiling"}
Row = dict[str, Any]


def result_of(
    out: Path,
    plan: Plan,
    chosen: Mapping[str, Mapping[str, Any]],
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    place: str,
) -> dict[str, Any]:
    """What ``sweep.json`` holds. Nothing in it depends on time or on who computed it.

    Args:
        out: folder of the sweep.
        plan: that was carried out.
        chosen: method -> card of the chosen trial.
        runs: method -> card of each run that was reported.
        place: folder of the reported score tables.
    """
    done = {name: [run for run in own if not run["failed"]] for name, own in runs.items()}
    tables: dict[str, Any] = {row: load_tables(out / place / row) for row in plan.world.models}
    for name, own in done.items():
        found = [load_tables(out / place / run["key"]) for run in own]
        tables |= {name: {role: [each[role] for each in found] for role in found[0]}} if found else {}
    items = PerItem(tables)
    given = {row: {"key": row, "label": LABELS[row], **judged(items, plan.spec, row=row)} for row in plan.world.models}
    rows = [_row(plan, chosen[name], runs.get(name, []), done.get(name, []), items) for name in plan.spec.methods]
    power = compare(rows, given["original"], plan, items)
    level = find_policy(plan.spec.policy).level
    return {
        "budget_tokens": plan.budget,
        "chosen_by": plan.spec.rule,
        "seeds": list(plan.spec.seeds),
        "level": level,
        "margin": _margin(plan),
        "positive_control": power,
        "policy": plan.spec.policy,
        "threads": plan.threads,
        "subjects": {part: len(subjects) for part, subjects in plan.parts.items()},
        "earlier_plans": len(read_json(out / PLAN)["earlier"]),
        "rows": [*given.values(), *rows],
    }


def _row(
    plan: Plan,
    card: Mapping[str, Any],
    runs: Sequence[Mapping[str, Any]],
    done: Sequence[Mapping[str, Any]],
    items: PerItem,
) -> Row:
    name = card["method"]
    trials = [trial for trial in plan.trials if trial.method == name]
    row: Row = {
        "key": name,
        "label": name.replace("_", " "),
        "settings": card["settings"],
        "trial": card["number"],
        "trials": len(trials),
        "tokens": sum(trial.tokens for trial in trials),
        "untuned": name in plan.untuned,
        "validation": {part: card.get(part) for part in ("cells", "kept")},
        "failed": card.get("failed") or next((run["failed"] for run in runs if run["failed"]), ""),
        "model": f"models/{card['key']}",
    }
    if not done:
        return {**row, "cells": {}, "kept": None, "detectors": []}
    return {**row, **judged(items, plan.spec, row=name, digests=(done[0]["after"], plan.models["original"]))}


def _margin(plan: Plan) -> float | None:
    criteria = {c.attack: c.margin for c in find_policy(plan.spec.policy).criteria}
    return criteria.get(DISTANCE)


def _power(cast: Cast, policy: Policy, margin: float) -> dict[str, Any]:
    """By how much the distance tells the original from one that never knew, and how much a policy asks for."""
    needed = policy.positive_control * margin
    try:
        value = positive(cast, DISTANCE).value
    except Unmeasured:
        return {"value": None, "needed": needed, "informative": False}
    return {"value": value, "needed": needed, "informative": value >= needed}


def compare(rows: Sequence[Row], original: Row, plan: Plan, items: PerItem) -> dict[str, Any] | None:
    """Say of each method whether it is effective here, and whether it cannot be told from one that never knew.

    Args:
        rows: of the methods; ``p``, ``p_holm``, ``effective`` and ``equivalent`` are added to each.
        original: its row.
        plan: says policy, floor and draws.
        items: reported scores of all models.

    Returns:
        The positive control; None where the policy does not compare the distance.
    """
    policy, margin = find_policy(plan.spec.policy), _margin(plan)

    def cast_of(key: str) -> Cast:
        names = {"model": key, "reference": "reference", "second": "second", "original": "original"}
        return Cast(items, names, policy.level, plan.spec.draws, plan.spec.seed)

    power = _power(cast_of("original"), policy, margin) if margin else None
    found: dict[str, float] = {}
    for row in rows:
        row["effective"], row["why_not"] = effective(row, original, plan.spec.floor)
        row["p"], row["p_reason"] = None, "" if margin else f"{policy.name} does not compare the distance"
        if margin:
            try:
                row["p"] = found[row["key"]] = equivalence_p(cast_of(row["key"]), DISTANCE, margin)
            except Unmeasured as reason:
                row["p_reason"] = str(reason)
    # What could not be measured was tried all the same, and counts among those that are adjusted for.
    adjusted = holm({row["key"]: found.get(row["key"], 1.0) for row in rows})
    for row in rows:
        near = row["key"] in found and adjusted[row["key"]] <= (1 - policy.level) / 2
        row["p_holm"] = adjusted[row["key"]] if row["key"] in found else None
        sound = bool(power and power["informative"]) and row["effective"] and not row["detectors"]
        row["equivalent"] = near and sound
    return power


def effective(row: Row, original: Row, floor: float) -> tuple[bool, str]:
    """Whether a method did anything worth its name on the reported subjects, and why not.

    >>> original = {"cells": {"ks": {"value": 0.7}}}
    >>> effective({"cells": {"ks": {"value": 0.6}}, "kept": {"value": 0.9}}, original, 0.8)
    (False, 'KS D 0.60 is not 0.2 below the 0.70 of the original')
    """
    distance = (row["cells"].get("ks") or {}).get("value")
    before = original["cells"]["ks"]["value"]
    kept = (row["kept"] or {}).get("value")
    if row.get("failed"):
        return False, row["failed"]
    if distance is None or kept is None or before is None:
        cell = row["cells"].get("ks") if distance is None else row["kept"]
        return False, str((cell or {}).get("reason") or "not measured")
    if distance > before - NEARER:
        return False, f"KS D {fixed(distance, 2)} is not {NEARER:g} below the {fixed(before, 2)} of the original"
    if kept < floor:
        return False, f"it keeps {fixed(kept, 2)} of the original's utility, less than {floor:g}"
    return True, ""


def _bracketed(cell: Mapping[str, Any] | None) -> str:
    if not cell or cell.get("value") is None:
        return "-"
    ends = [fixed(end, 2) for end in (cell.get("low"), cell.get("high")) if end is not None]
    tail = f" [{', '.join(ends)}]" if len(ends) == 2 else ""
    return fixed(cell["value"], 2) + tail


def _cells_of(row: Row) -> list[str]:
    validation = row.get("validation") or {}
    chosen = [
        _bracketed((validation.get("cells") or {}).get("ks")),
        _bracketed(validation.get("kept")).partition(" ")[0],
    ]
    shown = [_bracketed(row["cells"].get("ks")), _bracketed(row["kept"])]
    if "trials" not in row:
        return [row["label"], "", "", "", "", *shown, "", ""]
    counted = "untuned" if row["untuned"] else str(row["trials"])
    flag = "-" if row["p_holm"] is None else fixed(row["p_holm"], 3) + "*" * row["equivalent"]
    return [row["label"], counted, f"{row['tokens']:,}", *chosen, *shown, flag, _mark(row)]


def _mark(row: Row) -> str:
    if not row["effective"]:
        return "not effective here"
    return f"trips {', '.join(row['detectors'])}" if row["detectors"] else ""


HEADS = (
    ("method", "trials", "tokens", "KS D", "utility", "KS D", "utility", "p, Holm", ""),
    ("", "", "", "choosing", "choosing", "reported", "reported", "", ""),
)


def table_of(result: Mapping[str, Any]) -> str:
    """The table of a sweep as plain text, with what it rests on below it.

    Args:
        result: as ``sweep.json`` holds it.
    """
    body = [*HEADS, *(_cells_of(row) for row in result["rows"])]
    widths = [max(len(line[k]) for line in body) for k in range(len(HEADS[0]))]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:-1], widths[1:-1], strict=True))]
        return "  ".join([*padded, cells[-1]]).rstrip()

    lines = [*map(line, HEADS), "  ".join("-" * width for width in widths[:-1]), *map(line, body[len(HEADS) :]), ""]
    return "\n".join([*lines, *_below(result)]) + "\n"


def _weakness(power: Mapping[str, Any]) -> str:
    if power["value"] is None:
        return "KS D of the original beyond the ceiling could not be measured"
    return f"KS D of the original exceeds the ceiling's by {fixed(power['value'], 2)}, less than {power['needed']:g}"


def _below(result: Mapping[str, Any]) -> list[str]:
    tried = [row for row in result["rows"] if "trials" in row]
    people, share = result["subjects"], f"{result['level']:.0%}"
    seeds = ", ".join(map(str, result["seeds"]))
    lines = [
        f"Budget: {result['budget_tokens']:,} tokens forward and backward a method; seeds reported: {seeds}.",
        f"Chosen: {result['chosen_by']}.",
        f"Subjects: {people['validation']} choose, {people['reported']} others are reported; "
        f"{share} intervals over subjects and seeds. Utility is the share of the original's.",
    ]
    if result["margin"] is not None:
        alpha = (1 - result["level"]) / 2
        lines.append(
            f"p: how often resampling puts KS D {result['margin']:g} or more from the ceiling's, adjusted for "
            f"{len(tried)} methods (Holm); * marks those of at most {alpha:g} that are effective and trip no detector."
        )
        if not result["positive_control"]["informative"]:
            lines.append(f"Uninformative: {_weakness(result['positive_control'])}, so that no method is marked.")
    if result["earlier_plans"]:
        lines.append(f"Planned anew {result['earlier_plans']} times before the reported subjects were opened.")
    lines.append("")
    for row in tried:
        notes = [one_line(row["why_not"])] if row["why_not"] else []
        notes += [f"fired: {', '.join(row['detectors'])}"] if row["detectors"] else []
        note = "".join(f"; {text}" for text in notes)
        lines.append(f"{row['label']}: {settings_line(row['settings'])} (draw {row['trial']}){note}")
    return lines
