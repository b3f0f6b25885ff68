"""The envelope: DSSE's bytes, and one spelling only."""

import base64
import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import LedgerError
from expunge.ledger.envelope import PAYLOAD_TYPE, open_envelope, pae, parse_canonical, sign
from expunge.ledger.keys import decode64
from expunge.testing.keys import DemoSigner

PAYLOAD = b'{"a":"1"}'


def fields() -> dict:
    return json.loads(sign(PAYLOAD, DemoSigner()))


def respell(text: str) -> str:
    """The same bytes in a base64 that a lax decoder takes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    body = text.rstrip("=")
    assert body != text, "needs padding to have bits to spare"
    other = body[:-1] + alphabet[alphabet.index(body[-1]) + 1] + text[len(body) :]
    assert base64.b64decode(other) == base64.b64decode(text)
    return other


def test_pae_is_the_specification_s():
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("ä", b"\x00 ") == b"DSSEv1 2 \xc3\xa4 2 \x00 "


@given(st.text(max_size=9), st.binary(max_size=9), st.text(max_size=9), st.binary(max_size=9))
def test_pae_of_different_contents_differs(kind, body, other_kind, other_body):
    assert (pae(kind, body) == pae(other_kind, other_body)) == ((kind, body) == (other_kind, other_body))


def test_an_envelope_opens_to_what_was_signed():
    signer = DemoSigner()
    opened = open_envelope(sign(PAYLOAD, signer))
    assert (opened.payload, opened.keyid) == (PAYLOAD, signer.keyid)
    assert opened.signed == b"DSSEv1 28 application/vnd.in-toto+json 9 " + PAYLOAD
    assert signer.public.verifies(opened.signature, opened.signed)
    assert list(fields()) == ["payload", "payloadType", "signatures"]


def test_a_signer_that_signs_with_another_key_is_caught():
    class Confused(DemoSigner):
        def sign(self, data: bytes) -> bytes:
            return super().sign(data + b"x")

    with pytest.raises(LedgerError, match="does not match"):
        sign(PAYLOAD, Confused())


def change(path: tuple, value) -> bytes:
    whole = fields()
    inner = whole
    for step in path[:-1]:
        inner = inner[step]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return rfc8785.dumps(whole)


ONE = ("signatures", 0)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (change(("payload",), None), "envelope.*'payload' is missing"),
        (change(("extra",), "x"), "envelope.*unknown field 'extra'"),
        (change(("payloadType",), "text/plain"), "envelope payloadType"),
        (change(("payload",), 3), "envelope payload"),
        (change(("payload",), "a_-="), "envelope payload.*base64"),
        (change(("payload",), base64.b64encode(PAYLOAD + b"x").decode()[:-1]), "envelope payload.*base64"),
        (change(("signatures",), []), "envelope signatures"),
        (change(("signatures",), fields()["signatures"] * 2), "exactly one"),
        (change(("signatures",), {}), "envelope signatures"),
        (change((*ONE,), "x"), r"signatures\[0\]"),
        (change((*ONE, "keyid"), None), "'keyid' is missing"),
        (change((*ONE, "keyid"), "ed25519:AB"), "envelope keyid"),
        (change((*ONE, "keyid"), "../../etc"), "envelope keyid"),
        (change((*ONE, "keyid"), DemoSigner().keyid + "\n"), "envelope keyid"),
        (change((*ONE, "sig"), base64.b64encode(b"short").decode()), "envelope sig.*5 bytes"),
        (change((*ONE, "sig"), respell(fields()["signatures"][0]["sig"])), "envelope sig.*canonical"),
        (b"[]", "envelope.*not an object"),
        (b"", "envelope.*empty"),
        (b"\xff{}", "envelope.*UTF-8"),
        (b"\xef\xbb\xbf{}", "envelope.*not JSON"),
        ("{}".encode("utf-16"), "envelope.*UTF-8"),
        (b"[" * 100_000, "envelope"),
    ],
)
def test_every_malformed_part_is_named(data, part):
    with pytest.raises(LedgerError, match=part):
        open_envelope(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1} ',
        b'{"a":1}\n',
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"\\u0061":1}',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b'{"a":12345678901234567890}',
    ],
)
def test_one_spelling_only(data):
    assert parse_canonical(b'{"a":1}', "it") == {"a": 1}
    with pytest.raises(LedgerError, match=r"malformed certificate: it.*not canonical"):
        parse_canonical(data, "it")


@given(st.binary(max_size=40))
def test_base64_has_one_spelling(data):
    text = base64.b64encode(data).decode()
    assert decode64(text) == data
    others = [text + "\n", " " + text, text + "=", text.rstrip("=") if text.endswith("=") else text + "A"]
    if text.endswith("="):
        others.append(respell(text))
    for other in others:
        with pytest.raises(ValueError):
            decode64(other)


def test_the_payload_type_is_in_toto_s():
    assert PAYLOAD_TYPE == "application/vnd.in-toto+json"
