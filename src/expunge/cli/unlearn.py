"""expunge unlearn"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.showing import progress, say, say_json

Retain = Annotated[Path | None, typer.Option(help="Records to keep, in the same form; most methods train on them.")]
Holdout = Annotated[Path | None, typer.Option(help="Records that no model saw; evidence reads them.")]
Validation = Annotated[Path | None, typer.Option(help="More of them; a method may calibrate on them.")]
General = Annotated[Path | None, typer.Option(help="Facts that must survive.")]


def unlearn(
    model: Annotated[str, typer.Option(help="Folder or hub name of a causal LM.")],
    forget: Annotated[Path, typer.Option(help="Records to forget: JSON or JSON Lines with question and answer.")],
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
    basis: Annotated[str, typer.Option(help="Ground of the request, for the certificate.")] = "",
    seed: Annotated[int, typer.Option(help="Of the run.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything but train and write nothing.")] = False,
) -> None:
    """Make a model forget what a file lists. The model itself stays as it is; killed, the same command continues.

    Example: expunge unlearn --model m --forget f.jsonl --retain r.jsonl --method npo --out runs/mine
    """
    from expunge.workflow.single import Paths, prepare, unlearn_paths

    paths = Paths(model, forget, retain, holdout, validation, general)
    settings = {"steps": steps, "lr": lr, "batch_size": batch_size, "save_every": save_every}
    if dry_run:
        selection, chosen, _ = prepare(paths, method, out, settings)
        say(f"would forget {len(selection.forget)} records by {chosen.name} and write to {out}")
        return
    with progress():
        outcome = unlearn_paths(paths, method, out, settings=settings, basis=basis, seed=seed)
    facts = {"before": outcome.before, "after": outcome.target.digest(), "method": outcome.method, "out": str(out)}
    if as_json:
        say_json({**facts, "seconds": outcome.cost.seconds})
        return
    for name, value in facts.items():
        say(f"{name:<7} {value}")
    say("nothing is claimed until it is measured: expunge evaluate")
