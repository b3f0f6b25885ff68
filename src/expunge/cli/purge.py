"""expunge purge"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.showing import progress, say, say_json

if TYPE_CHECKING:
    from expunge.workflow.purge import Plan
    from expunge.workflow.purged import Purge

SHOWN = 12
"""Names that are printed of a long list."""


def purge(
    target: Annotated[str, typer.Argument(help="Folder of a run, or the id of a request (r_...).")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    final: Annotated[bool, typer.Option(help="End even if something is left; it cannot be looked for again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and change nothing.")] = False,
) -> int:
    """Delete what a run left of a subject: records, scores, checkpoints, the model that knew, and the request's key.

    The model after unlearning, public evidence and certificates stay. Then every byte of the run and of EXPUNGE_HOME is
    searched for the records, and the certificates are issued again with what was found. Exits 0 only if that is CLEAN.
    The folder of a bench is purged with all its seeds. Killed, the same command continues.

    Example: expunge purge runs/mine --dry-run
    """
    from expunge.workflow.purge_seeds import seeds_of

    if seeds_of(target):
        return _purge_seeds(Path(target), yes=yes, final=final, as_json=as_json, dry_run=dry_run)
    from expunge.workflow.purge import plan_purge
    from expunge.workflow.purge import purge as carry_out

    plan = plan_purge(target, final=final)
    if dry_run:
        _show_plan(plan, as_json)
        return 0
    if plan.state != "finished" and not yes and not _confirmed([plan], plan.run):
        typer.echo("nothing was changed", err=True)
        return 1
    with progress():
        found = carry_out(target, final=final)
    if as_json:
        say_json({**vars(found), "run": str(plan.run)})
    else:
        _show(found, plan, final=final)
    return 0 if found.status == "CLEAN" else 1


def _purge_seeds(run: Path, *, yes: bool, final: bool, as_json: bool, dry_run: bool) -> int:
    from expunge.workflow.purge_seeds import plan_seeds, purge_seeds

    whole = plan_seeds(run, final=final)
    if dry_run:
        if as_json:
            seeds = [_facts(plan) for plan in whole.seeds]
            say_json({"run": str(run), "seeds": seeds, "goes": whole.goes})
            return 0
        for plan in whole.seeds:
            _show_plan(plan, as_json=False)
        _list("would delete beside the seeds", whole.goes)
        return 0
    if any(plan.state != "finished" for plan in whole.seeds) and not yes and not _confirmed(whole.seeds, run):
        typer.echo("nothing was changed", err=True)
        return 1
    with progress():
        done = purge_seeds(run, final=final)
    if as_json:
        seeds = [{**vars(found), "run": str(seed)} for seed, found in done.seeds.items()]
        say_json({"run": str(run), "status": done.status, "seeds": seeds, "removed": done.removed})
    else:
        for plan, (seed, found) in zip(whole.seeds, done.seeds.items(), strict=True):
            say(f"{seed}:")
            _show(found, plan, final=final)
        _list("deleted beside the seeds", done.removed)
        say(f"{run}: {done.status}")
    return 0 if done.status == "CLEAN" else 1


def _show(found: Purge, plan: Plan, *, final: bool) -> None:
    if plan.state == "finished":
        say("was purged before; nobody can look for the records again")
    say(f"{found.request}: {found.status}, {len(found.removed)} files deleted, {len(found.rewritten)} rewritten")
    say(f"seen before: {found.seen} of {found.records} records; found after: {found.hits} times")
    _list("found in", found.where)
    _list("could not see into", found.blind)
    _list("left, but knew the records", found.knew)
    _list("certificate not issued again", found.unissued)
    say(found.not_scanned)
    if found.status == "CLEAN" or plan.state == "finished" or final:
        return
    if any(name.startswith("../seed-") for name in found.where):
        say(f"not finished: other seeds hold the same records, so purge them all: expunge purge {plan.run.parent}")
    elif found.unseen:
        say("not finished: what was not seen before cannot be looked for, so end it with --final")
    else:
        say("not finished: remove what is left and run it again, or end it with --final")


def _confirmed(plans: Sequence[Plan], run: Path) -> bool:
    from expunge.core.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError("a purge cannot be undone", why="nobody is there to confirm it", next="Give --yes")
    for plan in plans:
        _show_plan(plan, as_json=False)
    try:
        return typer.confirm(f"Delete them for good from {run}?", err=True)
    except typer.Abort:
        return False


def _facts(plan: Plan) -> dict[str, Any]:
    parts = plan.division
    named = {"goes": parts.goes, "rewritten": parts.rewritten, "stays": parts.stays, "knew": plan.knew}
    return {"run": str(plan.run), "request": plan.request, "state": plan.state, **named}


def _show_plan(plan: Plan, as_json: bool) -> None:
    parts = plan.division
    if as_json:
        say_json(_facts(plan))
        return
    if plan.state == "finished":
        say(f"{plan.request} was purged before; nothing would change")
        return
    say(f"{plan.request} in {plan.run}: {plan.records} records" + (", begun before" if plan.state == "begun" else ""))
    say("would destroy the key of the request's subject, scope and salt")
    _list("would delete", parts.goes)
    _list("would take the records out of", parts.rewritten)
    stays = sorted({Path(name).parts[0] for name in parts.stays})
    say(f"would leave {', '.join(stays)}")
    _list("would leave, though it knows the records", plan.knew)


def _list(what: str, names: tuple[str, ...]) -> None:
    for name in names[:SHOWN]:
        say(f"{what}: {name}")
    if len(names) > SHOWN:
        say(f"{what}: {len(names) - SHOWN} more")
