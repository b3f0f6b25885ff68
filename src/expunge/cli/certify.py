"""expunge certify"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.showing import Json, tell


def certify(
    run: Annotated[Path, typer.Argument(help="Folder that expunge unlearn wrote.")],
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be signed and write nothing.")] = False,
) -> None:
    """Sign a certificate of what was asked, done, measured and earned.

    The key in EXPUNGE_HOME signs, and is made if there is none.

    Example: expunge certify runs/mine
    """
    from expunge.core.canonical import plain
    from expunge.workflow.single import FOUND, certify_folder, require_result

    if dry_run:
        require_result(run)
        evaluated = (run / FOUND).is_file()
        text = f"would sign {run}, {'with' if evaluated else 'without'} an evaluation"
        tell(as_json, text, {"run": str(run), "evaluated": evaluated, "written": False})
        return
    certificate, path = certify_folder(run)
    earned = {artefact.name: plain(artefact.earned) for artefact in certificate.artefacts}
    facts = {"path": str(path), "earned": earned, "certificate": plain(certificate), "written": True}
    tell(as_json, f"{certificate}\n\n{path}", facts)
