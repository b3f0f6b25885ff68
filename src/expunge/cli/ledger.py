"""expunge ledger"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.given import present, public_key
from expunge.cli.showing import Json, add, progress, say, say_json, tell
from expunge.core.errors import StoreError

ledger = typer.Typer(help="The tamper-evident log of what was planned and certified.", rich_markup_mode=None)
Dry = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and write nothing.")]
Against = Annotated[
    list[Path] | None,
    typer.Option(help="A checkpoint, receipt, certificate with a receipt, or export kept earlier; repeat the option."),
]


@ledger.callback(epilog="Example: expunge ledger check")
def group() -> None:
    """The tamper-evident log of what was planned and certified."""


def _open() -> Any:
    from expunge.ledger.home import home_path
    from expunge.ledger.log import Log, log_path

    path = log_path(home_path())
    if not path.exists():
        raise StoreError(f"there is no log at {path}", next="Whatever is certified is logged there, in EXPUNGE_HOME")
    return Log(path)


def log(
    request: Annotated[str, typer.Option(help="Only the leaves of the request with this id.")] = "",
    last: Annotated[int, typer.Option(help="Only so many of the last of them.", min=1)] = 10**9,
    as_json: Json = False,
) -> None:
    """List the leaves of the log, oldest first. A leaf holds no personal data.

    Example: expunge ledger log --last 20
    """
    from expunge.ledger.leaf import read

    with _open() as source, source.snapshot():
        leaves = (read(body) for _, body in source.bodies(0 if request else max(0, source.size - last)))
        chosen = deque((leaf for leaf in leaves if request in ("", leaf.entry.request)), maxlen=min(last, source.size))
    if as_json:
        say_json([leaf.fields() for leaf in chosen])
        return
    for leaf in chosen:
        entry = leaf.entry
        named = [f"{name} {value[7:19]}" for name, value in sorted(entry.digests.items())]
        named += [f"{name} {count}" for name, count in sorted(entry.counters.items())]
        about = " ".join(part for part in (entry.request, "" if entry.state == "NONE" else entry.state) if part)
        say(f"{leaf.seq:>6}  {leaf.time}  {entry.kind:<12}  {about:<27}  {', '.join(named)}".rstrip())


def _judge(found: Any, key: str | None) -> list[str]:
    """Problems of the log, and of trusting the key that signs it."""
    from expunge.ledger.home import home_path
    from expunge.ledger.trust import find_trusted, refuse_shipped

    problems = list(found.problems)
    if found.key is None:
        return problems or ["the log is empty"]
    refuse_shipped(found.key.keyid, allow_demo=False)
    if key is not None:
        if public_key(key).keyid != found.key.keyid:
            problems.append(f"the log is signed with {found.key.keyid}, not with the given key")
    elif find_trusted(home_path(), found.key.keyid) is None:
        problems.append(f"the log is signed with {found.key.keyid}, which is not trusted here")
    return problems


def check(
    exported: Annotated[Path | None, typer.Argument(help="Folder of an export; without it, the log here.")] = None,
    against: Against = None,
    key: Annotated[str | None, typer.Option(help="The log's public key now: a file, or its text.")] = None,
    as_json: Json = False,
) -> int:
    """Compute the whole log anew from its leaves, and say what was tampered with.

    Every leaf, its order, the tree, each checkpoint's signature and root, and the keys are checked. Only what somebody
    else kept shows that the log as a whole was not replaced by another: give it with --against.

    Example: expunge ledger check --against checkpoint.txt --against runs/demo/certificates/npo.receipt.json
    """
    from expunge.ledger.check import check as compute
    from expunge.ledger.export import ExportedLog
    from expunge.ledger.home import home_path
    from expunge.ledger.kept import read_kept
    from expunge.ledger.trust import trusted_keys

    kept = {str(source): read_kept(present(source, "file")) for source in against or ()}
    known = {name: one.checkpoint for name, one in kept.items()}
    with progress():
        if exported is not None:
            history = ExportedLog(present(exported, "export"))
            found, own = compute(history, known), history.owners()
        else:
            with _open() as source, source.snapshot():
                found, own = compute(source, known), source.owners()
    problems = [*_judge(found, key), *(problem for one in kept.values() for problem in one.problems)]
    trusted, ours = trusted_keys(home_path()), [one for _, one in own]
    witnesses = found.last.witnesses(trusted, ours) if found.last else 0
    facts = {"origin": found.origin, "size": found.size, "root": found.root.hex(), "checkpoints": found.checkpoints}
    facts |= {"witnesses": witnesses, "against": len(known), "keyid": found.key.keyid if found.key else ""}
    if as_json:
        say_json({"ok": not problems, "problems": problems, **facts})
        return int(bool(problems))
    say(f"log {found.origin}, size {found.size}, root {found.root.hex()}")
    say(f"{found.checkpoints} checkpoints, {len(known)} kept elsewhere, witnesses {witnesses}, key {facts['keyid']}")
    for problem in problems:
        say(problem)
    if not problems and not known and not witnesses:
        say("nobody else's checkpoint was compared: whoever holds the log's key could have rewritten all of it")
    say("NOT verified" if problems else "verified")
    return int(bool(problems))


def export(
    out: Annotated[Path, typer.Option(help="New or empty folder.")],
    as_json: Json = False,
    dry_run: Dry = False,
) -> None:
    """Write the log to a folder that anyone can check, with the last checkpoint for another party to keep.

    Example: expunge ledger export --out our-log
    """
    from expunge.ledger.export import LAST, check_free
    from expunge.ledger.export import export as write

    with _open() as source:
        if not source.size:
            raise StoreError("the log is empty")
        check_free(out)
        if dry_run:
            facts = {"out": str(out), "size": source.size, "origin": source.origin, "written": False}
            tell(as_json, f"would write {source.size} leaves to {out}", facts)
            return
        last = write(source, out)
    text = f"{last.size} leaves of {last.origin}; keep {out / LAST}, and check with: expunge ledger check {out}"
    facts = {"out": str(out), "size": last.size, "origin": last.origin, "checkpoint": str(out / LAST), "written": True}
    tell(as_json, text, facts)


for called, verb in {"log": log, "check": check, "export": export}.items():
    add(ledger, called, verb)
