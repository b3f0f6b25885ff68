"""expunge unlearn"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.given import impersonal, one_each
from expunge.cli.showing import progress, say, say_json, tell
from expunge.core.errors import ConfigError

Retain = Annotated[Path | None, typer.Option(help="Records to keep, in the same form; most methods train on them.")]
Holdout = Annotated[Path | None, typer.Option(help="Records that no model saw; evidence reads them.")]
Validation = Annotated[Path | None, typer.Option(help="More of them; a method may calibrate on them.")]
General = Annotated[Path | None, typer.Option(help="Facts that must survive.")]
FORGET = "Records to forget: JSON Lines, Parquet, SQLite or a saved dataset. Given again, a request of its own."


def unlearn(
    model: Annotated[str, typer.Option(help="Folder or hub name of a causal LM.")],
    forget: Annotated[list[Path], typer.Option(help=FORGET)],
    method: Annotated[str, typer.Option(help="Name of a method; see expunge list methods.")],
    out: Annotated[Path, typer.Option(help="Folder for the result.")],
    retain: Retain = None,
    holdout: Holdout = None,
    validation: Validation = None,
    general: General = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.", min=1)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Forget records a step.", min=1)] = None,
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.", min=1)] = None,
    in_sequence: Annotated[
        bool, typer.Option("--in-sequence", help="Answer several requests one after another, not together.")
    ] = False,
    basis: Annotated[
        str, typer.Option(help="Ground of the request; stands in the certificate as it is: no names.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of the run.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything but train and write nothing.")] = False,
) -> None:
    """Make a model forget what a file lists. The model itself stays as it is; killed, the same command continues.

    Several requests are kept in a folder each below --out: request-1, request-2, and so on.

    Example: expunge unlearn --model m --forget f.jsonl --retain r.jsonl --method npo --out runs/mine
    """
    from expunge.workflow.request_folders import folders_of, prepare_several, unlearn_several
    from expunge.workflow.single import Paths, prepare, unlearn_paths

    one_each(forget)
    if in_sequence and len(forget) == 1:
        raise ConfigError("--in-sequence orders several requests", why="--forget is given once", next="Leave it out")
    paths = [Paths(model, each, retain, holdout, validation, general) for each in forget]
    settings = {"steps": steps, "lr": lr, "batch_size": batch_size, "save_every": save_every}
    how: dict[str, Any] = {"settings": settings, "basis": impersonal(basis), "seed": seed}
    if len(paths) == 1:
        if dry_run:
            selection, chosen, _ = prepare(paths[0], method, out, settings)
            text = f"would forget {len(selection.forget)} records by {chosen.name} and write to {out}"
            facts = {"forget": len(selection.forget), "method": chosen.name, "out": str(out), "written": False}
            tell(as_json, text, facts)
            return
        with progress():
            outcome = unlearn_paths(paths[0], method, out, **how)
        _tell([(out, outcome)], as_json, alone=True)
        return
    if dry_run:
        selections, chosen, _ = prepare_several(paths, method, out, settings, in_sequence=in_sequence)
        counts = [len(s.forget) for s in selections]
        sizes = " and ".join(map(str, counts))
        order = "one after another" if in_sequence else "together"
        facts = {"forget": counts, "in_sequence": in_sequence, "method": chosen.name, "out": str(out), "written": False}
        tell(as_json, f"would forget {sizes} records {order} by {chosen.name} and write to {out}", facts)
        return
    with progress():
        answers = unlearn_several(paths, method, out, in_sequence=in_sequence, **how)
    _tell(zip(folders_of(out, len(paths)), (a.outcome for a in answers), strict=True), as_json)


def _tell(results: Iterable[tuple[Path, Any]], as_json: bool, *, alone: bool = False) -> None:
    told: list[dict[str, Any]] = []
    for out, outcome in results:
        facts = {"before": outcome.before, "after": outcome.target.digest(), "method": outcome.method, "out": str(out)}
        told.append({**facts, "seconds": outcome.cost.seconds})
        if not as_json:
            for name, value in facts.items():
                say(f"{name:<7} {value}")
    if as_json:
        say_json(told[0] if alone else {"requests": told})
        return
    say("nothing is claimed until it is measured: expunge evaluate")
