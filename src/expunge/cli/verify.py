"""expunge verify"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli.given import present, public_key
from expunge.cli.showing import say, say_json

if TYPE_CHECKING:
    from expunge.ledger.verify import Verification


def verify(
    certificate: Annotated[Path, typer.Argument(help="The certificate, or the statement.json of a probe.")],
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

    The epsilon of a certified deletion is computed again from the numbers that the certificate states.

    Of a signed result of expunge audit probe, signature, commitment and order in time are checked, and all that was
    revealed of the inputs. Its --key is the auditor's; the certificate's signer must be trusted here.

    Example: expunge verify runs/demo/certificates/npo.certificate.json
    """
    from expunge.core.certificate import printable
    from expunge.workflow.policy_file import disputed, standing
    from expunge.workflow.privacy_reading import readings
    from expunge.workflow.probe_verify import is_result
    from expunge.workflow.proved import again
    from expunge.workflow.purged import purged_among
    from expunge.workflow.verified import verify as check

    given = None if key is None else public_key(key)
    if is_result(present(certificate, "certificate")):
        return _probe(certificate, given, allow_demo, as_json)
    found = check(certificate, key=given, root=run, allow_demo=allow_demo)
    judged = {a.name: a.policy for a in found.certificate.artefacts if a.policy} if found.certificate else {}
    if as_json:
        say_json(_found(found, judged))
        return found.exit_code
    if details and found.certificate:
        say(str(found.certificate) + "\n")
    for line in found.lines():
        say(line)
    for name, policy in judged.items():
        if not disputed(policy) and (told := standing(policy)):
            say(printable(f"{name}: judged by {policy.name}, version {policy.version}, {told}"))
    proven = again(found.certificate)[1] if found.certificate else ()
    for line in (*proven, *(readings(found.certificate) if found.certificate else ())):
        say(printable(line))
    if gone := purged_among(found.root, found.missing):
        say(f"{len(gone)} of the missing files were purged, says purge.json; it may have been issued again since")
    return found.exit_code


def _found(found: Verification, judged: Mapping[str, Any]) -> dict[str, Any]:
    return {
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


def _facts(policy: Any) -> dict[str, Any]:
    from expunge.core.canonical import digest
    from expunge.workflow.policy_file import shipped

    return {"name": policy.name, "version": policy.version, "digest": digest(policy), "ships": shipped(policy)}


def _probe(path: Path, key: Any, allow_demo: bool, as_json: bool) -> int:
    from expunge.core.canonical import plain
    from expunge.workflow.probe_verify import verify_probe

    found = verify_probe(path, key=key, allow_demo=allow_demo)
    if as_json:
        facts = {"ok": found.ok, "signer": found.signer, "keyid": found.keyid, "signature_valid": found.signature_valid}
        facts |= {"problems": list(found.problems), "told": list(found.told), "order": found.order}
        say_json({**facts, "result": plain(found.result), "plan": plain(found.plan)})
        return found.exit_code
    for line in found.lines():
        say(line)
    return found.exit_code
