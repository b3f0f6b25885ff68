"""What a purge was told before it deletes anything: kept in the vault, so that a killed one continues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.errors import StoreError
from expunge.retrieval.byte_scan import scan
from expunge.workflow.asked import REQUEST, kept_request, public_request, vault
from expunge.workflow.purge_scope import SHARED, Sought, Trace, divide, forgotten, knowing, shared_examples


@dataclass(frozen=True)
class Journal:
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
        """As it is kept."""
        return json.dumps({**vars(self), "trace": vars(self.trace)}).encode()

    @classmethod
    def read(cls, body: bytes) -> Journal:
        """As it was kept."""
        value: Mapping[str, Any] = json.loads(body)
        lists = {name: tuple(value[name]) for name in ("told", "removed", "rewritten")}
        return cls(**{**value, **lists, "trace": Trace(**value["trace"])})

    def sought(self, out: Path) -> Sought:
        """What to look for, given the records that stay in a run."""
        return self.trace.sought(e for e in shared_examples(out) if e.record_id not in self.trace.records)


def journal_name(request: str) -> str:
    """Under which the vault keeps it."""
    return f"purge_{request}"


def kept_journal(request: str) -> Journal:
    """The one in the vault.

    Raises:
        StoreError: there is none.
    """
    return Journal.read(vault().get(journal_name(request)))


def journal_of(out: Path, request: str, *, final: bool) -> Journal:
    """The one in the vault, else what there is to see now. Changes nothing.

    Args:
        out: folder of the run.
        request: its id.
        final: go on although records are gone that nobody can look for.

    Raises:
        StoreError: the request is not in this vault, its records are gone, or it is being purged in another folder.
    """
    if not vault().holds(journal_name(request)):
        journal = _observed(out)
        if not final:
            _require_records(out, journal.trace)
        return journal
    journal = kept_journal(request)
    begun = Path(journal.run)
    if begun != out.resolve() and (begun / REQUEST).is_file() and public_request(begun).id == request:
        why = f"the purge of its request was begun in {begun}, and {out} is a copy"
        raise StoreError(f"{out} is not the run", why=why, next=f"Purge {begun}, and delete this folder")
    return journal


def _observed(out: Path) -> Journal:
    """The positive control: the scan must see the records while they are still there."""
    knowing(out)
    asked = kept_request(out)
    gone, stay = forgotten(shared_examples(out), asked)
    trace = Trace.of(gone, asked, vault().key(asked.id))
    sought = trace.sought(stay)
    found = scan([out], sought.all)
    told = tuple(sorted(found.hits))
    parts = divide(out, told)
    return Journal(str(out.resolve()), trace, sought.seen(found.seen), told, parts.goes, parts.rewritten)


def _require_records(out: Path, trace: Trace) -> None:
    """Raise where records were taken away before the purge: it could never tell that nothing is left of them."""
    total = len(trace.records)
    if total and not trace.lost:
        return
    lost = f"{trace.lost} of the {total} records" if total else "the records"
    raise StoreError(
        f"{lost} of the request are not in {out} any more",
        why=f"without {' or '.join(sorted(SHARED))} as it was nobody knows what to look for; nothing was deleted",
        next="Put the file back, or give --final: it deletes all the same, and ends BLIND",
    )
