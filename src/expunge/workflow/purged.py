"""What a purge came to, as ``purge.json`` tells it: no text, no digest of what is gone, no name that tells of whom."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from expunge.core.canonical import read_json
from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.files import write_json
from expunge.core.record import record
from expunge.workflow.asked import PURGED

SHORTEST = 8
"""Bytes below which a text is no marker: a large file holds any few bytes by chance."""
STORE = "run and EXPUNGE_HOME"
NOT_SCANNED = (
    "places outside the run and EXPUNGE_HOME were not scanned: the files and models that were read, caches of model"
    " hubs, backups, other machines; the scan does not recognise other encodings (base64, encrypted copies), changed"
    " upper and lower case, and some excerpts shorter than 63 bytes"
)


def not_scanned(short: int) -> str:
    """What a scan says nothing about.

    Args:
        short: how many values were too short to be looked for.

    >>> not_scanned(2)[-44:]
    '; 2 values under 8 bytes were not looked for'
    """
    if not short:
        return NOT_SCANNED
    noun, verb = ("value", "was") if short == 1 else ("values", "were")
    return f"{NOT_SCANNED}; {short} {noun} under {SHORTEST} bytes {verb} not looked for"


@record
class Purge:
    """What a purge took and what its byte scan found afterwards.

    Args:
        request: public id.
        status: CLEAN if every record was seen before, none of it after, and every file could be read; RESIDUE if
            something is left; BLIND if the scan could not tell; INTENT before there was one.
        records: that were to be forgotten.
        seen: of these, how many the same scan saw before the purge.
        hits: occurrences after it.
        where: files that hold them.
        blind: files that could not be seen into.
        removed: files that were deleted.
        rewritten: files from which the records were taken out.
        unissued: certificates that were not issued again, and why.
        knew: models beside the run that knew the records and were left: they belong to another request.
        not_scanned: what the scan says nothing about.
    """

    request: str
    status: Literal["INTENT", "CLEAN", "RESIDUE", "BLIND"]
    records: int
    seen: int
    hits: int = 0
    where: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()
    unissued: tuple[str, ...] = ()
    knew: tuple[str, ...] = ()
    not_scanned: str = NOT_SCANNED

    @property
    def unseen(self) -> bool:
        """Whether a record was not seen before the purge, so that no later scan can tell that it is gone."""
        return not 0 < self.records <= self.seen

    @property
    def receipt(self) -> Receipt:
        """The evidence that it is."""
        where = (*self.where, *self.blind)
        return Receipt(STORE, self.status, self.hits, where, self.seen, self.records)

    def write(self, out: Path) -> None:
        """Write ``purge.json``."""
        write_json(out / PURGED, TypeAdapter(Purge).dump_python(self, mode="json"))

    @classmethod
    def read(cls, out: Path) -> Purge:
        """Read it.

        Raises:
            StoreError: missing or malformed.
        """
        try:
            return TypeAdapter(Purge).validate_python(read_json(out / PURGED))
        except ValidationError as error:
            raise StoreError(f"{out / PURGED} is malformed", why=str(error.errors()[0]["msg"])) from error


def purged_among(out: Path | None, missing: Iterable[str]) -> tuple[str, ...]:
    """Which missing files a run's ``purge.json`` says were purged. It is not signed: it explains and proves nothing."""
    if out is None or not (out / PURGED).is_file():
        return ()
    try:
        removed = set(Purge.read(out).removed)
    except StoreError:
        return ()
    return tuple(name for name in missing if name in removed)
