"""Purge: delete what a run and its request left of a subject, prove it by a byte scan, and say so in the certificates.

What has to be looked for afterwards is written into the vault, under a key of its own, before anything is deleted. A
killed purge finds it there and continues; its key is destroyed when nothing is left to look for.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from expunge.core.canonical import digest_file
from expunge.core.errors import ConfigError, StoreError
from expunge.core.files import delete, write_bytes
from expunge.core.manifest import Manifest
from expunge.core.progress import report
from expunge.ledger.home import home, home_path
from expunge.ledger.leaf import Kind
from expunge.retrieval.byte_scan import Found, scan
from expunge.workflow.asked import PURGED, REQUEST, public_request, run_of, vault
from expunge.workflow.logged import note
from expunge.workflow.purge_certificate import reissue, signer_here, unissued
from expunge.workflow.purge_journal import Journal, journal_name, journal_of, kept_journal
from expunge.workflow.purge_scope import Division, Sought, beside, divide, knowing, rewrite
from expunge.workflow.purged import Purge, not_scanned
from expunge.workflow.run import locked

_ID = re.compile(r"r_[0-9a-f]{12}")
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
        knew: models beside the run that know them and would stay.
    """

    run: Path
    request: str
    state: str
    division: Division
    records: int
    knew: tuple[str, ...] = ()


def plan_purge(target: str, *, final: bool = False) -> Plan:
    """Say what a purge would do. Changes nothing.

    Args:
        target: folder of a run, or the id of a request.
        final: as for ``purge``.

    Raises:
        StoreError: there is no such run, its request is not in this vault, or its records are gone.
        ConfigError: ``EXPUNGE_HOME`` lies inside the run.
    """
    out, request = find(target)
    if finished(out, request):
        return Plan(out, request, "finished", Division((), (), ()), 0)
    return plan_of(out, request, journal_of(out, request, final=final))


def plan_of(out: Path, request: str, journal: Journal) -> Plan:
    """The plan that follows from what was seen."""
    state = "begun" if vault().holds(journal_name(request)) else "new"
    return Plan(out, request, state, divide(out, journal.told), len(journal.trace.records), tuple(knowing(out)))


def purge(target: str, *, final: bool = False) -> Purge:
    """Purge a run. Killed at any point, the same call continues; it is CLEAN only after a scan that found nothing.

    Args:
        target: folder of a run, or the id of a request.
        final: end even if something was found or could not be seen; nobody can look for it again.

    Returns:
        What it came to. Unless it is CLEAN or final, what was looked for stays in the vault for the next call.

    Raises:
        StoreError: there is no such run, its request is not in this vault, its records are gone and it is not final, or
            a file cannot be deleted.
        ConfigError: another process works in the run, or ``EXPUNGE_HOME`` lies inside it.
        LedgerError: a certificate or the log cannot be read.
    """
    out, request = find(target)
    with locked(out):
        if finished(out, request):
            vault().destroy(journal_name(request))
            return Purge.read(out)
        journal = journal_of(out, request, final=final)
        begin(out, request, journal)
        erase(out, request, journal)
        found = conclude(out, request, journal)
        end(request, found, final=final)
    return found


def end(request: str, found: Purge, *, final: bool) -> None:
    """Destroy what was looked for, if nothing is left to look for or nobody will."""
    if found.status == "CLEAN" or final:
        vault().destroy(journal_name(request))


def finished(out: Path, request: str) -> bool:
    """Whether a purge came to its end."""
    return vault().destroyed(journal_name(request)) and (out / PURGED).is_file()


def find(target: str) -> tuple[Path, str]:
    """Folder and request id of a run.

    Args:
        target: its folder, or the id.

    Raises:
        StoreError: there is none.
        ConfigError: ``EXPUNGE_HOME`` lies inside it.
    """
    out = Path(target)
    if not out.is_dir():
        if not _ID.fullmatch(target):
            raise StoreError(
                f"{target} is no run", next="Give the folder of a run, or a request's id: r_ and 12 digits"
            )
        out = Path(kept_journal(target).run) if vault().holds(journal_name(target)) else run_of(target)
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


def begin(out: Path, request: str, journal: Journal) -> None:
    """Make what was seen durable before anything is deleted."""
    if not vault().holds(journal_name(request)):
        vault().put(journal_name(request), journal.body())
    note(Kind.PURGE_INTENT, request=request, counters={"records": len(journal.trace.records)})
    if not (out / PURGED).is_file():
        Purge(request, "INTENT", len(journal.trace.records), journal.seen).write(out)


def erase(out: Path, request: str, journal: Journal) -> None:
    """Destroy the request's body, delete, rewrite. Whatever is done already is passed over.

    Raises:
        StoreError: a file cannot be deleted, or the outcome cannot be read.
        LedgerError: a certificate cannot be read.
    """
    parts = divide(out, journal.told)
    vault().destroy(request)
    for name in parts.rewritten:
        write_bytes(out / name, rewrite(out / name, journal.trace.records.keys()))
    remove(out, parts.goes)
    for folder, _, _ in os.walk(out, topdown=False):
        if Path(folder) != out:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()


def remove(out: Path, names: Collection[str]) -> None:
    """Delete files, by path relative to ``out``.

    Raises:
        StoreError: one cannot be deleted.
    """
    for number, name in enumerate(names):
        report("deleting", number, len(names))
        _delete(out / name)
    report("deleting", len(names), len(names))


def _delete(path: Path) -> None:
    try:
        delete(path)
    except OSError as error:
        why = error.strerror or str(error)
        raise StoreError(
            f"cannot delete {path}", why=why, next="Make it writable; the same command continues"
        ) from error


def conclude(out: Path, request: str, journal: Journal) -> Purge:
    """Scan, write the papers, and scan again until the papers are among what was scanned.

    Raises:
        StoreError: what is found changes meanwhile.
        LedgerError: a certificate or the log cannot be read.
    """
    sought = journal.sought(out)
    signer = signer_here()
    found = _look(out, sought)
    for _ in range(ROUNDS):
        leaving = dict(unissued(out, signer, journal.removed))
        purge = _judged(out, request, journal, sought, found)
        purge = replace(purge, unissued=tuple(f"{path.name}: {why}" for path, why in sorted(leaving.items())))
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
    raise _changing(out)


def require_settled(out: Path, journal: Journal, purge: Purge) -> None:
    """Look once more, and raise unless what is found is still what a purge came to.

    Raises:
        StoreError: it is not.
    """
    sought = journal.sought(out)
    again = _judged(out, purge.request, journal, sought, _look(out, sought))
    if replace(again, unissued=purge.unissued) != purge:
        raise _changing(out)


def _changing(out: Path) -> StoreError:
    return StoreError(
        f"what is found in {out} changes while it is purged", next="Stop what writes there, and try again"
    )


def _look(out: Path, sought: Sought) -> Found:
    """Scan the run, what was made with it beside it, and the home, whose names start with ``EXPUNGE_HOME``."""
    place = home().resolve()
    hits: dict[str, int] = {}
    blind: dict[str, str] = {}
    inside = out.resolve().is_relative_to(place)
    others = [("../" + f"{p.name}/" * p.is_dir(), p) for p in beside(out) if not place.is_relative_to(p)]
    for prefix, root in (("", out), *others, (f"{HOME}/", place)):
        if inside and root != place:
            continue
        found = scan([root], sought.all)
        hits |= {prefix + name: count for name, count in found.hits.items()}
        blind |= {prefix + name: why for name, why in found.blind.items()}
    return Found(hits, blind)


def _judged(out: Path, request: str, journal: Journal, sought: Sought, found: Found) -> Purge:
    purge = Purge(
        request,
        "CLEAN",
        len(journal.trace.records),
        journal.seen,
        hits=found.total(),
        where=_shown(sought, found.hits),
        blind=_shown(sought, found.blind),
        removed=_shown(sought, journal.removed),
        rewritten=journal.rewritten,
        knew=_shown(sought, knowing(out)),
        not_scanned=not_scanned(sought.short),
    )
    status = "RESIDUE" if found.hits else "BLIND" if purge.unseen or found.blind else "CLEAN"
    return replace(purge, status=status)


def _shown(sought: Sought, names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(sought.shown(name) for name in names))
