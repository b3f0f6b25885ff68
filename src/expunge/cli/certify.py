"""expunge certify"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.given import public_key
from expunge.cli.showing import Json, tell


def certify(
    run: Annotated[Path, typer.Argument(help="Folder that expunge unlearn wrote.")],
    key: Annotated[
        str | None, typer.Option(help="Public key of whoever signed the policy file that judged, if it is not trusted.")
    ] = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be signed and write nothing.")] = False,
) -> None:
    """Sign a certificate of what was asked, done, measured and earned.

    The key in EXPUNGE_HOME signs, and is made if there is none.
    A policy that does not ship is stated only if its file, which evaluate kept, is signed by a key that is trusted.

    Example: expunge certify runs/mine
    """
    from expunge.core.canonical import plain
    from expunge.workflow.single import FOUND, certify_folder, require_result

    given = None if key is None else public_key(key)
    if dry_run:
        require_result(run)
        evaluated = (run / FOUND).is_file()
        text = f"would sign {run}, {'with' if evaluated else 'without'} an evaluation"
        tell(as_json, text, {"run": str(run), "evaluated": evaluated, "written": False})
        return
    certificate, path = certify_folder(run, key=given)
    earned = {artefact.name: plain(artefact.earned) for artefact in certificate.artefacts}
    facts = {"path": str(path), "earned": earned, "certificate": plain(certificate), "written": True}
    tell(as_json, f"{certificate}\n\n{path}", facts)
