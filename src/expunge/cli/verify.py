"""expunge verify"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

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

    The policy that judged must be one that ships, if it bears the name of one; of another policy that is said, and
    whose it is only its signed file can tell: expunge policy verify.

    Example: expunge verify runs/demo/certificates/npo.certificate.json
    """
    from expunge.core.certificate import printable
    from expunge.ledger.verify import verify as check
    from expunge.workflow.policy_file import disputed, standing
    from expunge.workflow.purged import purged_among

    given = None if key is None else public_key(key)
    found = check(present(certificate, "certificate"), key=given, root=run, allow_demo=allow_demo)
    judged = {a.name: a.policy for a in found.certificate.artefacts if a.policy} if found.certificate else {}
    wrong = [printable(f"{name}: {reason}") for name, policy in judged.items() for reason in disputed(policy)]
    found = replace(found, problems=(*found.problems, *wrong))
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
                "policies": {name: _facts(policy) for name, policy in judged.items()},
                "log": asdict(found.receipt) if found.receipt else None,
            }
        )
        return found.exit_code
    if details and found.certificate:
        say(str(found.certificate) + "\n")
    for line in found.lines():
        say(line)
    for name, policy in judged.items():
        if not disputed(policy) and (told := standing(policy)):
            say(printable(f"{name}: judged by {policy.name}, version {policy.version}, {told}"))
    if gone := purged_among(found.root, found.missing):
        say(f"{len(gone)} of the missing files were purged, says purge.json; it may have been issued again since")
    return found.exit_code


def _facts(policy: Any) -> dict[str, Any]:
    from expunge.core.canonical import digest
    from expunge.workflow.policy_file import shipped

    return {"name": policy.name, "version": policy.version, "digest": digest(policy), "ships": shipped(policy)}
