"""expunge policy"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.given import present, public_key
from expunge.cli.showing import Json, add, say, say_json, tell
from expunge.core.errors import ConfigError

policy = typer.Typer(
    help="What must hold before a claim is earned, as files that can be signed.", rich_markup_mode=None
)


@policy.callback(epilog="Example: expunge policy show privacy-default")
def group() -> None:
    """What must hold before a claim is earned, as files that can be signed."""


def _lines(found: Any, known: str) -> list[str]:
    lines = [f"{found.name}, version {found.version}, {known}", f"wish: {found.wish}"]
    lines.append(f"utility floor {found.utility_floor:g} of the original's, intervals at {found.level:g}")
    lines.append(f"positive control: {found.positive_control:g} margins")
    lines.append(f"detectors: {', '.join(found.detectors)}")
    for c in found.criteria:
        side = " above" if c.side == "above" else ""
        lines.append(f"{c.attack} within {c.margin:g}{side} of one that never knew ({'+'.join(c.access)})")
        settings = f", settings {c.settings}" if c.settings else ""
        pinned = f"run at the {c.budget} budget{settings}" if settings or c.budget != "quick" else ""
        lines += [f"  {text}" for text in (c.question, f"margin: {c.why}" if c.why else "", pinned) if text]
    return lines


def show(
    given: Annotated[str, typer.Argument(help="Name of a policy, or a policy file, signed or not.")],
    as_json: Json = False,
) -> None:
    """Print what a policy asks for. Says nothing of who signed it: that is expunge policy verify.

    With --json it prints the policy as a file that can be changed, named anew and signed.

    Example: expunge policy show privacy-default
    """
    from expunge.core.canonical import digest, plain, read_json
    from expunge.core.certificate import printable
    from expunge.core.registry import policies
    from expunge.evaluation.trusted import doubts, untested
    from expunge.workflow.policy_file import registered, stated, verify_policy

    path = Path(given)
    if registered(given) is None and (path.suffix == ".json" or path.is_file()):
        body = read_json(present(path, "policy file"))
        sealed = isinstance(body, dict) and "payloadType" in body
        found = verify_policy(path, allow_demo=True).policy if sealed else stated(body, given)
    else:
        found = policies.get(given.replace("-", "_"))
    if as_json:
        say_json(plain(found))
        return
    for line in _lines(found, digest(found)):
        say(printable(line))
    for name, reason in doubts(criterion.attack for criterion in found.criteria):
        say(printable(f"cannot be earned: {name}: {reason}"))
    if why := untested():
        say(f"which of these can tell a model that knows from one that never did is {why}")


def sign(
    file: Annotated[Path, typer.Argument(help="JSON of a policy, as expunge policy show --json prints one.")],
    out: Annotated[
        Path | None, typer.Option(help="Policy file to write; by default NAME.policy.json beside it.")
    ] = None,
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything but sign and write nothing.")] = False,
) -> None:
    """Sign a policy with the key in EXPUNGE_HOME, which is made if there is none.

    Example: expunge policy sign mine.json
    """
    from expunge.core.canonical import digest
    from expunge.core.files import write_bytes
    from expunge.ledger.home import home
    from expunge.ledger.keys import ensure_key
    from expunge.ledger.trust import trust
    from expunge.workflow.policy_file import SUFFIX, differing, read_policy, sign_policy

    found = read_policy(present(file, "policy"))
    place = out or file.with_name(f"{found.name}{SUFFIX}")
    if differs := differing(found):
        raise ConfigError(f"the name {found.name} is taken", why=differs, next="Give the policy a name of its own")
    facts = {"policy": found.name, "version": found.version, "digest": digest(found), "path": str(place)}
    if dry_run:
        tell(as_json, f"would sign {found.name} and write {place}", {**facts, "written": False})
        return
    if place.exists() and place.resolve() == file.resolve():
        raise ConfigError(f"{place} is the file to be signed", next="Choose another --out")
    signer = ensure_key(home())
    data = sign_policy(found, signer)
    if place.exists() and place.read_bytes() != data:
        raise ConfigError(
            f"{place} is there and says something else", next="Choose another --out, or raise the version"
        )
    trust(home(), signer.public, "this installation")
    write_bytes(place, data)
    tell(as_json, f"{place}\n{digest(found)}", {**facts, "written": True})


def verify(
    file: Annotated[Path, typer.Argument(help="The policy file.")],
    key: Annotated[str | None, typer.Option(help="The signer's public key: a file, or its text.")] = None,
    allow_demo: Annotated[bool, typer.Option(help="Accept the keys that ship for tests.")] = False,
    as_json: Json = False,
) -> int:
    """Check who signed a policy file. Exits 0 only if a trusted key did: yours, --key, or that of the shipped policies.

    Example: expunge policy verify their.policy.json --key their-key.json
    """
    from expunge.workflow.policy_file import verify_policy

    given = None if key is None else public_key(key)
    found = verify_policy(present(file, "policy file"), key=given, allow_demo=allow_demo)
    if as_json:
        facts = {"ok": found.ok, "signer": found.signer, "keyid": found.keyid, "signature_valid": found.valid}
        about = {"policy": found.policy.name, "version": found.policy.version, "digest": found.digest}
        say_json({**facts, **about})
        return found.exit_code
    for line in found.lines():
        say(line)
    return found.exit_code


for called, verb in {"show": show, "sign": sign, "verify": verify}.items():
    add(policy, called, verb)
