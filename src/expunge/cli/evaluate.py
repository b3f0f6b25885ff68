"""expunge evaluate"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.given import Scorers, judging, scorers_of
from expunge.cli.showing import progress, say, say_json, tell

Source = Annotated[
    Path | None,
    typer.Option("--from", help="Compute again from the score tables of a finished run, without a model."),
]
Shadows = Annotated[
    int, typer.Option(help="Train so many shadow models into the run and attack by them: even, from 4 on.", min=0)
]
Recipe = Annotated[
    Path | None,
    typer.Option(help="With --shadows: how the reference was trained; by default recipe.json in its folder."),
]
Judged = Annotated[
    str | None,
    typer.Option(help="Name of a policy or a signed file of one, by default what unlearn fixed, or that of the wish."),
]
Logged = Annotated[
    Path | None,
    typer.Option(
        "--import", help="Log of open-unlearning or TOFU; --reference, --second and --original then name logs too."
    ),
]


def evaluate(
    run: Annotated[Path | None, typer.Argument(help="Folder that expunge unlearn wrote.")] = None,
    reference: Annotated[str | None, typer.Option(help="A model trained without the forgotten records.")] = None,
    second: Annotated[str | None, typer.Option(help="Another such model with another seed: the ceiling.")] = None,
    policy: Judged = None,
    key: Annotated[str | None, typer.Option(help="Public key of whoever signed the policy file.")] = None,
    source: Source = None,
    log: Logged = None,
    original: Annotated[Path | None, typer.Option(help="With --import: log of the model before unlearning.")] = None,
    scorer: Scorers = None,
    shadows: Shadows = 0,
    recipe: Recipe = None,
    seed: Annotated[int, typer.Option(help="Of attacks, resampling and shadow models.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything but measure and write nothing.")] = False,
) -> int:
    """Measure a result against models that never knew, and judge it. Exits 1 if the claim is not earned.

    The folder then holds evidence.json, table.txt and report.html, as a demo's does, for expunge report.

    A scorer adds the scores that read its column, shadow models add LiRA and U-LiRA; a policy may list them. Each
    shadow model is a training like the reference's and an unlearning: --dry-run counts them. Killed, the same command
    continues. They know records that were to be forgotten, and stay in the folder, below shadows.

    With --from nothing is measured: what a run of any kind found is computed again from its score tables, files that
    are missing are put back, and it exits 1 if a file differs from what comes out. With --policy as well, the tables
    are judged by that policy and nothing is written. Neither needs a machine learning package.

    With --import nothing is measured or written either: the table of a model that another tool evaluated is computed
    from its log. It judges nothing, since nobody here could attack that model.

    Example: expunge evaluate runs/mine --reference retrained --second retrained-again
    """
    rule, sealed = judging(policy, key)
    if source is not None:
        if any((run, reference, second, log, original, scorer, shadows, recipe)):
            raise typer.BadParameter("--from takes the run and nothing else to measure")
        return _rejudged(source, rule, as_json) if rule else _again(source, as_json, dry_run)
    if log is not None:
        if reference is None or any((run, scorer, shadows, recipe)):
            raise typer.BadParameter("--import takes a log and --reference, the log of a model that never knew")
        return _imported((log, reference, second, original), rule, seed, as_json, dry_run)
    if original is not None:
        raise typer.BadParameter("--original belongs to --import")
    if run is None or reference is None:
        raise typer.BadParameter("give the folder of a result and --reference, or --from a finished run")
    from expunge.core.canonical import read_json
    from expunge.workflow.report import beside
    from expunge.workflow.single import FOUND
    from expunge.workflow.single_evaluate import evaluate_folder, shadows_in

    models = {"reference": reference, "second": second}
    asked = {"scorers": scorers_of(scorer or ()), "shadows": shadows_in(run, reference, shadows, recipe)}
    if dry_run:
        return _would(run, rule, models, asked, seed, as_json)
    with progress():
        verdict = evaluate_folder(run, policy=rule, **models, **asked, seed=seed, sealed=sealed)
    if verdict is not None:
        _show(verdict, read_json(run / FOUND)["cells"], as_json, beside(run))
    return 1 if verdict is not None and verdict.status != "earned" else 0


def _would(run: Path, rule: Any, models: Mapping[str, Any], asked: Mapping[str, Any], seed: int, as_json: bool) -> int:
    """Check everything but measure, and say what would be done."""
    from expunge.workflow.shadow_plan import cost_text
    from expunge.workflow.single import FOUND
    from expunge.workflow.single_evaluate import cost_in, prepare_evaluation

    rule, loaded = prepare_evaluation(run, rule, **models)
    text = f"would judge {run} by {rule.name} and write {run / FOUND}, evidence.json, table.txt and report.html"
    facts: dict[str, Any] = {"policy": rule.name, "run": str(run), "written": False}
    if asked["scorers"]:
        facts["scorers"] = sorted(asked["scorers"])
        text = f"{text}\nwould ask the scorers of {' and '.join(facts['scorers'])}"
    if asked["shadows"]:
        facts["shadows"] = cost_in(run, asked["shadows"], loaded["reference"], seed=seed)
        text = f"{text}\n{cost_text(facts['shadows'])}"
    tell(as_json, text, facts)
    return 0


def _show(verdict: Any, cells: Mapping[str, Any], as_json: bool, more: Mapping[str, Any]) -> None:
    if as_json:
        say_json({**_facts(verdict, cells), **more})
        return
    for name, cell in cells.items():
        shown = "-" if cell["value"] is None else f"{cell['value']:.4f}"
        low, high = cell["low"], cell["high"]
        interval = f"[{low:.4f}, {high:.4f}]" if low is not None and high is not None else cell["reason"]
        say(f"{name:<14} {shown:>10}  {interval}")
    _findings(verdict)


def _findings(verdict: Any) -> None:
    for finding in verdict.findings:
        say(f"{finding.criterion:<14} {finding.status:>13}  {finding.reason}")
    say(f"{verdict.policy}: {verdict.status}")


def _facts(verdict: Any, cells: Mapping[str, Any]) -> dict[str, Any]:
    findings = [{"criterion": f.criterion, "status": f.status, "reason": f.reason} for f in verdict.findings]
    return {"policy": verdict.policy, "status": verdict.status, "findings": findings, "cells": cells}


def _rejudged(run: Path, policy: Any, as_json: bool) -> int:
    from expunge.core.canonical import digest
    from expunge.workflow.rejudge import rejudge

    found = rejudge(run, policy)
    if as_json:
        methods = {method: _facts(verdict, found.cells[method]) for method, verdict in found.verdicts.items()}
        say_json({"policy": policy.name, "digest": digest(policy), "earned": found.earned, "methods": methods})
        return 0 if found.earned else 1
    for method, verdict in found.verdicts.items():
        say(f"{method}:")
        _findings(verdict)
    say(f"judged after the fact by {policy.name}, version {policy.version}, {digest(policy)}")
    return 0 if found.earned else 1


def _again(run: Path, as_json: bool, dry_run: bool) -> int:
    from expunge.workflow.recompute import recompute

    found = recompute(run, write=not dry_run)
    if as_json:
        say_json({"files": found.files, "same": found.same})
    else:
        for name, status in found.files.items():
            say(f"{name:<16} {'would be restored' if dry_run and status == 'restored' else status}")
    return 0 if found.same else 1


def _imported(
    files: tuple[Path, str, str | None, Path | None], policy: Any, seed: int, as_json: bool, dry_run: bool
) -> int:
    from expunge.evaluation.table import format_table
    from expunge.workflow.imported import Logs, imported_evidence, read_logs

    model, reference, second, original = files
    logs = Logs(model, Path(reference), Path(second) if second else None, original)
    if dry_run:
        forms = {key: found.form for key, found in read_logs(logs).items()}
        tell(as_json, f"would compare {len(forms)} logs of {forms['model']}", {"logs": forms, "written": False})
        return 0
    evidence = imported_evidence(logs, policy=policy or "research-tofu", seed=seed)
    notes = "".join(f"{note}\n" for note in evidence["run"]["notes"])
    tell(as_json, f"{format_table(evidence)}\n{notes}".rstrip(), evidence)
    return 0
