"""One request on one model, kept in a folder: unlearn, evaluate, certify, each from what the last one wrote."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from expunge.core.canonical import digest, read_json
from expunge.core.certificate import Certificate, Residue, issue
from expunge.core.errors import ConfigError, EvidenceError, StoreError
from expunge.core.evidence import Measurement
from expunge.core.example import Examples
from expunge.core.files import write_bytes, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.outcome import Cost, Outcome, Overlay
from expunge.core.policy import Assessment, Verdict
from expunge.core.registry import methods
from expunge.core.request import Records, Request
from expunge.core.selection import Selection
from expunge.data.jsonl import dump_examples, read_examples
from expunge.ledger.certify import certificate_path, write_certificate
from expunge.ledger.home import home
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import trust
from expunge.workflow.run import locked, require_extra
from expunge.workflow.saved import Saved, guard_before
from expunge.workflow.verbs import adopt, evaluate, find_policy, unlearn_selection

CARD, DATA, MODEL, FOUND = "outcome.json", "data.jsonl", "unlearned", "assessment.json"
ROLES = ("forget", "retain", "holdout", "validation", "general")


@dataclass(frozen=True)
class Paths:
    """Where the parts of a request are.

    Args:
        model: folder or hub name.
        forget: records to forget.
        retain: records to keep.
        holdout: records that no model saw, None for none.
        validation: more of them, for calibration, None for none.
        general: facts that must survive, None for none.
    """

    model: str
    forget: Path
    retain: Path | None = None
    holdout: Path | None = None
    validation: Path | None = None
    general: Path | None = None


def read_selection(paths: Paths) -> Selection:
    """Read and check the files.

    Raises:
        StoreError: a file is missing or malformed.
        ScopeError: nothing to forget, or a record is in two roles.
    """
    found: dict[str, Examples] = {}
    for role in ROLES:
        path = getattr(paths, role)
        if path is not None:
            found[role] = Examples(replace(e, role=role) for e in read_examples(path))
    return Selection(**found)


def tuned(method: str, settings: Mapping[str, Any]) -> Any:
    """A registered method with some of its settings changed.

    Raises:
        UnknownName: no method has that name.
        ConfigError: the method has no such setting, or the value does not fit.
    """
    chosen = methods.get(method)
    given = {name: value for name, value in settings.items() if value is not None}
    if not given:
        return chosen
    if not all(hasattr(chosen, name) for name in given):
        raise ConfigError(f"{method} has no setting {', '.join(sorted(given))}", next="Leave it out")
    if "steps" in given:
        given["epochs"] = 0.0
    try:
        return replace(chosen, **given, version=f"{chosen.version}+{digest(given)[7:15]}")
    except ValidationError as error:
        raise ConfigError(f"a setting of {method} does not fit", why=str(error.errors()[0]["msg"])) from error


def unlearn_paths(
    paths: Paths, method: str, out: Path, *, settings: Mapping[str, Any], basis: str = "", seed: int = 0
) -> Outcome[Any] | Overlay[Any]:
    """Forget what a file lists, and keep the result with all that judging it needs.

    Args:
        paths: of model and data.
        method: name of a method.
        out: folder; the same command continues in it.
        settings: of the method, where they differ from its defaults.
        basis: ground of the request.
        seed: of the run.

    Raises:
        ExpungeError: whatever is wrong with model, data, method or settings; ``out`` then holds no result.
    """
    require_extra("expunge unlearn")
    chosen = tuned(method, settings)
    selection = read_selection(paths)
    with locked(out):
        if (out / CARD).exists():
            raise ConfigError(f"{out} already holds a result", next="Choose another --out, or remove the folder")
        target = adopt(paths.model)
        outcome = unlearn_selection(target, selection, chosen, seed=seed, workdir=out / ".work")
        request = Request("the forget set", Records(*selection.forget.ids), basis=basis)
        _keep(out, paths.model, selection, outcome, request)
    return outcome


def _keep(out: Path, model: str, selection: Selection, outcome: Any, request: Request) -> None:
    everything = [e for role in ROLES for e in selection.role(role)]
    write_bytes(out / DATA, dump_examples(everything))
    write_json(
        out / "request.json",
        {
            "subject": request.subject,
            "scope": list(selection.forget.ids),
            "basis": request.basis,
            "salt": request.salt,
        },
    )
    outcome.target.save(out / MODEL)
    card = {
        "original": model if not Path(model).exists() else str(Path(model).resolve()),
        "before": outcome.before,
        "after": outcome.target.digest(),
        "method": outcome.method,
        "recipe": outcome.recipe,
        "overlay": isinstance(outcome, Overlay),
        "claim": None if isinstance(outcome, Overlay) else TypeAdapter(type(outcome.claim)).dump_python(outcome.claim),
        "claim_type": type(outcome.claim).__name__,
        "seed": outcome.seed,
        "cost": {"seconds": outcome.cost.seconds, "steps": outcome.cost.steps, "tokens": outcome.cost.tokens},
        "notes": outcome.notes,
    }
    write_json(out / CARD, card)
    shutil.rmtree(out / ".work", ignore_errors=True)
    write_manifest(out)


def write_manifest(out: Path) -> None:
    """List every file of the folder; data, request and models hold personal data."""
    files = sorted(p for p in out.rglob("*") if p.is_file() and p.name != "manifest.json")
    public = (CARD, FOUND, "certificates")
    entries = (entry(out, p, personal=p.relative_to(out).parts[0] not in public) for p in files)
    Manifest(tuple(entries)).write(out)


def read_outcome(out: Path) -> Outcome[Any] | Overlay[Any]:
    """What ``unlearn_paths`` kept.

    Raises:
        StoreError: the folder holds no result.
    """
    from expunge.core import guarantee

    if not (out / CARD).is_file():
        raise StoreError(f"{out} holds no result", why=f"there is no {CARD}", next="Run expunge unlearn first")
    card = read_json(out / CARD)
    examples = read_examples(out / DATA)
    selection = Selection(**{role: examples.of(role) for role in ROLES})
    original = adopt(card["original"])
    shared: dict[str, Any] = {
        "before": card["before"],
        "method": card["method"],
        "recipe": card["recipe"],
        "selection": selection,
        "seed": card["seed"],
        "cost": Cost(**card["cost"]),
        "notes": card["notes"],
    }
    if original.digest() != card["before"]:
        raise StoreError(f"the model at {card['original']} is not the one that was unlearned", why="its digest differs")
    if card["overlay"]:
        return Overlay(target=guard_before(out / MODEL, original), base=original, **shared)
    claim = getattr(guarantee, card["claim_type"])(**card["claim"])
    return Outcome(target=Saved(out / MODEL).target, original=original, claim=claim, **shared)


def evaluate_folder(out: Path, *, policy: str, reference: str, second: str | None, seed: int = 0) -> Verdict:
    """Measure what a folder holds against references, judge it, and keep what was found.

    Raises:
        UnknownName: no policy has that name.
        StoreError: the folder holds no result.
        TargetError: a model cannot be loaded.
    """
    require_extra("expunge evaluate")
    rule = find_policy(policy)
    with locked(out):
        outcome = read_outcome(out)
        found = evaluate(outcome, policy=rule, reference=reference, second=second, seed=seed)
        body = {
            "policy": policy,
            "cells": found.assessed.cells,
            "assessment": TypeAdapter(Assessment).dump_python(found.assessed.assessment, mode="json"),
            "measurements": [TypeAdapter(Measurement).dump_python(m, mode="json") for m in found.assessed.measurements],
        }
        write_json(out / FOUND, body)
        write_manifest(out)
    return found.verdict


def certify_folder(out: Path) -> tuple[Certificate, Path]:
    """Sign what a folder holds. Without an evaluation the certificate says that nothing was measured.

    Raises:
        StoreError: the folder holds no result.
        EvidenceError: the stored assessment is malformed.
        LedgerError: another certificate is there already.
    """
    require_extra("expunge certify")
    with locked(out):
        outcome = read_outcome(out)
        kept = read_json(out / "request.json")
        request = Request(kept["subject"], Records(*kept["scope"]), basis=kept["basis"], salt=kept["salt"])
        known: dict[str, Any] = {}
        if (out / FOUND).is_file():
            body = read_json(out / FOUND)
            try:
                known = {
                    "policy": find_policy(body["policy"]),
                    "assessment": TypeAdapter(Assessment).validate_python(body["assessment"]),
                    "evidence": tuple(TypeAdapter(Measurement).validate_python(m) for m in body["measurements"]),
                }
            except (KeyError, ValidationError) as error:
                raise EvidenceError(f"{out / FOUND} is malformed", why=str(error)[:200]) from error
        residue = [Residue(name, why) for name, why in RESIDUE if (out / name).exists()]
        certificate = issue(request, outcome, residue=residue, **known)
        signer = ensure_key(home())
        trust(home(), signer.public, "this installation")
        artefacts = {"result": out / MODEL, "outcome": out / CARD}
        if (out / FOUND).is_file():
            artefacts["assessment"] = out / FOUND
        path = write_certificate(certificate, artefacts, out, certificate_path(out, "model"), signer)
        write_manifest(out)
    return certificate, path


RESIDUE = (
    (DATA, "the records themselves"),
    ("request.json", "the request with its scope and salt"),
    (MODEL, "the model after unlearning"),
)
