"""expunge evaluate"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.showing import progress, say, say_json


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that expunge unlearn wrote.")],
    reference: Annotated[str, typer.Option(help="A model trained without the forgotten records.")],
    second: Annotated[str | None, typer.Option(help="Another such model with another seed: the ceiling.")] = None,
    policy: Annotated[str, typer.Option(help="Name of a policy; see expunge list policies.")] = "research-tofu",
    seed: Annotated[int, typer.Option(help="Of attacks and resampling.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything but measure and write nothing.")] = False,
) -> int:
    """Measure a result against models that never knew, and judge it. Exits 1 if the claim is not earned.

    Example: expunge evaluate runs/mine --reference retrained --second retrained-again
    """
    from expunge.core.canonical import read_json
    from expunge.workflow.single import FOUND, evaluate_folder, prepare_evaluation

    if dry_run:
        rule, _ = prepare_evaluation(run, policy, reference, second)
        say(f"would judge {run} by {rule.name} and write {run / FOUND}")
        return 0
    with progress():
        verdict = evaluate_folder(run, policy=policy, reference=reference, second=second, seed=seed)
    cells = read_json(run / FOUND)["cells"]
    if as_json:
        findings = [{"criterion": f.criterion, "status": f.status, "reason": f.reason} for f in verdict.findings]
        say_json({"policy": verdict.policy, "status": verdict.status, "findings": findings, "cells": cells})
    else:
        for name, cell in cells.items():
            shown = "-" if cell["value"] is None else f"{cell['value']:.4f}"
            low, high = cell["low"], cell["high"]
            interval = f"[{low:.4f}, {high:.4f}]" if low is not None and high is not None else cell["reason"]
            say(f"{name:<14} {shown:>10}  {interval}")
        for finding in verdict.findings:
            say(f"{finding.criterion:<14} {finding.status:>13}  {finding.reason}")
        say(f"{verdict.policy}: {verdict.status}")
    return 0 if verdict.status == "earned" else 1
