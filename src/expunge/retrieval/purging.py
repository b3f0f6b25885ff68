"""Erase, compact, scan: a purge is a post-condition that is looked for in the bytes, not a call that returned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from expunge.core.earning import CLEAN
from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.retrieval.byte_scan import Marker, Searcher, scan
from expunge.retrieval.journal import Journal, KeyGone, Step, another

WORD = "word"
"""Spelling of markers that an index may or may not show: looked for after the erasure, not asked of the control."""
TELLING = 8
"""Bytes below which a marker would be found anywhere."""


class Adapter(Protocol):
    """What a store of any make must offer to be purged.

    ``erase`` and ``compact`` may be called again after a kill at any point; ids that are gone already are no error. A
    ``digest()`` beside these is stated in receipts.
    """

    name: str

    def erase(self, ids: Sequence[str]) -> None: ...
    def compact(self) -> None: ...
    def files(self) -> Iterable[Path]: ...


def _nothing(step: str) -> None:
    del step


def _digest(adapter: Adapter) -> str:
    return getattr(adapter, "digest", str)()


def _telling(data: bytes) -> bool:
    return len(data) >= TELLING and len(set(data)) >= 4


def _record(label: str) -> str:
    return label.partition("/")[0]


def _seen(spellings: Mapping[str, Sequence[Marker]], seen: frozenset[Marker]) -> bool:
    """Whether some spelling stood there whole, but for the few pieces that the border of a page may cut."""
    counts = [(sum(m in seen for m in group), len(group)) for group in spellings.values()]
    return any(0 < found >= n - max(1, n // 8) for found, n in counts)


def _groups(markers: Iterable[Marker]) -> dict[str, dict[str, list[Marker]]]:
    groups: dict[str, dict[str, list[Marker]]] = {}
    for marker in markers:
        if marker.spelling != WORD:
            groups.setdefault(marker.label, {}).setdefault(marker.spelling, []).append(marker)
    return groups


class _Control:
    """What the scan sees before anything is erased, and what it may look for afterwards."""

    def __init__(self, adapter: Adapter, count: int, markers: Sequence[Marker], live: Iterable[bytes]) -> None:
        self.paths = list(adapter.files())
        telling = [m for m in markers if _telling(m.data)]
        searcher = Searcher({m.data for m in telling})
        shared = {data for block in live for data, _ in searcher.ends(block)}
        self.markers = [m for m in telling if m.data not in shared]
        seen = scan(self.paths, self.markers).seen
        every, left = _groups(markers), _groups(self.markers)
        # A value of which nothing is left to look for in one of its spellings could stand there unseen.
        asked = {label for label, group in every.items() if group.keys() == left.get(label, {}).keys()}
        missed = {label for label in asked if not _seen(left[label], seen)}
        # Every record that is named must have been seen, whether or not there are markers of it.
        records = {str(i) for i in range(count)}
        known = {_record(label) for label in asked} - {_record(label) for label in missed}
        self.unseen = sorted(records - known, key=int)
        self.seen = len(records & known)
        vague = len(every) - len(asked)
        told = "value is too short, or stands" if vague == 1 else "values are too short, or stand"
        self.notes = [f"{vague} {told} in records that stay, and cannot be told apart"] if vague else []


def purge(
    adapter: Adapter,
    ids: Iterable[str],
    markers: Callable[[], Sequence[Marker]],
    *,
    journal: Path,
    live: Callable[[], Iterable[bytes]] = tuple,
    extra: Any = None,
    at: Step = _nothing,
) -> Receipt:
    """Erase records from a store for good, and look whether they are gone.

    The scan must see each record before (positive control), and must see nothing of any afterwards. A process that is
    killed at any point leaves a journal; the same call continues. A receipt is written only when the journal, which
    could give the data back, is destroyed. After ``RESIDUE`` the journal stays, and the same call tries again.

    Args:
        adapter: of the store.
        ids: of the records.
        markers: makes what to look for, labelled ``<place of the id>/<part>``; called while the records are there.
        journal: folder for the journal, held by this process alone; it is scanned too.
        live: makes bytes of the records that stay, decoded as the store holds them: what they share with the erased
            ones is no residue.
        extra: kept in the journal, for the caller.
        at: told each step as it is done.

    Returns:
        ``CLEAN``, ``RESIDUE`` or ``BLIND``, with where and why.

    Raises:
        StoreError: nothing is named, or another purge is unfinished.
    """
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        raise StoreError("nothing to purge", why="no record is named")
    kept = Journal(journal)
    if kept.open:
        return resume(adapter, journal, ids=wanted, at=at)
    before = _Control(adapter, len(wanted), markers(), live())
    at("control")
    kept.begin(
        {
            "ids": wanted,
            "markers": [(m.label, m.data.hex(), m.spelling) for m in before.markers],
            "paths": [str(path.absolute()) for path in before.paths],
            "unseen": before.unseen,
            "control": before.seen,
            "notes": before.notes,
            "before": _digest(adapter),
            "extra": extra,
        }
    )
    at("intent")
    return resume(adapter, journal, ids=wanted, at=at)


def resume(
    adapter: Adapter, journal: Path, *, ids: Sequence[str] = (), final: bool = False, at: Step = _nothing
) -> Receipt:
    """Carry an unfinished purge to its end.

    Args:
        adapter: of the store.
        journal: folder of the journal.
        ids: what the purge must be of, if that matters.
        final: destroy the journal after ``RESIDUE`` too. Nobody can then look for these records again.
        at: told each step as it is done.

    Raises:
        StoreError: there is no unfinished purge, or it is one of other records.
    """
    kept = Journal(journal)
    if not kept.open:
        raise StoreError("no purge is unfinished", why=f"there is no journal in {journal}")
    if kept.concluded(ids):
        return kept.finish(at)
    try:
        intent = kept.read()
    except KeyGone:
        why = "the key of the journal is gone: what was to be erased and looked for is not known any more"
        kept.conclude(Receipt(adapter.name, "BLIND", where=(why,)), ids)
        return kept.finish(at)
    if ids and set(ids) != set(intent["ids"]):
        raise another()
    adapter.erase(intent["ids"])
    at("erased")
    adapter.compact()
    at("compacted")
    receipt = _scanned(adapter, kept, intent)
    at("scanned")
    if receipt.status == "RESIDUE" and not final:
        return receipt
    kept.conclude(receipt, intent["ids"])
    at("concluded")
    return kept.finish(at)


def _scanned(adapter: Adapter, kept: Journal, intent: dict[str, Any]) -> Receipt:
    markers = [Marker(label, bytes.fromhex(data), spelling) for label, data, spelling in intent["markers"]]
    # What was listed before is scanned as well: a store that drops a file from its list has not erased it.
    every = {path.absolute() for path in (*adapter.files(), *map(Path, intent["paths"]), *kept.files())}
    found = scan([p for p in sorted(every) if p.exists() and not any(q in every for q in p.parents)], markers)
    unseen = tuple(
        f"record {record} of {len(intent['ids'])}: not seen before the erasure" for record in intent["unseen"]
    )
    blind = (*unseen, *(f"{name}: {why}" for name, why in found.blind.items()))
    status = "RESIDUE" if found.hits else "BLIND" if blind else CLEAN
    return Receipt(
        store=adapter.name,
        status=status,
        hits=found.total(),
        where=(*(f"{name}: {count}" for name, count in found.hits.items()), *blind),
        control=intent["control"],
        records=len(intent["ids"]),
        scanned=found.scanned,
        before=intent["before"],
        after=_digest(adapter),
        notes=tuple(intent["notes"]),
    )
