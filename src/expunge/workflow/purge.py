"""Purge: delete what a run and its request left of a subject, prove it by a byte scan, and say so in the certificates.

What has to be looked for afterwards is written into the vault, under a key of its own, before anything is deleted. A
killed purge finds it there and continues; its key is destroyed when nothing is left to look for.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest_file
from expunge.core.errors import ConfigError, StoreError
from expunge.core.files import delete, write_bytes
from expunge.core.manifest import Manifest
from expunge.core.progress import report
from expunge.ledger.home import home, home_path
from expunge.ledger.leaf import Kind
from expunge.retrieval.byte_scan import Found, scan
from expunge.workflow.asked import PURGED, REQUEST, kept_request, public_request, run_of, vault
from expunge.workflow.logged import note
from expunge.workflow.purge_certificate import reissue, signer_here, unissued
from expunge.workflow.purge_scope import (
    Division,
    Sought,
    Trace,
    divide,
    forgotten,
    rewrite,
    shared_examples,
)
from expunge.workflow.purged import Purge
from expunge.workflow.run import locked

_ID = re.compile(r"r_[0-9a-f]{12}")
ANSWER = re.compile(r"request-[0-9]+")
"""Folders of requests that were answered in one run; each may hold records that another wants forgotten."""
HOME = "EXPUNGE_HOME"
ROUNDS = 3
"""Scans and papers that follow them, before it counts as a fault that the papers change what is found."""


@dataclass(frozen=True)
class Plan:
    """What a purge would do.

    Args:
        run: folder.
        request: public id.
        state: ``new``, ``begun`` or ``finished``.
        division: of the files.
        records: that were to be forgotten.
    """

    run: Path
    request: str
    state: str
    division: Division
    records: int


@dataclass(frozen=True)
class _Journal:
    """What a killed purge needs to continue; kept encrypted.

    Args:
        run: folder.
        trace: by what the subject is known.
        seen: records that the scan saw before anything was deleted.
        told: public files in which it saw them.
        removed: files that go.
        rewritten: files that are rewritten.
    """

    run: str
    trace: Trace
    seen: int
    told: tuple[str, ...]
    removed: tuple[str, ...]
    rewritten: tuple[str, ...]

    def body(self) -> bytes:
        return json.dumps({**vars(self), "trace": vars(self.trace)}).encode()

    @classmethod
    def read(cls, body: bytes) -> _Journal:
        value: Mapping[str, Any] = json.loads(body)
        lists = {name: tuple(value[name]) for name in ("told", "removed", "rewritten")}
        return cls(**{**value, **lists, "trace": Trace(**value["trace"])})


def plan_purge(target: str) -> Plan:
    """Say what a purge would do. Changes nothing.

    Args:
        target: folder of a run, or the id of a request.

    Raises:
        StoreError: there is no such run, or its request is not in this vault.
        ConfigError: ``EXPUNGE_HOME`` lies inside the run.
    """
    out, request = _find(target)
    if _finished(out, request):
        return Plan(out, request, "finished", Division((), (), ()), 0)
    begun = vault().holds(_journal(request))
    journal = _kept_journal(request) if begun else _observe(out, request)
    parts = divide(out, journal.told)
    return Plan(out, request, "begun" if begun else "new", parts, len(journal.trace.records))


def purge(target: str, *, final: bool = False) -> Purge:
    """Purge a run. Killed at any point, the same call continues; it is CLEAN only after a scan that found nothing.

    Args:
        target: folder of a run, or the id of a request.
        final: end even if something was found or could not be seen; nobody can look for it again.

    Returns:
        What it came to. Unless it is CLEAN or final, what was looked for stays in the vault for the next call.

    Raises:
        StoreError: there is no such run, its request is not in this vault, or a file cannot be deleted.
        ConfigError: another process works in the run, or ``EXPUNGE_HOME`` lies inside it.
        LedgerError: a certificate or the log cannot be read.
    """
    out, request = _find(target)
    with locked(out):
        if _finished(out, request):
            vault().destroy(_journal(request))
            return Purge.read(out)
        journal = _begin(out, request)
        _erase(out, request, journal)
        found = _conclude(out, request, journal)
        if found.status == "CLEAN" or final:
            vault().destroy(_journal(request))
    return found


def _journal(request: str) -> str:
    return f"purge_{request}"


def _kept_journal(request: str) -> _Journal:
    return _Journal.read(vault().get(_journal(request)))


def _finished(out: Path, request: str) -> bool:
    return vault().destroyed(_journal(request)) and (out / PURGED).is_file()


def _find(target: str) -> tuple[Path, str]:
    """Folder and request id."""
    out = Path(target)
    if not out.is_dir():
        if not _ID.fullmatch(target):
            raise StoreError(f"{target} is no run", next="Give the folder of a run, or a request's id, r_...")
        out = Path(_kept_journal(target).run) if vault().holds(_journal(target)) else run_of(target)
        if not out.is_dir():
            raise StoreError(f"the run of {target} is not where it was", why=f"{out} is gone", next="Give its folder")
    elif not (out / REQUEST).is_file():
        below = ", ".join(sorted(str(path.parent) for path in out.glob(f"*/{REQUEST}")))
        why = "an unlearning that did not finish keeps none"
        raise StoreError(
            f"{out} holds no request", why=why, next=f"Purge {below}" if below else "Finish it, or delete the folder"
        )
    request = public_request(out).id
    if _ID.fullmatch(target) and target != request:
        raise StoreError(f"{out} holds another request now", why=f"it is {request}", next="Give the folder to purge")
    if home_path().resolve().is_relative_to(out.resolve()):
        raise ConfigError(f"{HOME} lies inside {out}", why="a purge deletes what it does not know there")
    return out, request


def _begin(out: Path, request: str) -> _Journal:
    """Look at everything, and make what was seen durable before anything is deleted."""
    if vault().holds(_journal(request)):
        journal = _kept_journal(request)
    else:
        journal = _observe(out, request)
        vault().put(_journal(request), journal.body())
    note(Kind.PURGE_INTENT, request=request, counters={"records": len(journal.trace.records)})
    if not (out / PURGED).is_file():
        Purge(request, "INTENT", len(journal.trace.records), journal.seen).write(out)
    return journal


def _observe(out: Path, request: str) -> _Journal:
    """The positive control: the scan must see the records while they are still there."""
    asked = kept_request(out)
    gone, stay = forgotten(shared_examples(out), asked)
    trace = Trace.of(gone, asked, vault().key(request))
    sought = trace.sought(stay)
    found = scan([out], sought.all)
    told = tuple(sorted(found.hits))
    parts = divide(out, told)
    return _Journal(str(out.resolve()), trace, sought.seen(found.seen), told, parts.goes, parts.rewritten)


def _erase(out: Path, request: str, journal: _Journal) -> None:
    """Destroy the request's body, delete, rewrite. Whatever is done already is passed over."""
    vault().destroy(request)
    parts = divide(out, journal.told)
    for name in parts.rewritten:
        write_bytes(out / name, rewrite(out / name, journal.trace.records.keys()))
    for number, name in enumerate(parts.goes):
        report("deleting", number, len(parts.goes))
        _delete(out / name)
    report("deleting", len(parts.goes), len(parts.goes))
    for folder, _, _ in os.walk(out, topdown=False):
        if Path(folder) != out:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def _delete(path: Path) -> None:
    try:
        delete(path)
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(
            f"cannot delete {path}", why=why, next="Make it writable; the same command continues"
        ) from error


def _conclude(out: Path, request: str, journal: _Journal) -> Purge:
    """Scan, write the papers, and scan again until the papers are among what was scanned."""
    sought = journal.trace.sought(e for e in shared_examples(out) if e.record_id not in journal.trace.records)
    signer = signer_here()
    found = _look(out, sought)
    for _ in range(ROUNDS):
        leaving = dict(unissued(out, signer, journal.removed))
        purge = _judged(request, journal, sought, found, leaving={p.name: why for p, why in leaving.items()})
        purge.write(out)
        reissue(out, purge, signer, leaving.keys())
        Manifest.of(out).write(out)
        counters = {"files": len(purge.removed), "hits": purge.hits, "records": purge.records}
        digests = {"receipt": digest_file(out / PURGED)}
        note(Kind.PURGE_DONE, request=request, digests=digests, counters=counters, state=purge.status)
        again = _look(out, sought)
        if (again.hits, again.blind) == (found.hits, found.blind):
            return purge
        found = again
    raise StoreError(f"what is found in {out} changes while it is purged", next="Stop what writes there, and try again")


def _look(out: Path, sought: Sought) -> Found:
    """Scan the run, the answers to other requests beside it, and the home, whose names start with ``EXPUNGE_HOME``."""
    place = home().resolve()
    hits: dict[str, int] = {}
    blind: dict[str, str] = {}
    inside = out.resolve().is_relative_to(place)
    beside = [p for p in out.resolve().parent.glob("request-*") if p.is_dir() and ANSWER.fullmatch(out.resolve().name)]
    others = [(f"../{p.name}/", p) for p in sorted(beside) if p != out.resolve()]
    for prefix, root in (("", out), *others, (f"{HOME}/", place)):
        if inside and root != place:
            continue
        found = scan([root], sought.all)
        hits |= {prefix + name: count for name, count in found.hits.items()}
        blind |= {prefix + name: why for name, why in found.blind.items()}
    return Found(hits, blind)


def _judged(request: str, journal: _Journal, sought: Sought, found: Found, *, leaving: Mapping[str, str]) -> Purge:
    records = len(journal.trace.records)
    unseen = not 0 < records <= journal.seen
    return Purge(
        request,
        "RESIDUE" if found.hits else "BLIND" if unseen or found.blind else "CLEAN",
        records,
        journal.seen,
        hits=found.total(),
        where=_shown(sought, found.hits),
        blind=_shown(sought, found.blind),
        removed=_shown(sought, journal.removed),
        rewritten=journal.rewritten,
        unissued=tuple(f"{name}: {why}" for name, why in sorted(leaving.items())),
    )


def _shown(sought: Sought, names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(sought.shown(name) for name in names))
