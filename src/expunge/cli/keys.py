"""expunge keys"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli.given import public_key
from expunge.cli.showing import Json, add, say, say_json, tell
from expunge.core.errors import ConfigError

keys = typer.Typer(help="The key that signs here, and the keys that are trusted.", rich_markup_mode=None)
Dry = Annotated[bool, typer.Option("--dry-run", help="Say what would be done and write nothing.")]


@keys.callback(epilog="Example: expunge keys list")
def group() -> None:
    """The key that signs here, and the keys that are trusted."""


def _own(place: Path) -> Any:
    """The key that signs here, without making one."""
    from expunge.ledger.keys import ensure_key

    if not (place / "keys" / "default.key").is_file():
        raise ConfigError(f"{place} has no key", next="Make one with: expunge keys new")
    return ensure_key(place).public


def _rows() -> list[dict[str, str]]:
    from expunge.ledger.home import home_path
    from expunge.ledger.log import Log, log_path
    from expunge.ledger.trust import trusted_keys

    place = home_path()
    found = {key.keyid: {"use": "trusted", "keyid": key.keyid, "name": key.name} for key in trusted_keys(place)}
    if log_path(place).is_file():
        with Log(log_path(place)) as log:
            for _, key in log.owners():
                row = found.setdefault(key.keyid, {"keyid": key.keyid, "name": "", "use": ""})
                row["use"] = "retired" if row["use"] else "retired, not trusted"
    if (place / "keys" / "default.key").is_file():
        own = _own(place)
        row = found.setdefault(own.keyid, {"keyid": own.keyid, "name": "", "use": ""})
        row["use"] = "signs" if row["name"] else "signs, not trusted"
    return list(found.values())


def listing(as_json: Json = False) -> None:
    """List the key that signs here, those that it replaced, and those that are trusted.

    Example: expunge keys list
    """
    rows = _rows()
    if as_json:
        say_json(rows)
        return
    for row in rows:
        say(f"{row['use']:<20}  {row['keyid']}  {row['name']}".rstrip())


def new(as_json: Json = False, dry_run: Dry = False) -> None:
    """Make the key that signs here, trust it here, and start the log, whose first leaf names it.

    Example: expunge keys new
    """
    from expunge.ledger.home import home, home_path
    from expunge.ledger.home_log import append

    if (home_path() / "keys" / "default.key").is_file():
        raise ConfigError(f"{home_path()} has a key", next="Replace it with: expunge keys rotate")
    if dry_run:
        tell(as_json, f"would make a key in {home_path()}", {"home": str(home_path()), "written": False})
        return
    append(home(), [])
    own = _own(home())
    tell(as_json, own.keyid, {"home": str(home()), "keyid": own.keyid, "written": True})


def rotate(as_json: Json = False, dry_run: Dry = False) -> None:
    """Replace the key that signs here. The old key signs the leaf of the log that names the new one.

    The old private key is removed; its public half is kept, so that what it signed still verifies.

    Example: expunge keys rotate
    """
    from expunge.ledger.home import home, home_path
    from expunge.ledger.home_log import rotate as replace

    old = _own(home_path())
    if dry_run:
        tell(as_json, f"would replace {old.keyid}", {"retired": old.keyid, "written": False})
        return
    before, after = replace(home())
    text = f"{before.keyid} is retired\n{after.keyid} signs from now on"
    tell(as_json, text, {"retired": before.keyid, "signs": after.keyid, "written": True})


def export(
    keyid: Annotated[str, typer.Argument(help="Id of a trusted key; without it, the one that signs here.")] = "",
    as_json: Json = False,
) -> None:
    """Print a public key, for others to trust or to give to verify with --key. It is JSON either way.

    Example: expunge keys export > our-key.json
    """
    from expunge.core.canonical import canonical_bytes
    from expunge.ledger.home import home_path
    from expunge.ledger.trust import find_trusted

    key = find_trusted(home_path(), keyid) if keyid else _own(home_path())
    if key is None:
        raise ConfigError(f"no key {keyid!r:.80} is trusted here", next="See them with: expunge keys list")
    facts = {"keyid": key.keyid, "name": key.name, "public": key.text}
    tell(as_json, canonical_bytes(facts).decode(), facts)


def trust(
    key: Annotated[str, typer.Argument(help="A public key: a file, or its text.")],
    name: Annotated[str, typer.Option(help="The person or service behind it; stays on this machine.")],
    allow_demo: Annotated[bool, typer.Option(help="Accept the keys that ship for tests.")] = False,
    as_json: Json = False,
    dry_run: Dry = False,
) -> None:
    """Trust a key from now on: what it signs verifies here, and its cosignatures count as a witness's.

    Example: expunge keys trust their-key.json --name "Data protection office"
    """
    from expunge.ledger.home import home
    from expunge.ledger.home_log import note_trust
    from expunge.ledger.trust import refuse_shipped
    from expunge.ledger.trust import trust as accept

    public = public_key(key)
    refuse_shipped(public.keyid, allow_demo=allow_demo)
    facts = {"keyid": public.keyid, "name": name}
    if dry_run:
        tell(as_json, f"would trust {public.keyid} as {name}", {**facts, "written": False})
        return
    accept(home(), public, name, allow_demo=allow_demo)
    note_trust(home(), public.keyid, trusted=True)
    tell(as_json, f"{public.keyid} is trusted as {name}", {**facts, "written": True})


def untrust(
    keyid: Annotated[str, typer.Argument(help="Id of the key; see expunge keys list.")],
    as_json: Json = False,
    dry_run: Dry = False,
) -> None:
    """Trust a key no longer, a retired one of our own included: what it signed is by a signer UNKNOWN from now on.

    Example: expunge keys untrust ed25519:5f8b...
    """
    from expunge.ledger.home import home, home_path
    from expunge.ledger.home_log import note_trust
    from expunge.ledger.trust import find_trusted
    from expunge.ledger.trust import untrust as drop

    if find_trusted(home_path(), keyid) is None:
        raise ConfigError(f"no key {keyid!r:.80} is trusted here", next="See them with: expunge keys list")
    if dry_run:
        tell(as_json, f"would no longer trust {keyid}", {"keyid": keyid, "written": False})
        return
    drop(home(), keyid)
    note_trust(home(), keyid, trusted=False)
    tell(as_json, f"{keyid} is no longer trusted", {"keyid": keyid, "written": True})


for called, verb in {
    "list": listing,
    "new": new,
    "rotate": rotate,
    "export": export,
    "trust": trust,
    "untrust": untrust,
}.items():
    add(keys, called, verb)
