"""Probe sets that an auditor commits to before a model is handed over, and the signed statement of what they found.

The commitment is SHA-256 over a fixed text, a secret salt of 32 bytes and the canonical bytes of the inputs. The salt
has one length, so that no two sets give the same bytes; nobody without it can confirm a guess of the inputs, however
few there are to guess from; and what was committed to can only be opened by the same inputs in the same order.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from expunge.core.attack import Budget
from expunge.core.canonical import canonical_bytes, digest_bytes
from expunge.core.earning import is_digest
from expunge.core.errors import LedgerError
from expunge.core.evidence import Estimate
from expunge.core.example import Example, examples_of
from expunge.core.record import record
from expunge.ledger import envelope
from expunge.ledger.keys import PublicKey, Signer
from expunge.ledger.leaf import Entry, Kind

COMMITMENT_TYPE = "application/vnd.expunge.probe-commitment+json"
RESULT_TYPE = "application/vnd.expunge.probe-result+json"
SET_TYPE: Literal["urn:expunge:probe-set:v1"] = "urn:expunge:probe-set:v1"
SALT_BYTES = 32
MOST_DRAWS = 100_000
"""Resamples that whoever verifies may be made to compute."""
_SALT = re.compile(rf"[0-9a-f]{{{2 * SALT_BYTES}}}")
_DOMAIN = b"expunge probe set v1\n"
_ROWS = b"expunge probe rows v1\n"
S = TypeVar("S")


@record
class ProbeSet:
    """What an auditor keeps to himself until he reveals it.

    Args:
        salt: 32 random bytes in hex.
        inputs: in the order in which they are asked.

    Raises:
        LedgerError: the salt is another than ``draw`` gives, or an input is there twice.
    """

    salt: str
    inputs: tuple[Example, ...]

    def __post_init__(self) -> None:
        if not _SALT.fullmatch(self.salt):
            raise LedgerError("a probe set needs a salt of 32 bytes", why="a shorter one could be guessed")
        ids = [example.record_id for example in self.inputs]
        if not ids or len(set(ids)) < len(ids):
            raise LedgerError("a probe set needs inputs with ids of their own", why=f"it has {len(ids)}")

    @classmethod
    def draw(cls, inputs: Sequence[Example]) -> ProbeSet:
        """A set under a fresh salt of the system's own randomness."""
        return cls(secrets.token_hex(SALT_BYTES), tuple(inputs))

    @property
    def digest(self) -> str:
        """The salted digest that a commitment states."""
        return digest_bytes(_DOMAIN + bytes.fromhex(self.salt) + canonical_bytes(self.inputs))

    def seal(self, rows: bytes) -> str:
        """The salted digest of the rows that the inputs gave."""
        return digest_bytes(_ROWS + bytes.fromhex(self.salt) + rows)

    def body(self) -> bytes:
        """The canonical bytes of the file."""
        return canonical_bytes({"inputs": self.inputs, "salt": self.salt, "type": SET_TYPE})


@record
class Commitment:
    """What is fixed before the model is seen: the inputs, and all that is chosen in measuring and reading them.

    Args:
        inputs: salted digest.
        items: how many inputs there are.
        metric: score, statistic or attack that is run.
        settings: digest of the attack as it is set; empty for what is no attack.
        reference: digest of the model that never knew, with which the difference is taken; empty for none.
        budget: of the attack.
        access: flags that the auditor uses.
        level: of the two-sided interval.
        draws: resamples of subjects.
        seed: of attack and resampling.
        time: UTC, to the second; what the auditor says, which only a log can show.
    """

    inputs: str
    items: int
    metric: str
    settings: str
    reference: str
    budget: Budget
    access: tuple[str, ...]
    level: float
    draws: int
    seed: int
    time: str


@record
class Result:
    """What the inputs gave on a model.

    Args:
        commitment: digest of the commitment's file.
        certificate: digest of the certificate's file; empty where none was given.
        model: digest of the model that was asked.
        reference: digest of a model that never knew; empty without one.
        rows: salted digest of the file with a number per input.
        value: the metric on the model.
        difference: the metric on the model less that on the reference; None without one.
        environment: versions with which it was computed.
        time: UTC, to the second.
    """

    commitment: str
    certificate: str
    model: str
    reference: str
    rows: str
    value: Estimate
    difference: Estimate | None
    environment: Mapping[str, str]
    time: str


@dataclass(frozen=True)
class Signed(Generic[S]):
    """What an envelope states; to be believed only if ``verifies``.

    Args:
        said: as read.
        data: bytes of the file.
        envelope: as read.
    """

    said: S
    data: bytes
    envelope: envelope.Envelope

    @property
    def keyid(self) -> str:
        """Of the key that is said to have signed."""
        return self.envelope.keyid

    @property
    def digest(self) -> str:
        """Of the file."""
        return digest_bytes(self.data)

    def verifies(self, key: PublicKey) -> bool:
        """Whether the signature is that key's."""
        return key.keyid == self.keyid and key.verifies(self.envelope.signature, self.envelope.signed)


def sign(said: Commitment | Result, signer: Signer) -> bytes:
    """The file of a commitment or of a result.

    Raises:
        LedgerError: the signer's signature is not its key's.
    """
    kind = COMMITMENT_TYPE if isinstance(said, Commitment) else RESULT_TYPE
    return envelope.sign(canonical_bytes(said), signer, kind)


def read_commitment(data: bytes) -> Signed[Commitment]:
    """Read a commitment. Checks its form, not its signature.

    Raises:
        LedgerError: names the part that is malformed.
    """
    sealed = envelope.open_envelope(data, COMMITMENT_TYPE)
    said = _stated(sealed.payload, Commitment, "commitment")
    if not is_digest(said.inputs) or said.items < 1:
        raise envelope.malformed("commitment", "it is to no inputs")
    if said.reference and not is_digest(said.reference):
        raise envelope.malformed("commitment reference", "neither a digest nor empty")
    if not (0.5 < said.level < 1 and 1 <= said.draws <= MOST_DRAWS and said.seed >= 0):
        raise envelope.malformed("commitment", "level, draws or seed is out of range")
    return Signed(said, data, sealed)


def read_result(data: bytes) -> Signed[Result]:
    """Read a signed result. Checks its form, not its signature.

    Raises:
        LedgerError: names the part that is malformed.
    """
    sealed = envelope.open_envelope(data, RESULT_TYPE)
    return Signed(result_of(sealed.payload), data, sealed)


def result_of(payload: bytes) -> Result:
    """A result that is not signed yet.

    Raises:
        LedgerError: names the part that is malformed.
    """
    said = _stated(payload, Result, "result")
    for name in ("commitment", "model", "rows"):
        if not is_digest(getattr(said, name)):
            raise envelope.malformed(f"result {name}", "not a digest")
    for name in ("certificate", "reference"):
        if (value := getattr(said, name)) and not is_digest(value):
            raise envelope.malformed(f"result {name}", "neither a digest nor empty")
    return said


def read_set(data: bytes) -> ProbeSet:
    """Read a probe set.

    Raises:
        LedgerError: it is none, or its salt is too short.
    """
    body = envelope.fields_of(envelope.parse_canonical(data, "probe set"), "probe set", ("inputs", "salt", "type"))
    if body["type"] != SET_TYPE or not isinstance(body["inputs"], list) or not isinstance(body["salt"], str):
        raise envelope.malformed("probe set", f"not {SET_TYPE}")
    try:
        inputs = examples_of(_untyped(body["inputs"]))
    except ValidationError as error:
        raise envelope.malformed("probe set inputs", _first(error)) from error
    found = ProbeSet(body["salt"], tuple(inputs))
    if found.body() != data:
        raise envelope.malformed("probe set", "not spelled as this library spells it")
    return found


def entry_of(commitment: Signed[Commitment]) -> Entry:
    """What the log commits to when it is told of a commitment: the digest of its file, and who signed it.

    Raises:
        LedgerError: the schema of leaves does not allow it.
    """
    key = commitment.keyid.replace("ed25519:", "sha256:", 1)
    return Entry(Kind.PROBE, digests={"key": key, "probe": commitment.digest})


def _stated(payload: bytes, kind: type[S], what: str) -> S:
    body = envelope.parse_canonical(payload, what)
    try:
        said = TypeAdapter(kind).validate_python(_untyped(body))
    except (ValidationError, RecursionError) as error:
        why = _first(error) if isinstance(error, ValidationError) else "nested too deeply"
        raise envelope.malformed(what, why) from error
    if canonical_bytes(said) != payload:
        raise envelope.malformed(what, "not spelled as this library spells it")
    return said


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


def _untyped(value: Any) -> Any:
    """JSON without the names of types, which the fields' own types say again."""
    if isinstance(value, list):
        return [_untyped(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {k: _untyped(v) for k, v in cast("dict[str, Any]", value).items() if k != "type"}
    return value
