"""What the evaluation of one request found, in the form of a road's findings."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from expunge.core.canonical import read_json
from expunge.core.errors import StoreError
from expunge.core.evidence import Measurement
from expunge.core.files import replace_folder, write_json
from expunge.core.measure import SHADOWS
from expunge.core.policy import Assessment, Policy, Verdict
from expunge.data.jsonl import read_examples
from expunge.evaluation.score_table import save_tables
from expunge.workflow.conclude import Conclusion, write_findings
from expunge.workflow.recompute import Told, keep_walk, tables_in
from expunge.workflow.road import ORIGINAL, REFERENCE, SECOND, Road
from expunge.workflow.single import DATA, FOUND, NAMED, SCORES

GIVEN = {REFERENCE: "reference", SECOND: "second"}


def row_of(outcome: Any) -> str:
    """Key of the row of a result: the name of its method, so that runs of one method are compared."""
    return outcome.method.partition("/")[0]


def keep_findings(
    out: Path,
    outcome: Any,
    policy: Policy,
    measured: Mapping[str, Mapping[str, Any]],
    references: Mapping[str, str],
    *,
    seed: int,
    sealed: str = "",
    asked: Sequence[str] = (),
) -> Verdict:
    """Write score tables, what the findings rest on, and the findings; what certificates read comes last.

    Args:
        out: folder of the result.
        outcome: that was measured.
        policy: judged by.
        measured: of ``verbs.measure``.
        references: ``reference`` and ``second`` -> digest of the model.
        seed: of attacks and resampling.
        sealed: the signed file that the policy came in, empty for none.
        asked: names of scores and statistics that have columns of their own.

    Returns:
        The verdict on the result.
    """
    key = row_of(outcome)
    parts = {ORIGINAL: "original", **GIVEN, key: "model"}
    kept = {row: {row: measured[part]} for row, part in parts.items() if part in measured}
    kept |= {part: _each(part, measured[part]) for part in SHADOWS if part in measured}
    _keep_tables(out, {place: tables for places in kept.values() for place, tables in places.items()})
    scores = {row: [out / SCORES / place for place in places] for row, places in kept.items()}
    earlier = int(read_json(out / FOUND).get("attempts", 0)) if (out / FOUND).is_file() else 0
    single = {"row": key, "attempts": earlier + 1, "references": dict(references), "seed": seed}
    single |= {"sealed": sealed} if sealed else {}
    single |= {"asked": list(asked)} if asked else {}
    road = Road(
        name="",
        title=f"One request answered by {key.replace('_', ' ')}",
        corpus=read_examples(out / DATA),
        learned=(),
        recipe=None,
        methods={key: None},
        policy=policy,
        budget={},
        basis="",
        facts={"certificate": NAMED, **{name: told for name, told in outcome.notes.items() if name == "given"}},
        threads=0,
    )
    told = Told(road, out, {key: outcome}, {key: outcome.cost})
    keep_walk(out, told, scores, out / DATA, ridge={}, single=single)
    conclusion = concluded(told, {row: tables_in(folders) for row, folders in scores.items()}, single)
    write_findings(out, conclusion.evidence())
    write_found(out, single, conclusion)
    return conclusion.verdicts[key]


def concluded(told: Any, tables: Mapping[str, Mapping[str, Any]], single: Mapping[str, Any]) -> Conclusion:
    """What the score tables of one request come to.

    Args:
        told: in place of a walk.
        tables: key -> role or attack -> table.
        single: as ``conclusion.json`` keeps it.
    """
    references = single["references"]
    given = {row: references[part] for row, part in GIVEN.items() if part in references}
    return Conclusion(told, tables, given=given, seed=single["seed"], asked=single.get("asked", ()))


def write_found(out: Path, single: Mapping[str, Any], conclusion: Conclusion) -> None:
    """Write what a certificate needs of an evaluation.

    Args:
        out: folder.
        single: as ``conclusion.json`` keeps it.
        conclusion: of the score tables.
    """
    assessed = conclusion.assessed[single["row"]]
    body = {
        "policy": conclusion.road.policy.name,
        "attempts": single["attempts"],
        "references": single["references"],
        "cells": assessed.cells,
        "assessment": TypeAdapter(Assessment).dump_python(assessed.assessment, mode="json"),
        "measurements": [TypeAdapter(Measurement).dump_python(m, mode="json") for m in assessed.measurements],
    }
    write_json(out / FOUND, body)


def _each(part: str, roles: Mapping[str, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Place -> tables of each of the models that play a part."""
    count = len(next(iter(roles.values())))
    return {f"{part}/{n:03}": {role: tables[n] for role, tables in roles.items()} for n in range(count)}


def _keep_tables(out: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
    salts = {name: _salt_of(out / SCORES / name / "forget.json") for name in tables}
    with replace_folder(out / SCORES) as fresh:
        for name, found in tables.items():
            save_tables(fresh / name, dict(found), salt=salts[name])


def _salt_of(file: Path) -> str:
    """The secret that an earlier evaluation drew, so that the same tables are the same bytes; a new one otherwise."""
    with suppress(StoreError, AttributeError):
        if file.is_file() and (kept := read_json(file).get("salt")):
            return str(kept)
    return secrets.token_hex(32)
