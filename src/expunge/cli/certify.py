"""expunge certify"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.showing import say


def certify(
    run: Annotated[Path, typer.Argument(help="Folder that expunge unlearn wrote.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be signed and write nothing.")] = False,
) -> None:
    """Sign a certificate of what was asked, done, measured and earned.

    The key in EXPUNGE_HOME signs, and is made if there is none.

    Example: expunge certify runs/mine
    """
    from expunge.workflow.single import FOUND, certify_folder, require_result

    if dry_run:
        require_result(run)
        state = "with" if (run / FOUND).is_file() else "without"
        say(f"would sign {run}, {state} an evaluation")
        return
    certificate, path = certify_folder(run)
    say(str(certificate))
    say(f"\n{path}")
