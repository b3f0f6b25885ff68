"""expunge report"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.showing import say, say_json


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folder of a run; several are compared with the first.")],
    out: Annotated[Path | None, typer.Option(help="The page; by default report.html in the run.")] = None,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="Show forgotten records and answers: the page is then personal data.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and render, but write nothing.")] = False,
) -> None:
    """Write what a run found as one page, or several runs as a comparison. Needs no model.

    A report shows no text of records unless it is asked to; one that does goes to report-with-text.html by default and
    is marked as personal data in the manifest of the run.

    Example: expunge report runs/demo
    """
    from expunge.workflow.report import render, write

    page = render(runs, out=out, show_text=show_text)
    if not dry_run:
        write(page)
    if page.personal and page.run is None and not dry_run:
        sys.stderr.write(f"{page.path} holds personal data and is in no manifest: delete it when it has been read\n")
    if as_json:
        facts = {"report": str(page.path), "runs": [str(run) for run in page.runs], "written": not dry_run}
        say_json({**facts, "bytes": len(page.html.encode()), "contains_personal_data": page.personal})
        return
    say(f"would write {page.path}" if dry_run else f"report: {page.path}")
