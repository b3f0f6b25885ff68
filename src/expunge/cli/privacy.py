"""expunge privacy"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli.given import present, public_key
from expunge.cli.showing import Json, add, say, say_json, tell
from expunge.core.errors import ConfigError, LedgerError

privacy = typer.Typer(help="Which epsilon and delta are accepted, as files that can be signed.", rich_markup_mode=None)
Key = Annotated[str | None, typer.Option(help="The policy's signer's public key: a file, or its text.")]


@privacy.callback(epilog="Example: expunge privacy show ours.privacy.json")
def group() -> None:
    """Which epsilon and delta are accepted, as files that can be signed."""


def show(
    file: Annotated[Path, typer.Argument(help="A privacy policy, signed or not.")],
    key: Key = None,
    allow_demo: Annotated[bool, typer.Option(help="Accept the keys that ship for tests.")] = False,
    as_json: Json = False,
) -> int:
    """Print what a privacy policy accepts, who signed it, and what each epsilon means for people.

    With --json it prints the policy as a file that can be changed and signed. Exits 1 if it is signed and no trusted
    key did: yours, or --key.

    Example: expunge privacy show ours.privacy.json
    """
    from expunge.core.canonical import plain, read_json
    from expunge.workflow.privacy_file import lines_of, stated, verify_privacy

    body = read_json(present(file, "privacy policy"))
    if not (isinstance(body, dict) and "payloadType" in body):
        if key is not None:
            raise ConfigError("--key goes with a signed file", why=f"{file} is not signed")
        policy, standing, code = stated(body, str(file)), "not signed", 0
    else:
        found = verify_privacy(file, key=None if key is None else public_key(key), allow_demo=allow_demo)
        policy, standing, code = found.policy, found.standing(), 0 if found.ok else 1
    if as_json:
        say_json(plain(policy))
        return code
    for line in (*lines_of(policy), standing):
        say(line)
    return code


def sign(
    file: Annotated[Path, typer.Argument(help="JSON of a privacy policy, as expunge privacy show --json prints one.")],
    out: Annotated[Path | None, typer.Option(help="File to write; by default NAME.privacy.json beside it.")] = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything but sign and write nothing.")] = False,
) -> None:
    """Sign a privacy policy with the key in EXPUNGE_HOME, which is made if there is none.

    It names what is accepted for which kinds of data or requests, with the reason, by whom, and until when:
    {"name": "ours", "version": "1", "by": "the board", "until": "2031-12-31", "limits": [{"kinds": ["any"],
    "epsilon": 1, "delta": 1e-6, "adversary": "adaptive", "why": "..."}]}

    Example: expunge privacy sign ours.json
    """
    from expunge.core.canonical import digest
    from expunge.core.files import write_bytes
    from expunge.ledger.home import home
    from expunge.ledger.keys import ensure_key
    from expunge.ledger.trust import trust
    from expunge.workflow.privacy_file import SUFFIX, read_privacy, sign_privacy

    found = read_privacy(present(file, "privacy policy"))
    place = out or file.with_name(f"{found.name}{SUFFIX}")
    facts = {"policy": found.name, "version": found.version, "digest": digest(found), "path": str(place)}
    if dry_run:
        tell(as_json, f"would sign {found.name} and write {place}", {**facts, "written": False})
        return
    if place.exists() and place.resolve() == file.resolve():
        raise ConfigError(f"{place} is the file to be signed", next="Choose another --out")
    signer = ensure_key(home())
    data = sign_privacy(found, signer)
    if place.exists() and place.read_bytes() != data:
        next = "Choose another --out, or raise the version"
        raise ConfigError(f"{place} is there and says something else", next=next)
    trust(home(), signer.public, "this installation")
    write_bytes(place, data)
    tell(as_json, f"{place}\n{digest(found)}", {**facts, "written": True})


def judge(
    file: Annotated[Path, typer.Argument(help="A signed privacy policy.")],
    certificate: Annotated[Path, typer.Argument(help="Certificate of a certified deletion.")],
    kind: Annotated[str, typer.Option(help="Kind of data or request, in the policy's words.")],
    on: Annotated[str, typer.Option(help="Day of judging, as YYYY-MM-DD; today by default.")] = "",
    key: Key = None,
    as_json: Json = False,
) -> int:
    """Say whether a privacy policy accepts what a certificate earned, with every reason if not. Exits 1 if not.

    Policy and certificate must be signed by keys that are trusted here, the policy's maybe by --key.

    Example: expunge privacy judge ours.privacy.json runs/mine/certificates/model.certificate.json --kind health
    """
    from expunge.core.canonical import plain
    from expunge.workflow.privacy_file import judge_certificate, verify_privacy
    from expunge.workflow.verified import verify

    found = verify_privacy(present(file, "privacy policy"), key=None if key is None else public_key(key))
    checked = verify(present(certificate, "certificate"))
    if not checked.ok or checked.certificate is None:
        raise LedgerError(f"the certificate {certificate} is not verified", next="See: expunge verify")
    judged = judge_certificate(found, checked.certificate, kind=kind, on=on)
    accepted = all(one.accepted for one in judged.values())
    if as_json:
        say_json({"accepted": accepted, "artefacts": {name: plain(one) for name, one in judged.items()}})
        return int(not accepted)
    for name, one in judged.items():
        say(f"{name}: {'accepted' if one.accepted else 'NOT accepted'} by {one.policy} for {kind}")
        for reason in one.reasons:
            say(f"  {reason}")
    return int(not accepted)


for called, verb in {"show": show, "sign": sign, "judge": judge}.items():
    add(privacy, called, verb)
