"""Leaves of the log: a closed schema of enums, counters, a time and digests. No field can hold text.

Whatever a digest covers must hold a salt or a key, for the digest of a value that can be guessed is that value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from expunge.core.errors import LedgerError, UnknownName

VERSION = "1"
NO_LEAF = "sha256:" + "0" * 64
"""What the first leaf has before it."""
LARGEST_COUNT = 10**9 - 1
"""Nine digits: too short for the number of a telephone with its area, a card or an account."""


class Kind(StrEnum):
    """What happened."""

    KEY = "KEY"
    PLAN = "PLAN"
    CERTIFICATE = "CERTIFICATE"
    ADOPT = "ADOPT"
    TRAIN = "TRAIN"
    TRAINED = "TRAINED"
    PURGE_INTENT = "PURGE_INTENT"
    PURGE_DONE = "PURGE_DONE"
    PROBE = "PROBE"


class State(StrEnum):
    """What it came to."""

    NONE = "NONE"
    CREATED = "CREATED"
    ROTATED = "ROTATED"
    TRUSTED = "TRUSTED"
    UNTRUSTED = "UNTRUSTED"
    EXACT = "EXACT"
    CERTIFIED = "CERTIFIED"
    PURGED = "PURGED"
    EMPIRICAL = "EMPIRICAL"
    SUPPRESSED = "SUPPRESSED"
    UNPROVEN = "UNPROVEN"
    CLEAN = "CLEAN"
    RESIDUE = "RESIDUE"
    BLIND = "BLIND"


_SCAN = frozenset({State.NONE, State.CLEAN, State.RESIDUE, State.BLIND})
STATES: Mapping[Kind, frozenset[State]] = {
    Kind.KEY: frozenset({State.CREATED, State.ROTATED, State.TRUSTED, State.UNTRUSTED}),
    Kind.PLAN: frozenset({State.NONE}),
    Kind.CERTIFICATE: frozenset(
        {State.EXACT, State.CERTIFIED, State.PURGED, State.EMPIRICAL, State.SUPPRESSED, State.UNPROVEN}
    ),
    Kind.ADOPT: frozenset({State.NONE}),
    Kind.TRAIN: frozenset({State.NONE}),
    Kind.TRAINED: frozenset({State.NONE}),
    Kind.PURGE_INTENT: frozenset({State.NONE}),
    Kind.PURGE_DONE: _SCAN,
    Kind.PROBE: frozenset({State.NONE}),
}
DIGESTS = frozenset(
    (
        *("after", "before", "certificate", "code", "commitment", "config", "data", "evidence", "key", "manifest"),
        *("method", "plan", "policy", "probe", "receipt", "scope", "selection", "store"),
    )
)
COUNTERS = frozenset(
    (
        *("artefacts", "backups", "files", "hits", "records", "rows", "shards", "stores", "targets", "vectors"),
        "waivers",
    )
)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_COUNT = re.compile(r"0|[1-9][0-9]{0,8}")
_SEQ = re.compile(r"0|[1-9][0-9]{0,17}")
_REQUEST = re.compile(r"(r_[0-9a-f]{12})?")
_ACTOR = re.compile(r"ed25519:[0-9a-f]{64}")
_TIME = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z")
_FIELDS = {"actor", "counters", "digests", "kind", "prev", "request", "seq", "state", "t", "v"}
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_ALONE = {"actor": _ACTOR, "prev": _DIGEST, "request": _REQUEST, "seq": _SEQ, "t": _TIME}


def spell(value: Any) -> bytes:
    """RFC 8785 bytes of nested objects of plain ASCII strings, which is all that a leaf can hold.

    For these, sorted keys without blanks are that form, and the standard library writes it much faster.

    >>> spell({"b": "2", "a": {"c": "3"}})
    b'{"a":{"c":"3"},"b":"2"}'
    """
    return _encode(value).encode("ascii")


def _group(names: frozenset[str], value: str) -> str:
    """The form of an object with some of the names, in order, each once."""
    return r"\{" + "".join(rf'(?:"{name}":"{value}"(?:,(?=")|(?=\}})))?' for name in sorted(names)) + r"\}"


# A leaf's fields have a fixed order and closed values, so one expression accepts its bytes without reading them first.
_FORM = re.compile(
    rf'\{{"actor":"({_ACTOR.pattern})","counters":{_group(COUNTERS, f"(?:{_COUNT.pattern})")},'
    rf'"digests":{_group(DIGESTS, _DIGEST.pattern)},"kind":"([A-Z_]+)","prev":"({_DIGEST.pattern})",'
    rf'"request":"{_REQUEST.pattern}","seq":"({_SEQ.pattern})","state":"([A-Z]+)","t":"{_TIME.pattern}","v":"{VERSION}"\}}'.encode()
)
_PAIRS = frozenset((kind.value.encode(), state.value.encode()) for kind, states in STATES.items() for state in states)


@dataclass(frozen=True)
class Outline:
    """What checking a log needs of a leaf.

    Args:
        seq: its place.
        actor: id of the key.
        prev: digest of the leaf before it.
        kind: what happened.
        said: canonical bytes of the fields that say what happened, as ``spell(entry.body)``.
    """

    seq: int
    actor: str
    prev: str
    kind: str
    said: bytes


def outline(body: bytes) -> Outline:
    """Check a leaf's bytes as ``read`` does, faster.

    Raises:
        LedgerError: not canonical, or not of the closed schema; names the field.
    """
    found = _FORM.fullmatch(body)
    if found is None or (found[2], found[6]) not in _PAIRS:
        _check(body)
        raise _malformed("body", "not in its one form")
    parts = body[found.end(1) + 2 : found.end(2) + 1], body[found.end(3) + 1 : found.start(5) - len(',"seq":"')]
    said = b"{" + parts[0] + parts[1] + body[found.end(5) + 1 : found.end(6) + 1] + b"}"
    return Outline(int(found[5]), found[1].decode(), found[3].decode(), found[2].decode(), said)


def _known(kind: str, name: str, names: type[StrEnum]) -> None:
    if name not in names.__members__:
        raise UnknownName(kind, name, names.__members__)


@dataclass(frozen=True)
class Entry:
    """What is to be logged; the log adds place, time and actor.

    Args:
        kind: name of a ``Kind``.
        request: public id of the request, empty for none.
        state: name of a ``State`` that the kind allows.
        digests: by names of ``DIGESTS``.
        counters: by names of ``COUNTERS``, from 0 up to ``LARGEST_COUNT``.

    Raises:
        UnknownName: a kind, state or name that the schema lacks.
        LedgerError: a value that it does not allow.
    """

    kind: str
    request: str = ""
    state: str = "NONE"
    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    counters: Mapping[str, int] = field(default_factory=dict[str, int])
    body: Mapping[str, Any] = field(init=False, repr=False, compare=False)
    """The fields of the leaf that say what happened."""

    def __post_init__(self) -> None:
        _known("kind of leaf", self.kind, Kind)
        _known("state of a leaf", self.state, State)
        for what, given, names in (("digest", self.digests, DIGESTS), ("counter", self.counters, COUNTERS)):
            for name in given:
                if name not in names:
                    raise UnknownName(f"{what} of a leaf", name, names)
        for name, count in self.counters.items():
            if type(count) is not int or not 0 <= count <= LARGEST_COUNT:
                raise _malformed(f"counter {name!r}", f"not an integer from 0 to {LARGEST_COUNT}")
        body = {
            "kind": self.kind,
            "request": self.request,
            "state": self.state,
            "digests": dict(self.digests),
            "counters": {name: str(count) for name, count in self.counters.items()},
        }
        if problem := _problem_of_entry(body):
            raise _malformed(*problem)
        object.__setattr__(self, "body", body)


@dataclass(frozen=True)
class Leaf:
    """A leaf as it stands in the log.

    Args:
        seq: its place, from 0.
        time: UTC, to the second.
        actor: id of the key that the log is signed with.
        prev: digest of the leaf before it.
        entry: what happened.
    """

    seq: int
    time: str
    actor: str
    prev: str
    entry: Entry

    def fields(self) -> dict[str, Any]:
        """The leaf as the JSON object that is hashed."""
        place = {"v": VERSION, "seq": str(self.seq), "t": self.time, "actor": self.actor, "prev": self.prev}
        return {**place, **self.entry.body}

    def body(self) -> bytes:
        """The canonical bytes.

        Raises:
            LedgerError: the schema does not allow it.
        """
        body = spell(self.fields())
        outline(body)
        return body


def _check(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body.decode("ascii"))
        canonical = spell(value)
    except (ValueError, RecursionError) as error:
        raise _malformed("body", "not JSON, or not ASCII") from error
    if not isinstance(value, dict):
        raise _malformed("body", "not an object")
    if canonical != body:
        raise _malformed("body", "not in its RFC 8785 form")
    fields = cast("dict[str, Any]", value)
    if problem := _problem(fields):
        raise _malformed(*problem)
    return fields


def read(body: bytes) -> Leaf:
    """A leaf from its bytes.

    Raises:
        LedgerError: not canonical, or not of the closed schema; names the field.
    """
    fields = _check(body)
    counters = {name: int(count) for name, count in fields["counters"].items()}
    entry = Entry(fields["kind"], fields["request"], fields["state"], fields["digests"], counters)
    return Leaf(int(fields["seq"]), fields["t"], fields["actor"], fields["prev"], entry)


def _malformed(part: str, why: str) -> LedgerError:
    return LedgerError(f"malformed leaf: {part}", why=why)


def _problem(fields: dict[str, Any]) -> tuple[str, str] | None:
    """The first (part, why) that the schema does not allow."""
    if fields.keys() != _FIELDS:
        return "fields", "not exactly those of the schema"
    if fields["v"] != VERSION:
        return "v", f"not {VERSION!r}"
    for name, form in _ALONE.items():
        value = fields[name]
        if type(value) is not str or form.fullmatch(value) is None:
            return name, "not of its form"
    return _problem_of_entry(fields)


def _problem_of_entry(fields: dict[str, Any]) -> tuple[str, str] | None:
    kind, state = fields["kind"], fields["state"]
    if not isinstance(kind, str) or kind not in Kind.__members__:
        return "kind", "unknown"
    if not isinstance(state, str) or state not in STATES[Kind(kind)]:
        return "state", f"none of {', '.join(sorted(STATES[Kind(kind)]))}, which {kind} can have"
    if type(fields["request"]) is not str or _REQUEST.fullmatch(fields["request"]) is None:
        return "request", "not r_ and 12 hex digits"
    for part, names, form in (("digests", DIGESTS, _DIGEST), ("counters", COUNTERS, _COUNT)):
        group = fields[part]
        if type(group) is not dict:
            return part, "not an object"
        for name, value in cast("dict[str, Any]", group).items():
            if name not in names:
                return part, "a name that the schema lacks"
            if type(value) is not str or form.fullmatch(value) is None:
                return f"{part} {name}", "not of its form"
    return None
