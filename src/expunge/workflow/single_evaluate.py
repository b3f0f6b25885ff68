"""The evaluation of one request that is kept in a folder: checked, measured, judged, and written there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError
from expunge.core.launch import rank
from expunge.core.policy import Policy, Verdict
from expunge.ledger.certify import certificate_path
from expunge.workflow.measure import asked_beside
from expunge.workflow.policy_file import promised
from expunge.workflow.run import locked, require_extra
from expunge.workflow.shadow_plan import Shadows, check_shadows, known_recipe, shadow_cost
from expunge.workflow.single import (
    BY,
    CARD,
    EVALUATED,
    NAMED,
    WORK,
    read_outcome,
    require_result,
    wish_of,
    write_manifest,
)
from expunge.workflow.single_findings import keep_findings
from expunge.workflow.verbs import adopt, find_policy, measure, policy_for


def shadows_in(out: Path, reference: str, models: int, recipe: Path | None = None) -> Shadows | None:
    """The shadow models that the evaluation of a folder is asked for; they are kept in it.

    Args:
        out: folder of the result.
        reference: folder of a model that never knew.
        models: how many; 0 for none.
        recipe: file that states how the reference was trained, None for the one in its folder.

    Raises:
        ConfigError: a recipe is missing, malformed, or given without shadow models.
        StoreError: the folder holds no result.
    """
    if not models:
        if recipe is not None:
            raise ConfigError("--recipe goes with --shadows")
        return None
    require_result(out)
    settings = read_json(out / CARD).get("settings", {})
    return Shadows(out / BY, known_recipe(reference, recipe), models, settings)


def cost_in(out: Path, shadows: Shadows, reference: Any, *, seed: int) -> dict[str, Any]:
    """What the shadow models of a folder will cost. Trains and writes nothing; see ``shadow_plan.shadow_cost``.

    Args:
        out: folder of the result.
        shadows: of ``shadows_in``.
        reference: loaded.
        seed: of the evaluation.

    Raises:
        ExpungeError: they could not be trained.
    """
    outcome = read_outcome(out, ignoring=EVALUATED)
    check_shadows(shadows, outcome, reference, seed=seed)
    return shadow_cost(shadows, outcome, seed=seed)


def prepare_evaluation(
    out: Path, policy: str | Policy | None, reference: str, second: str | None
) -> tuple[Policy, dict[str, Any]]:
    """Check what an evaluation needs. Writes nothing.

    Args:
        out: folder of the result.
        policy: a policy or its name; None for the one that was fixed before the run, else that for what was wished.
        reference: folder of a model that never knew.
        second: folder of another, None for none.

    Returns:
        The policy, and the loaded references by argument of ``evaluate``.

    Raises:
        UnknownName: no policy has that name.
        StoreError: the folder holds no result.
        ConfigError: it is certified already.
        EvidenceError: the policy judges another wish, or the one that was fixed came in a file.
        TargetError: a reference cannot be loaded.
    """
    require_extra("expunge evaluate")
    if policy is not None:
        find_policy(policy)
    require_result(out)
    card = read_json(out / CARD)
    claim = card.get("claim") or {}
    fixed = promised(claim.get("policy", ""), claim.get("digest", "")) if policy is None else policy
    rule = policy_for(wish_of(card), fixed)
    if certificate_path(out, NAMED).exists():
        raise ConfigError(
            f"{out} is certified already",
            why="its certificate digests what was found before",
            next=f"Move {certificate_path(out, NAMED)} away first",
        )
    return rule, {"reference": adopt(reference), "second": adopt(second) if second else None}


def evaluate_folder(
    out: Path,
    *,
    policy: str | Policy | None,
    reference: str,
    second: str | None,
    scorers: Mapping[str, Any] | None = None,
    shadows: Shadows | None = None,
    seed: int = 0,
    sealed: bytes = b"",
) -> Verdict | None:
    """Measure what a folder holds against references, judge it, and keep what was found.

    Of several processes that a launcher started, each measures and the first alone writes.

    Args:
        out: folder of the result.
        policy: a policy or its name; None for the one that was fixed before the run, else that for what was wished.
        reference: folder of a model that never knew.
        second: folder of another, None for none.
        scorers: column -> who fills it; see ``verbs.evaluate``.
        shadows: of ``shadows_in``.
        seed: of attacks and resampling.
        sealed: the signed file that the policy came in, without which no certificate states one that does not ship.

    Returns:
        The verdict; None in a process that is not the first.

    Raises:
        UnknownName: no policy has that name, or no scorer fills a column of that name.
        StoreError: the folder holds no result.
        TargetError: a model cannot be loaded.
        EvidenceError: a scorer failed.
        ConfigError: such shadow models cannot be trained.
    """
    rule, models = prepare_evaluation(out, policy, reference, second)
    asked = asked_beside(scorers, shadows)
    how: dict[str, Any] = {**models, "scorers": scorers, "shadows": shadows, "seed": seed}
    if rank():
        measure(read_outcome(out, ignoring=EVALUATED), rule, **how)
        return None
    with locked(out):
        shutil.rmtree(out / WORK, ignore_errors=True)
        outcome = read_outcome(out, ignoring=EVALUATED)
        references = {name: model.digest() for name, model in models.items() if model is not None}
        measured = measure(outcome, rule, **how)
        kept: dict[str, Any] = {"asked": asked, "seed": seed, "sealed": sealed.decode()}
        verdict = keep_findings(out, outcome, rule, measured, references, **kept)
        write_manifest(out)
    return verdict
