"""What an audit that ran an unlearning again signs: that the digests were equal, on what and under which settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import canonical_bytes
from expunge.core.certificate import COMMITTED, INDEPENDENT
from expunge.core.errors import EvidenceError, LedgerError
from expunge.core.evidence import Replay
from expunge.core.files import write_bytes
from expunge.ledger import envelope
from expunge.ledger.certify import FOLDER, read_small
from expunge.ledger.home import home, home_path
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import UNKNOWN, trust
from expunge.ledger.verify import signer_of
from expunge.workflow.training_log import Committed

PAYLOAD_TYPE = "application/vnd.expunge.replay+json"
NOTE = "model.replay.json"
FIELDS = ("after", "before", "committed", "data", "distance", "environment", "equals", "recipe", "records", "seed")


@dataclass(frozen=True)
class Note:
    """What a note states.

    Args:
        replay: the digests.
        recipe: digest of the recipe that was run.
        seed: of the training.
        records: that it was run on.
        environment: versions and threads in which it was run.
        committed: what the log of whoever ran it was told before the training; empty where he has no such log, so
            that whoever certifies has to look into his own.
        signer: trusted name of the key that signed; ``UNKNOWN`` for none that is trusted here.
        keyid: of that key.
    """

    replay: Replay
    recipe: str
    seed: int
    records: int
    environment: Mapping[str, str]
    committed: str = ""
    signer: str = UNKNOWN
    keyid: str = ""


def note_path(out: Path) -> Path:
    """Where a run keeps the note of its audit."""
    return out / FOLDER / NOTE


def write_note(out: Path, note: Note) -> Path:
    """Sign a note with the key in ``EXPUNGE_HOME``, which is made if there is none, and write it."""
    body: dict[str, Any] = {**vars(note.replay), "recipe": note.recipe, "seed": note.seed, "records": note.records}
    signer = ensure_key(home())
    trust(home(), signer.public, "this installation")
    body |= {"environment": dict(note.environment), "committed": note.committed}
    data = envelope.sign(canonical_bytes(body), signer, PAYLOAD_TYPE)
    write_bytes(note_path(out), data)
    return note_path(out)


def read_note(path: Path) -> Note:
    """A note whose signature is valid.

    Raises:
        LedgerError: it is malformed, or its signature is not by the key that it names.
    """
    sealed = envelope.open_envelope(read_small(path, "note"), PAYLOAD_TYPE)
    held, name = signer_of(sealed.keyid, None, home_path(), False)
    if held is not None and not held.verifies(sealed.signature, sealed.signed):
        raise LedgerError(f"the signature of {path} is invalid", next="Run expunge audit replay again")
    body = envelope.fields_of(envelope.parse_canonical(sealed.payload, "payload"), "payload", FIELDS)
    try:
        digests = {part: str(body[part]) for part in ("before", "after", "data", "equals")}
        replay = Replay(**digests, distance=float(body["distance"]))
        told = json.loads(json.dumps(body["environment"]))
        shown = str(body["committed"])
        return Note(
            replay, str(body["recipe"]), int(body["seed"]), int(body["records"]), told, shown, name, sealed.keyid
        )
    except (TypeError, ValueError) as error:
        raise LedgerError(f"{path} is no note of a replay", why=str(error)) from error


def audited(out: Path, replay: Replay, look: Callable[[Note], Committed]) -> tuple[Replay, dict[str, str]]:
    """A replay with what an audit of this very run found, where a trusted key signed that, and what a certificate says
    of it: whether that key is its own, for then whoever certifies only says so of himself, and what was committed to.

    That another run gave the same counts from nowhere else, and only where a log shows what was committed to.

    Args:
        out: folder of the run.
        replay: of its result, as the folder states it.
        look: into the log of whoever certifies; called where whoever ran it had none.

    Raises:
        LedgerError: the note is malformed, or nobody trusted signed it.
        EvidenceError: it is about another result.
    """
    path = note_path(out)
    # A digest that differs only lowers a claim, so that it counts whoever says it.
    alone = replace(replay, equals="", distance=0.0) if replay.equals == replay.after else replay
    if not path.is_file():
        return alone, {}
    found = read_note(path)
    if found.signer == UNKNOWN:
        raise LedgerError(
            f"the signer of {path} is not trusted here",
            next="Trust the auditor's key with expunge keys trust, run the audit yourself, or remove the note",
        )
    if replace(found.replay, equals="", distance=0.0) != replace(replay, equals="", distance=0.0):
        raise EvidenceError(
            f"{path} is about another result", why="its digests differ", next="Run expunge audit replay again"
        )
    own = found.keyid == ensure_key(home()).keyid
    by = "by the same key that certifies" if own else f"by another key than that which certifies, {found.keyid}"
    shown = None if found.committed else look(found)
    told = {INDEPENDENT: f"run again {by}", COMMITTED: shown.told() if shown else found.committed}
    return found.replay if shown is None or shown.known else alone, told
