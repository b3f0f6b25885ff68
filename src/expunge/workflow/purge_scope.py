"""What of a run a purge takes, rewrites and leaves, and by which bytes the subject would be known again.

Of a run remain: certificates and public files; the models that a certificate is about or measured against, as long as
they are no overlay and not the model that knew; and its data without the forgotten records. All else goes: the
original, score tables, checkpoints, stages, overlays (they name whom they guard), and whatever no manifest lists.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from expunge.core.canonical import plain, read_json
from expunge.core.earning import is_digest
from expunge.core.errors import StoreError
from expunge.core.example import Example
from expunge.core.manifest import DONE, NAME, PUBLIC, Manifest
from expunge.core.request import Records, Request
from expunge.data.jsonl import dump_examples, read_examples
from expunge.ledger import envelope, statement
from expunge.ledger.certify import FOLDER as CERTIFICATES
from expunge.ledger.certify import SUFFIX
from expunge.ledger.receipt import RECEIPT_SUFFIX
from expunge.retrieval.byte_scan import Marker, Searcher, markers_of, spellings
from expunge.workflow.asked import PURGED, REQUEST
from expunge.workflow.purged import SHORTEST

SHARED = ("corpus.jsonl", "data.jsonl")
CARD, RESULT, WORK = "target.json", "outcome.json", ".work"
SEED = re.compile(r"seed-[0-9]+")
FAMILIES = (re.compile(r"request-[0-9]+"), SEED)
"""Names of folders that one command makes beside one another; each may hold records that another wants forgotten."""


@dataclass(frozen=True)
class Division:
    """Files of a run, by path relative to it.

    Args:
        goes: deleted.
        rewritten: of these the forgotten records are taken out.
        stays: left as they are.
    """

    goes: tuple[str, ...]
    rewritten: tuple[str, ...]
    stays: tuple[str, ...]


def divide(out: Path, told: Collection[str] = ()) -> Division:
    """Divide the files of a run.

    Args:
        out: folder of the run.
        told: files in which the subject was seen; they go too, unless they are certificates or models.

    Raises:
        LedgerError: a certificate cannot be read, so that nobody knows which models it is about.
    """
    models = _models(out)
    listed = {e.path for e in Manifest.read(out).entries} if (out / NAME).is_file() else None
    goes: list[str] = []
    rewritten: list[str] = []
    stays: list[str] = []
    for name in files_of(out):
        top = name.partition("/")[0]
        if (out / name).is_symlink():
            goes.append(name)
        elif name in SHARED:
            rewritten.append(name)
        elif _stays(name, top, models, listed, told):
            stays.append(name)
        else:
            goes.append(name)
    return Division(tuple(goes), tuple(rewritten), tuple(stays))


def _stays(name: str, top: str, models: Collection[str], listed: Collection[str] | None, told: Collection[str]) -> bool:
    if name in (NAME, REQUEST, PURGED):
        return True
    if top == CERTIFICATES:
        return name.endswith((SUFFIX, RECEIPT_SUFFIX))
    if top in models:
        return listed is None or name in listed
    return name in PUBLIC and name not in told


def files_of(out: Path) -> Iterator[str]:
    """Every file and link below a folder; links are not followed."""
    for folder, names, files in os.walk(out):
        links = [name for name in names if Path(folder, name).is_symlink()]
        yield from (Path(folder, name).relative_to(out).as_posix() for name in sorted(files + links))


def _models(out: Path) -> set[str]:
    """Folders of models that are kept."""
    kept, knew = _digests(out)
    return set(_of_digests(out, kept - knew))


def _of_digests(out: Path, wanted: Collection[str]) -> list[str]:
    """Folders of the models of a run that have one of these digests."""
    cards = sorted(out.glob(f"*/{CARD}"))
    return [card.parent.name for card in cards if str(_facts(card).get("digest")) in wanted]


def _digests(out: Path) -> tuple[set[str], set[str]]:
    """Models that a run's certificates and its outcome are about or measured against, and those that knew."""
    kept: set[str] = set()
    knew: set[str] = set()
    for path in (out / CERTIFICATES).glob(f"*{SUFFIX}"):
        certificate = statement.read(envelope.open_envelope(path.read_bytes()).payload).certificate
        kept |= {artefact.after for artefact in certificate.artefacts if not artefact.overlay}
        kept |= {text for _, text in certificate.notes if is_digest(text)}
        knew |= {artefact.before for artefact in certificate.artefacts}
    if (out / RESULT).is_file():
        before, after, overlay = _result(out)
        kept |= set() if overlay else {after}
        knew.add(before)
    return kept, knew


def _facts(path: Path) -> Mapping[str, Any]:
    facts = read_json(path)
    if not isinstance(facts, dict):
        raise StoreError(f"{path} is malformed", why="it is no JSON object", next="Restore it, and try again")
    return cast("Mapping[str, Any]", facts)


def _result(out: Path) -> tuple[str, str, bool]:
    """Digests before and after, and whether the model is an overlay, as the outcome of a run says it."""
    facts = _facts(out / RESULT)
    before, after, overlay = (facts.get(name) for name in ("before", "after", "overlay"))
    if not (isinstance(before, str) and isinstance(after, str) and isinstance(overlay, bool)):
        why = "it does not say which model is the unlearned one and which one knew"
        raise StoreError(f"{out / RESULT} is malformed", why=why, next="Restore it, and try again")
    return before, after, overlay


def beside(out: Path) -> list[Path]:
    """What else the command that made a run has written beside it: answers to other requests, or other seeds.

    Where the folder above is a run itself, which its manifest tells, whatever lies there.
    """
    place = out.resolve()
    family = next((family for family in FAMILIES if family.fullmatch(place.name)), None)
    if family is None:
        return []
    whole = (place.parent / NAME).is_file()
    ours = {*PUBLIC, NAME, DONE, WORK}
    every = sorted(place.parent.iterdir())
    return [p for p in every if p != place and (whole or p.name in ours or (p.is_dir() and family.fullmatch(p.name)))]


def knowing(out: Path) -> list[str]:
    """Models beside a run that knew its subject: those it was built on, and the originals of other seeds."""
    siblings = [p for p in beside(out) if (p / REQUEST).is_file()]
    if SEED.fullmatch(out.resolve().name):
        return [f"../{p.name}/{name}" for p in siblings for name in _of_digests(p, _digests(p)[1])]
    results = {p: _result(p) for p in siblings if (p / RESULT).is_file()}
    wanted = {_result(out)[0]} if (out / RESULT).is_file() else set[str]()
    found: list[str] = []
    # Requests in sequence: each was answered on the model that the one before it gave, which knew all later ones.
    while wanted:
        built = [p for p, (_, after, overlay) in results.items() if after in wanted and not overlay]
        found += [f"../{p.name}/{name}" for p in built for name in _of_digests(p, wanted)]
        wanted = {results.pop(p)[0] for p in built}
    return found


def forgotten(examples: Iterable[Example], request: Request) -> tuple[list[Example], list[Example]]:
    """Sort examples into those that the request is about and the others."""
    ids = set(request.scope.ids) if isinstance(request.scope, Records) else set[str]()
    gone: list[Example] = []
    kept: list[Example] = []
    for example in examples:
        (gone if example.role == "forget" or example.record_id in ids else kept).append(example)
    return gone, kept


def shared_examples(out: Path) -> list[Example]:
    """The records in a run's data files."""
    return [example for name in SHARED if (out / name).is_file() for example in read_examples(out / name)]


def rewrite(path: Path, names: Collection[str]) -> bytes:
    """The bytes of a data file without some records.

    Args:
        path: of the file.
        names: ids of the records that go.
    """
    return dump_examples(example for example in read_examples(path) if example.record_id not in names)


def texts_of(example: Example) -> tuple[str, ...]:
    """Every text by which a record could be known, its id and its subject's name included."""
    texts = [example.record_id, example.subject, example.question, example.answer]
    texts += [example.paraphrased_question, example.paraphrased_answer, example.alternative_answer]
    return tuple(dict.fromkeys(text for text in (*texts, *example.perturbed_answer) if text))


def words_of(request: Request) -> tuple[str, ...]:
    """The texts of a request that are not records: who asks, names, prompts."""
    scope = {} if isinstance(request.scope, Records) else plain(request.scope)
    lists = [texts for name, texts in scope.items() if name != "type"]
    return tuple(text for text in (request.subject, *(t for texts in lists for t in texts)) if text)


@dataclass(frozen=True)
class Trace:
    """By what the subject of a request would be known again. Never written but into the vault.

    Args:
        records: id -> texts of a forgotten record.
        words: other texts of the request.
        salt: hex, of the request.
        key: hex, under which its body was encrypted.
    """

    records: Mapping[str, Sequence[str]]
    words: Sequence[str]
    salt: str
    key: str

    @classmethod
    def of(cls, gone: Iterable[Example], request: Request, key: bytes) -> Trace:
        """The trace of a request. Of a record that is asked for and is not there, nothing is known but its id."""
        records = {e.record_id: texts_of(e) for e in gone}
        asked = request.scope.ids if isinstance(request.scope, Records) else ()
        lost = tuple(name for name in asked if name not in records)
        none: dict[str, tuple[str, ...]] = dict.fromkeys(lost, ())
        return cls(records | none, (*words_of(request), *lost), request.salt, key.hex())

    @property
    def lost(self) -> int:
        """Records without a text: they were asked for, and are not there."""
        return sum(not texts for texts in self.records.values())

    def sought(self, kept: Iterable[Example]) -> Sought:
        """What to look for. What records that stay say too is left out: it would tell of them.

        Args:
            kept: records that stay.
        """
        texts = [(name, text) for name, found in self.records.items() for text in found]
        texts += [("", text) for text in self.words]
        long = [(name, text) for name, text in texts if len(text.encode()) >= SHORTEST]
        markers = markers_of(text for _, text in long)
        staying = b"\n".join(data for e in kept for text in texts_of(e) for data in spellings(text).values())
        shared = {data for data, _ in Searcher({m.data for m in markers}).ends(staying)}
        by_record: dict[str, set[Marker]] = {name: set() for name in self.records}
        others: set[Marker] = set()
        for marker in markers:
            if len(marker.data) >= SHORTEST and marker.data not in shared:
                name = long[int(marker.label.removeprefix("text "))][0]
                by_record.get(name, others).add(marker)
        for label, secret in (("salt", self.salt), ("key", self.key)):
            others |= {Marker(label, data) for data in (secret.encode(), bytes.fromhex(secret)) if data}
        return Sought(by_record, others, len({text for _, text in texts}) - len({text for _, text in long}))


@dataclass(frozen=True)
class Sought:
    """Markers to look for.

    Args:
        by_record: id -> markers of that record alone or of several forgotten ones.
        others: of the request and its secrets.
        short: texts that are not looked for, for they are too short.
    """

    by_record: Mapping[str, set[Marker]]
    others: set[Marker]
    short: int

    @property
    def all(self) -> set[Marker]:
        """All of them."""
        return self.others.union(*self.by_record.values())

    def seen(self, found: Collection[Marker]) -> int:
        """How many records at least one of the found markers tells."""
        data = {marker.data for marker in found}
        return sum(any(m.data in data for m in markers) for markers in self.by_record.values())

    @cached_property
    def _searcher(self) -> Searcher:
        return Searcher({marker.data for marker in self.all})

    def shown(self, name: str) -> str:
        """A path in which whatever tells of the subject is withheld."""

        def tells(text: str) -> bool:
            return next(self._searcher.ends(os.fsencode(text)), None) is not None

        parts = "/".join("(withheld)" if tells(part) else part for part in name.split("/"))
        return "(withheld)" if tells(parts) else parts
