"""Requests and scopes: who asks that what be forgotten, and what the model should do instead."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Literal

from expunge.core.canonical import canonical_bytes, plain
from expunge.core.errors import RequestError
from expunge.core.record import record

Wish = Literal["as_retrained", "refuse", "neutral", "alternative"]


@dataclass(frozen=True, init=False)
class Records:
    """Forget the records with these ids.

    >>> Records("r17", "r42")
    Records(ids=('r17', 'r42'))
    """

    ids: tuple[str, ...]

    def __init__(self, *ids: str) -> None:
        if not ids or not all(i and type(i) is str for i in ids):
            raise RequestError("Records needs record ids", why=f"got {ids!r:.80}", next="Give each id as a string")
        object.__setattr__(self, "ids", ids)


@record
class Subject:
    """Forget everything about someone known by these names."""

    aliases: tuple[str, ...]


@record
class Concept:
    """Forget an idea that these prompts ask about."""

    prompts: tuple[str, ...]


@record
class Behaviour:
    """Forget how to do what these examples show."""

    examples: tuple[str, ...]


Scope = Records | Subject | Concept | Behaviour


def _salt() -> str:
    return secrets.token_hex(16)


@record
class Request:
    """A request to forget. Immutable; what is published of it is a salted commitment, never the scope itself.

    Args:
        subject: who asks, as the operator knows them.
        scope: what is to be forgotten.
        basis: the ground that is claimed, for example ``"GDPR Art. 17"``.
        wish: what the model should do instead.
        due: ISO 8601 date by which it must be done, empty for none.
        salt: hex; keeps the commitment from being guessed. Destroying it makes the commitment meaningless.
    """

    subject: str
    scope: Scope
    basis: str = ""
    wish: Wish = "as_retrained"
    due: str = ""
    salt: str = field(default_factory=_salt)

    @property
    def commitment(self) -> str:
        """SHA-256 over the salt and the canonical subject and scope."""
        body = canonical_bytes({"subject": self.subject, "scope": plain(self.scope)})
        return "sha256:" + hashlib.sha256(bytes.fromhex(self.salt) + body).hexdigest()

    @property
    def id(self) -> str:
        """Short public name of the request."""
        return "r_" + self.commitment.removeprefix("sha256:")[:12]
