"""What an audit that ran an unlearning again signs: that the digests were equal, on what and under which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import canonical_bytes
from expunge.core.errors import EvidenceError, LedgerError
from expunge.core.evidence import Replay
from expunge.core.files import write_bytes
from expunge.ledger import envelope
from expunge.ledger.certify import FOLDER, read_small
from expunge.ledger.home import home, home_path
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import UNKNOWN, trust
from expunge.ledger.verify import signer_of

PAYLOAD_TYPE = "application/vnd.expunge.replay+json"
NOTE = "model.replay.json"
FIELDS = ("after", "before", "data", "distance", "environment", "equals", "recipe", "records", "seed")


@dataclass(frozen=True)
class Note:
    """What a note states.

    Args:
        replay: the digests.
        recipe: digest of the recipe that was run.
        seed: of the training.
        records: that it was run on.
        environment: versions and threads in which it was run.
        signer: trusted name of the key that signed; ``UNKNOWN`` for none that is trusted here.
        keyid: of that key.
    """

    replay: Replay
    recipe: str
    seed: int
    records: int
    environment: Mapping[str, str]
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
    data = envelope.sign(canonical_bytes({**body, "environment": dict(note.environment)}), signer, PAYLOAD_TYPE)
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
        return Note(replay, str(body["recipe"]), int(body["seed"]), int(body["records"]), told, name, sealed.keyid)
    except (TypeError, ValueError) as error:
        raise LedgerError(f"{path} is no note of a replay", why=str(error)) from error


def audited(out: Path, replay: Replay) -> tuple[Replay, dict[str, str]]:
    """A replay with what an audit of this very run found, where a trusted key signed that; and whether that key is
    the certificate's own: then whoever certifies only says so of himself.

    Args:
        out: folder of the run.
        replay: of its result.

    Raises:
        LedgerError: the note is malformed, or nobody trusted signed it.
        EvidenceError: it is about another result.
    """
    path = note_path(out)
    if not path.is_file():
        return replay, {}
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
    return found.replay, {"independent run": f"run again {by}"}
