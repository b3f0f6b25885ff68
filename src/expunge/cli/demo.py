"""expunge demo"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.showing import progress, say, say_json, tell

Out = Annotated[Path, typer.Option(help="Folder of the run.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and write nothing.")]


def finish(out: Path, table: str, as_json: bool) -> None:
    """Print what a run found and where it stands."""
    from expunge.core.canonical import read_json

    if as_json:
        say_json(read_json(out / "summary.json"))
        return
    say(table.rstrip("\n"))
    say(f"\nreport: {out / 'report.html'}")
    say(f"certificates: {out / 'certificates'}, each checked with: expunge verify PATH")


def demo(
    out: Out = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of the people and the models.", min=0)] = 0,
    as_json: Json = False,
    dry_run: Dry = False,
) -> None:
    """Teach a small model some fictitious people, make it forget a few, and judge how well each method did.

    Takes a few minutes; a second run prints what the first one found. Killed, it continues where it was.

    Example: expunge demo
    """
    from expunge.workflow.demo import METHODS
    from expunge.workflow.demo import demo as walk

    if dry_run:
        text = f"would train three models, forget by {', '.join(METHODS)}, and write to {out}"
        tell(as_json, text, {"methods": list(METHODS), "out": str(out), "seed": seed, "written": False})
        return
    with progress():
        table = walk(out, seed=seed)
    finish(out, table, as_json)
