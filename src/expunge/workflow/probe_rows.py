"""What a probe asks of a model, the numbers that each input gave, and what they come to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.core.access import Access, Oracle
from expunge.core.attack import ORIGINAL, Budget, at_budget, needs_of, run_attack
from expunge.core.canonical import canonical_bytes
from expunge.core.columns import COLUMNS, split
from expunge.core.errors import ConfigError, EvidenceError, ScopeError, UnknownName
from expunge.core.evidence import Estimate
from expunge.core.example import ROLES, Example, Examples
from expunge.core.measure import MEMBER, Statistic
from expunge.core.registry import attacks, metrics
from expunge.core.selection import Selection
from expunge.core.suite import Part
from expunge.evaluation.attacking import UNSEEN, attack_statistic
from expunge.evaluation.contrast import Cast, contrast
from expunge.evaluation.per_item import PerItem, Unmeasured, outcomes
from expunge.ledger.probe import Commitment, ProbeSet

MODEL, REFERENCE = "model", "reference"
ABOUT = ("ids", "subjects")
ALL = "a probe needs a row of every input, or nobody could tell what an attack left out from what the auditor did"
Rows = dict[str, dict[str, dict[str, Any]]]
"""Model or reference -> role or attack -> ``ids``, ``subjects`` and a number per input by the score's name."""


def selection_of(inputs: Sequence[Example]) -> Selection:
    """Probes by their roles.

    Raises:
        ScopeError: none is of the role forget, or two roles hold the same record.
    """
    found = Examples(inputs)
    roles: dict[str, Any] = {role: found.of(role) for role in ROLES}
    return Selection(**roles)


def statistic_of(metric: str) -> Statistic:
    """What a probe comes to.

    Raises:
        UnknownName: no metric or attack has that name.
        ConfigError: it needs what an auditor who holds one model and a reference does not have.
    """
    try:
        found = attack_statistic(metric)[0]
    except Unmeasured as reason:
        if metric in attacks.names():
            raise ConfigError(f"{metric} cannot be a probe", why=str(reason)) from reason
        raise UnknownName("metric or attack", metric, [*metrics.names(), *attacks.names()]) from reason
    needed = {model for model, _, _ in found.needs} - {MODEL, REFERENCE}
    if metric in attacks.names() and ORIGINAL in needs_of(attacks.get(metric)):
        needed.add(ORIGINAL)
    if needed:
        raise ConfigError(f"{metric} cannot be a probe", why=f"it also needs {', '.join(sorted(needed))}")
    columns = [column for name in _scores(found) for column in metrics.get(name).needs]
    if lacking := [column for column in columns if COLUMNS[split(column)[0]].source == "scorer"]:
        raise ConfigError(f"{metric} cannot be a probe", why=f"whoever runs it would choose who fills {lacking[0]}")
    return found


def _scores(statistic: Statistic) -> list[str]:
    return [name for _, _, name in statistic.needs if name in metrics.names() and name != MEMBER]


def access_for(metric: str) -> Access:
    """The flags that a metric or an attack needs."""
    if metric in attacks.names():
        return attacks.get(metric).access
    found = Access.NONE
    for name in _scores(statistic_of(metric)):
        found |= metrics.get(name).access
    return found


def settings_of(metric: str, budget: Budget) -> str:
    """Digest of an attack as it is set at a budget; empty for what is no attack."""
    return at_budget(attacks.get(metric), budget).digest() if metric in attacks.names() else ""


def reads_reference(metric: str) -> bool:
    """Whether a metric is no number of one model alone."""
    return any(model == REFERENCE for model, _, _ in statistic_of(metric).needs)


def check_inputs(metric: str, inputs: Sequence[Example], budget: Budget) -> None:
    """Raise where a role that a metric reads has no inputs, or more than an attack asks at a budget.

    Raises:
        ScopeError: names the role.
    """
    selection = selection_of(inputs)
    wanted = {role for _, role, _ in statistic_of(metric).needs if role in ROLES}
    if metric in attacks.names():
        wanted = set(needs_of(attacks.get(metric)))
    for role in sorted(wanted):
        if not selection.role(role):
            next = f'Give some inputs "role": "{role}", or choose another --metric'
            raise ScopeError(f"{metric} also reads {role} records", why="the inputs hold none", next=next)
    most = getattr(at_budget(attacks.get(metric), budget), "records", None) if metric in attacks.names() else None
    if most is not None and len(selection.forget) > most:
        next = "Give fewer inputs, or --budget full"
        raise ScopeError(f"{metric} asks {most} of {len(selection.forget)} inputs", why=ALL, next=next)


def ask(oracles: Mapping[str, Oracle], probes: ProbeSet, plan: Commitment) -> Rows:
    """Run the inputs on each model.

    Args:
        oracles: ``model``, and ``reference`` where there is one.
        probes: the inputs.
        plan: what was committed to.

    Returns:
        A number per input, score and model.

    Raises:
        TargetError: a model does not grant the access that is needed.
        EvidenceError: what was measured cannot be read.
    """
    statistic, inputs = statistic_of(plan.metric), Examples(probes.inputs)
    raw = {arm: _tables(oracle, inputs, plan, statistic) for arm, oracle in oracles.items()}
    items, rows = PerItem(raw), Rows()
    try:
        for arm in oracles:
            for _, role, name in statistic.needs:
                table = rows.setdefault(arm, {}).setdefault(role, {})
                table["ids"], table["subjects"] = items.ids(role), items.subjects(role)
                table[name] = [float(value) for value in items.values(arm, role, name)[0]]
    except Unmeasured as reason:
        raise EvidenceError(f"{plan.metric} cannot be measured", why=str(reason)) from reason
    return rows


def _tables(oracle: Oracle, inputs: Examples, plan: Commitment, statistic: Statistic) -> dict[str, Any]:
    from expunge.workflow.suite_measure import part_table

    oracle.require(access_for(plan.metric), plan.metric)
    if plan.metric in attacks.names():
        attack = at_budget(attacks.get(plan.metric), plan.budget)
        return {plan.metric: outcomes(run_attack(attack, oracle, selection_of(inputs), seed=plan.seed))}
    wanted: dict[Any, list[str]] = {}
    for _, role, name in statistic.needs:
        wanted.setdefault(role, []).append(name)
    return {role: part_table(oracle, Part(role, role), inputs.of(role), names, {}) for role, names in wanted.items()}


def rows_bytes(rows: Rows) -> bytes:
    """The canonical bytes of the file of rows."""
    return canonical_bytes(rows)


def read_rows(data: bytes) -> Rows:
    """Rows from their file.

    Raises:
        EvidenceError: it is none.
    """
    try:
        found = json.loads(data)
        rows: Rows = {
            arm: {
                role: {
                    name: [str(value) if name in ABOUT else float(value) for value in values]
                    for name, values in table.items()
                }
                for role, table in tables.items()
            }
            for arm, tables in found.items()
        }
        if rows_bytes(rows) == data:
            return rows
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise EvidenceError("the file of rows is malformed", why=str(error)[:120]) from error
    raise EvidenceError("the file of rows is malformed", why="it is not spelled as this library spells it")


def asked_of(name: str, probes: ProbeSet, plan: Commitment) -> set[str]:
    """Ids of the inputs that rows must be about.

    Args:
        name: of the table: a role, or the attack.
        probes: the inputs.
        plan: what was committed to.
    """
    if plan.metric not in attacks.names():
        return {e.record_id for e in probes.inputs if e.role == name}
    selection, attack = selection_of(probes.inputs), at_budget(attacks.get(plan.metric), plan.budget)
    own: Examples = attack.split(selection.forget)[1] if hasattr(attack, "split") else selection.forget
    if any(column == UNSEEN for _, _, column in statistic_of(plan.metric).needs):
        own = own + selection.holdout
    return set(own.ids)


def check_rows(rows: Rows, probes: ProbeSet, plan: Commitment) -> list[str]:
    """Where rows are not one for each input that is asked; none if they are."""
    held = {e.record_id: e for e in probes.inputs}
    found: list[str] = []
    for arm, tables in rows.items():
        for name, table in tables.items():
            wanted = asked_of(name, probes, plan)
            ids, about = list(table.get("ids", ())), list(table.get("subjects", ()))
            if set(ids) != wanted or len(set(ids)) < len(ids):
                there = f"{len(set(ids) & wanted)} of {len(wanted)} have one"
                found.append(f"rows of the {arm} on {name} are not those of the inputs: {there}")
            elif about != [held[key].subject or key for key in ids]:
                found.append(f"rows of the {arm} on {name} are not those of the inputs: subjects differ")
            elif UNSEEN in table and list(table[UNSEEN]) != [float(held[key].role != ROLES[0]) for key in ids]:
                found.append(f"rows of the {arm} on {name} are not those of the inputs: roles differ")
    return found


def estimates(rows: Rows, plan: Commitment) -> tuple[Estimate, Estimate | None]:
    """What rows come to: the metric on the model with its interval, and its difference to the reference.

    The difference is None without a reference, and for a statistic that reads the reference itself.

    Raises:
        EvidenceError: rows that are missing or do not fit one another.
    """
    statistic = statistic_of(plan.metric)
    tables = {
        arm: {role: {n: v if n in ABOUT else np.array(v) for n, v in table.items()} for role, table in parts.items()}
        for arm, parts in rows.items()
    }
    names = {arm: arm for arm in (MODEL, REFERENCE) if arm in rows}
    cast = Cast(PerItem(tables), names, level=plan.level, draws=plan.draws, seed=plan.seed)
    try:
        value = cast.estimate(statistic.function, statistic.needs)
        if REFERENCE not in names or any(model == REFERENCE for model, _, _ in statistic.needs):
            return value, None
        return value, cast.estimate(*contrast(statistic, {}, {MODEL: REFERENCE}))
    except Unmeasured as reason:
        raise EvidenceError(f"{plan.metric} cannot be read from the rows", why=str(reason)) from reason
