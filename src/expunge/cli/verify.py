"""expunge verify"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.given import present, public_key
from expunge.cli.showing import say, say_json


def verify(
    certificate: Annotated[Path, typer.Argument(help="The certificate file.")],
    key: Annotated[str | None, typer.Option(help="The signer's public key: a file, or its text.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run, if the certificate lies elsewhere.")] = None,
    allow_demo: Annotated[bool, typer.Option(help="Accept the keys that ship for tests.")] = False,
    details: Annotated[bool, typer.Option(help="Print the whole certificate.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Check a certificate: its signature, its signer, its reasoning, its receipt, and every file that it digests.

    Needs no model and no machine learning package. Exits 0 only if all of it holds. Of a certificate that was copied
    away from its files the signature alone is judged, and that is said. A receipt beside it shows that the log
    committed to it, and to the guarantee that it states; two receipts are compared by expunge ledger check --against.

    Example: expunge verify runs/demo/certificates/npo.certificate.json
    """
    from expunge.core.certificate import printable
    from expunge.ledger.verify import verify as check
    from expunge.workflow.policy_file import differing
    from expunge.workflow.purged import purged_among

    given = None if key is None else public_key(key)
    found = check(present(certificate, "certificate"), key=given, root=run, allow_demo=allow_demo)
    if as_json:
        say_json(
            {
                "ok": found.ok,
                "signer": found.signer,
                "keyid": found.keyid,
                "signature_valid": found.signature_valid,
                "checked": list(found.checked),
                "changed": list(found.changed),
                "missing": list(found.missing),
                "unchecked": list(found.unchecked),
                "problems": list(found.problems),
                "log": asdict(found.receipt) if found.receipt else None,
            }
        )
        return found.exit_code
    if details and found.certificate:
        say(str(found.certificate) + "\n")
    for line in found.lines():
        say(line)
    for artefact in found.certificate.artefacts if found.certificate else ():
        if artefact.policy is not None and (differs := differing(artefact.policy)):
            say(printable(f"{artefact.name}: judged by {artefact.policy.name}, {differs}"))
    if gone := purged_among(found.root, found.missing):
        say(f"{len(gone)} of the missing files were purged, says purge.json; it may have been issued again since")
    return found.exit_code
