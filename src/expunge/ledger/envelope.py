"""DSSE envelopes (secure-systems-lab/dsse, v1) of which exactly one spelling is accepted.

The file is the RFC 8785 form of ``{"payload", "payloadType", "signatures": [{"keyid", "sig"}]}`` and nothing else, its
base64 is canonical, and it bears one signature.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import Any, cast

import rfc8785

from expunge.core.certificate import printable
from expunge.core.errors import LedgerError
from expunge.ledger.keys import Signer, decode64

PAYLOAD_TYPE = "application/vnd.in-toto+json"
SIGNATURE_BYTES = 64
_KEYID = re.compile(r"ed25519:[0-9a-f]{64}")


@dataclass(frozen=True)
class Envelope:
    """What an envelope holds; nothing in it is to be believed before its signature is checked.

    Args:
        payload: signed bytes.
        keyid: of the key that is said to have signed.
        signature: (64) bytes.
        payload_type: what the payload is; signed along with it.
    """

    payload: bytes
    keyid: str
    signature: bytes
    payload_type: str = PAYLOAD_TYPE

    @property
    def signed(self) -> bytes:
        """The bytes that the signature covers."""
        return pae(self.payload_type, self.payload)


def malformed(part: str, why: str) -> LedgerError:
    """The error for a part of a certificate that is not as it must be."""
    next = "Get the file again from whoever issued it"
    return LedgerError(printable(f"malformed certificate: {part}"), why=printable(why), next=next)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: type and payload, each after its length in bytes.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, signer: Signer, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The envelope file for a payload.

    Args:
        payload: to be signed.
        signer: whose signature it bears.
        payload_type: what the payload is: a signature of one kind is none of another.

    Raises:
        LedgerError: the signature that came back is not by the signer's key.
    """
    signature = signer.sign(pae(payload_type, payload))
    public = signer.public
    if signer.keyid != public.keyid or not public.verifies(signature, pae(payload_type, payload)):
        raise LedgerError(f"the signer {signer.keyid} returned a signature that its key does not match")
    return rfc8785.dumps(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"keyid": public.keyid, "sig": base64.b64encode(signature).decode()}],
        }
    )


def parse_canonical(data: bytes, part: str) -> Any:
    """JSON that is spelled as RFC 8785 spells it.

    Raises:
        LedgerError: names the part and says whether it is not JSON or not canonical.
    """
    if not data:
        raise malformed(part, "it is empty")
    try:
        value = json.loads(data.decode())
    except UnicodeDecodeError as error:
        raise malformed(part, f"not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise malformed(part, f"not JSON, or cut short: {error}") from error
    try:
        canonical = rfc8785.dumps(value)
    except (ValueError, RecursionError) as error:
        raise malformed(part, f"not canonical: {error}") from error
    if canonical != data:
        where = next((i for i, (a, b) in enumerate(zip(canonical, data, strict=False)) if a != b), len(canonical))
        raise malformed(part, f"not canonical: it leaves its RFC 8785 form at byte {where}")
    return value


def fields_of(value: Any, part: str, expected: tuple[str, ...]) -> dict[str, Any]:
    """An object with exactly these fields.

    Raises:
        LedgerError: names the part and the unknown or missing field.
    """
    if not isinstance(value, dict):
        raise malformed(part, "not an object")
    found = cast("dict[str, Any]", value)
    for name in sorted(set(found) - set(expected)):
        raise malformed(part, f"unknown field {name!r:.80}")
    for name in expected:
        if name not in found:
            raise malformed(part, f"field {name!r} is missing")
    return found


def bytes_of(value: Any, part: str) -> bytes:
    """Bytes from canonical base64.

    Raises:
        LedgerError: names the part.
    """
    if not isinstance(value, str):
        raise malformed(part, "not text")
    try:
        return decode64(value)
    except ValueError as error:
        raise malformed(part, f"not canonical base64: {error}") from error


def open_envelope(data: bytes, payload_type: str = PAYLOAD_TYPE) -> Envelope:
    """Read an envelope file. Checks its form, not its signature.

    Args:
        data: bytes of the file.
        payload_type: what the payload must be.

    Raises:
        LedgerError: names the part that is malformed.
    """
    fields = fields_of(parse_canonical(data, "envelope"), "envelope", ("payload", "payloadType", "signatures"))
    if fields["payloadType"] != payload_type:
        raise malformed("envelope payloadType", f"not {payload_type}")
    payload = bytes_of(fields["payload"], "envelope payload")
    signatures = fields["signatures"]
    if not isinstance(signatures, list) or len(cast("list[Any]", signatures)) != 1:
        raise malformed("envelope signatures", "not a list of exactly one")
    one = fields_of(signatures[0], "envelope signatures[0]", ("keyid", "sig"))
    if not isinstance(one["keyid"], str) or not _KEYID.fullmatch(one["keyid"]):
        raise malformed("envelope keyid", "not ed25519: and 64 lower-case hex digits")
    signature = bytes_of(one["sig"], "envelope sig")
    if len(signature) != SIGNATURE_BYTES:
        raise malformed("envelope sig", f"{len(signature)} bytes instead of {SIGNATURE_BYTES}")
    return Envelope(payload, one["keyid"], signature, payload_type)
