"""expunge adopt"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.showing import progress, say, say_json


def adopt(
    model: Annotated[str, typer.Option(help="Folder or hub name of a model that was trained elsewhere.")],
    data: Annotated[Path | None, typer.Option(help="Records that it was trained on, as far as you know.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for a checked copy with what is known of it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Load and look, but write and log nothing.")] = False,
) -> None:
    """Take a model that was trained elsewhere: what is known of it, and which guarantees that puts out of reach.

    The adoption is noted in the log of EXPUNGE_HOME.

    Example: expunge adopt --model models/chat --data training.jsonl --out runs/adopted
    """
    from expunge.workflow.adopt import check_out, look, record_adoption

    if out is not None:
        check_out(out)
    with progress():
        found = look(model, data=data)
        if not dry_run:
            record_adoption(found, out=out)
    if as_json:
        say_json(found.plain())
        return
    for name, value in found.facts.items():
        _show(name, value)
    for what in found.unknown:
        say(f"{'not known':<16} {what}")
    for row in found.reach:
        able = f"by {', '.join(row.methods)}; earned by {row.earned_by}" if row.methods else "out of reach"
        say(f"{row.guarantee:<16} {able}")
        for why in row.why_not:
            say(f"{'':<16} {'-' if row.methods else 'because'} {why}")
    if dry_run:
        say("nothing was written or logged")


def _show(name: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for part, inner in value.items():
            _show(f"{name} {part}", inner)
        return
    text = ", ".join(value) if isinstance(value, list) else value
    say(f"{name.replace('_', ' '):<16} {text if text not in (None, '') else '-'}")
