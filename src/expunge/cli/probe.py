"""expunge audit probe"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from expunge.cli.given import present, public_key
from expunge.cli.showing import Json, add, progress, say_json, tell

probe = typer.Typer(
    help="An auditor's private inputs: committed to first, run later, the result signed.", rich_markup_mode=None
)
Folder = Annotated[Path, typer.Argument(help="Folder that expunge audit probe commit wrote.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Check everything that can be checked; write nothing.")]


@probe.callback(epilog="Example: expunge audit probe commit --inputs probes.jsonl --out probe")
def group() -> None:
    """An auditor's private inputs: committed to first, run later, the result signed."""


def commit(
    inputs: Annotated[Path, typer.Option(help="Records to ask about; those without a role are to be forgotten.")],
    out: Annotated[Path, typer.Option(help="New or empty folder.")],
    metric: Annotated[str, typer.Option(help="Score, statistic or attack: see expunge list.")] = "probability",
    access: Annotated[
        list[str] | None, typer.Option(help="TEXT, LOGPROBS, WEIGHTS or FINETUNE, repeated; by default what it needs.")
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="Folder of a model that never knew, to be asked too.")] = None,
    budget: Annotated[Literal["quick", "full"], typer.Option(help="Of an attack.")] = "quick",
    seed: Annotated[int, typer.Option(help="Of attack and resampling.", min=0)] = 0,
    as_json: Json = False,
    dry_run: Dry = False,
) -> None:
    """Fix a private set of inputs and how it is measured, before the model is handed over. The auditor's first step.

    Writes set.json, which stays with the auditor until he reveals it, and commitment.json, a signed salted digest that
    tells nobody what the inputs are. The operator puts that into his log with expunge audit probe log, and gives the
    receipt back; only it shows later which came first. The key that signs here must sign the result.

    Example: expunge audit probe commit --inputs probes.jsonl --out probe
    """
    from expunge.workflow.probe_commit import COMMITMENT, SET, Asked, prepare_commitment
    from expunge.workflow.probe_commit import commit as write
    from expunge.workflow.run import require_extra

    place, other = present(inputs, "inputs"), None
    if reference is not None:
        other = str(present(reference, "reference"))
        require_extra("expunge audit probe commit --reference")
    asked = Asked(metric, None if access is None else tuple(access), budget, seed=seed, reference=other)
    if dry_run:
        _, said = prepare_commitment(place, out, asked)
        facts = {"items": said.items, "metric": metric, "access": list(said.access), "out": str(out), "written": False}
        tell(as_json, f"would commit to {said.items} inputs for {metric} and write {out}", facts)
        return
    found = write(place, out, asked)
    facts = {"items": found.said.items, "metric": metric, "access": list(found.said.access), "out": str(out)}
    facts |= {"commitment": found.digest, "inputs": found.said.inputs, "reference": found.said.reference}
    facts |= {"keyid": found.keyid, "written": True}
    told = f"{found.said.items} inputs for {metric} are committed to, {found.said.inputs}"
    next = f"keep {out / SET} to yourself, and hand over {out / COMMITMENT}"
    tell(as_json, f"{told}\n{next}", facts)


def log(
    commitment: Annotated[Path, typer.Argument(help="The auditor's commitment.json.")],
    key: Annotated[str | None, typer.Option(help="The auditor's public key: a file, or its text.")] = None,
    as_json: Json = False,
    dry_run: Dry = False,
) -> None:
    """Put an auditor's commitment into the log here and write the receipt beside it. The operator's step, before the
    model is certified and handed over.

    Example: expunge audit probe log probe/commitment.json
    """
    from expunge.ledger.receipt import receipt_path
    from expunge.workflow.probe_commit import log_commitment, trusted_commitment

    place, given = present(commitment, "commitment"), None if key is None else public_key(key)
    facts: dict[str, Any] = {"receipt": str(receipt_path(place)), "commitment": trusted_commitment(place, given).digest}
    if dry_run:
        tell(as_json, f"would log {place} and write {receipt_path(place)}", {**facts, "written": False})
        return
    path, seq = log_commitment(place, given)
    tell(as_json, f"logged as leaf {seq}; give back {path}", {**facts, "leaf": seq, "written": True})


def run(
    folder: Folder,
    model: Annotated[Path, typer.Option(help="Folder of the model that was handed over.")],
    reference: Annotated[
        Path | None, typer.Option(help="Folder of the model that never knew, as committed to.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="That the model was handed over with.")] = None,
    as_json: Json = False,
    dry_run: Dry = False,
) -> None:
    """Ask the model the committed inputs. Refuses a set or a reference that is not the committed one, and a model other
    than the certificate's.

    Writes rows.json, a number per input, which is private, and result.json, which is not signed yet.

    Example: expunge audit probe run probe --model unlearned --certificate certificates/model.certificate.json
    """
    from expunge.core.canonical import plain
    from expunge.workflow.audit_probe import RESULT
    from expunge.workflow.audit_probe import run as ask
    from expunge.workflow.probe_commit import opened
    from expunge.workflow.probe_verify import shown
    from expunge.workflow.run import require_extra

    probes, found = opened(present(folder, "folder"))
    for path, what in ((model, "model"), (reference, "reference"), (certificate, "certificate")):
        if path is not None:
            present(path, what)
    require_extra("expunge audit probe run")
    if dry_run:
        facts = {"items": len(probes.inputs), "metric": found.said.metric, "written": False}
        tell(as_json, f"would ask {model} {len(probes.inputs)} inputs for {found.said.metric}", facts)
        return
    with progress():
        ran = ask(folder, str(model), reference=None if reference is None else str(reference), certificate=certificate)
    if as_json:
        say_json({**plain(ran.result), "rows": plain(ran.rows), "result": str(folder / RESULT), "written": True})
        return
    lines = [f"{found.said.metric}: {shown(ran.result.value)}"]
    if ran.result.difference is not None:
        lines.append(f"less that of the reference: {shown(ran.result.difference)}")
    if not ran.result.certificate:
        lines.append("no certificate was given: nothing will show that the inputs were fixed before the model was")
    tell(False, "\n".join([*lines, f"not signed yet: expunge audit probe sign {folder}"]), {})


def sign(folder: Folder, as_json: Json = False, dry_run: Dry = False) -> None:
    """Sign the result with the key of the commitment, once it was computed again from the rows.

    The statement names commitment, certificate, model and result. Publish the folder without set.json and rows.json,
    or with them, if the inputs may be known; expunge verify takes either.

    Example: expunge audit probe sign probe
    """
    from expunge.workflow.audit_probe import STATEMENT, ready_result, sign_result

    ready_result(present(folder, "folder"))
    place = folder / STATEMENT
    if dry_run:
        tell(as_json, f"would sign the result and write {place}", {"statement": str(place), "written": False})
        return
    sign_result(folder)
    tell(as_json, str(place), {"statement": str(place), "written": True})


for called, verb in {"commit": commit, "log": log, "run": run, "sign": sign}.items():
    add(probe, called, verb)
