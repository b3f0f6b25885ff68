"""expunge audit"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.given import find_own_modules, present
from expunge.cli.probe import probe
from expunge.cli.showing import Json, add, progress, say, say_json, tell
from expunge.cli.train import Id, Label, Part, Workers

audit = typer.Typer(
    help="Run an exact deletion again, see why weights alone prove none, and ask in private.", rich_markup_mode=None
)


@audit.callback(epilog="Example: expunge audit forge")
def group() -> None:
    """Run an exact deletion again, see why weights alone prove none, and ask in private."""


def replay(
    certificate: Annotated[Path, typer.Argument(help="Certificate of an exact deletion, or the folder of its run.")],
    data: Annotated[Path | None, typer.Option(help="Where the data is now, if not where the run found it.")] = None,
    label: Label = "",
    id: Id = "",
    part: Part = "",
    threads: Annotated[int | None, typer.Option(help="Of the run; as many as the training had.", min=1)] = None,
    workers: Workers = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run; run and write nothing.")] = False,
) -> int:
    """Train again from scratch without the forgotten records, in a fresh process, and compare digests.

    The process has an empty cache and another working folder, and is given what the run recorded. Exits 1 where the
    digests differ by more than the claim allows, or the recipe is not the one that was committed to. Else a note is
    signed beside the certificate, unless the log does not show what was committed to; expunge certify then states that
    an independent run gave the same.

    Example: expunge audit replay runs/mine/certificates/model.certificate.json
    """
    from expunge.workflow.audit_replay import prepare_replay
    from expunge.workflow.audit_replay import replay as run
    from expunge.workflow.training_record import Source

    given = None if data is None else Source(str(present(data, "data")), label=label, id=id, part=part)
    present(certificate, "certificate")
    find_own_modules()
    if dry_run:
        folder, trained, shown = prepare_replay(certificate, given)
        facts = {"run": str(folder), "recipe": trained.recipe["recipe"], "records": trained.records, "written": False}
        text = f"would train {trained.recipe['recipe']} on {trained.records} records and compare with {shown.after}"
        tell(as_json, text, {**facts, "after": shown.after, "threads": threads or trained.threads})
        return 0
    with progress():
        found = run(certificate, data=given, threads=threads, workers=workers)
    if as_json:
        body: dict[str, Any] = {**asdict(found), "run": str(found.run), "note": found.note and str(found.note)}
        body |= {"committed": found.committed.known, "not_shown": found.committed.why}
        say_json({**body, "equal": found.equal, "holds": found.holds, "written": found.note is not None})
    else:
        say(found.line())
    return 0 if found.holds else 1


def forge(
    seed: Annotated[int, typer.Option(help="Of the small model and of the search.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Show both ways in which other data gives the same weights, with the numbers, and what the log proves instead.

    Needs scikit-learn, whose handwritten digits the small model learns. Writes nothing.

    Example: expunge audit forge --seed 1
    """
    from expunge.workflow.audit_forge import forge as run
    from expunge.workflow.audit_forge import forged_text

    found = run(seed=seed)
    if as_json:
        say_json(found)
    else:
        say(forged_text(found))


for called, verb in {"replay": replay, "forge": forge}.items():
    add(audit, called, verb)
audit.add_typer(probe, name="probe")
