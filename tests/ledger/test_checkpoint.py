"""Signed notes: the known vector, their form, and cosignatures of witnesses."""

from __future__ import annotations

import base64
import hashlib

import pytest

from expunge.core.errors import LedgerError
from expunge.ledger.checkpoint import cosign, parse, parse_note, sign
from expunge.ledger.keys import PublicKey, decode64, new_key

# The example of golang.org/x/mod/sumdb/note, which C2SP signed-note describes.
NEUMANN = PublicKey(decode64("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:])
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\N{EM DASH} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6Ryy"
    "BwJnAM=\n"
)
ROOT = hashlib.sha256(b"root").digest()


@pytest.fixture
def signer(tmp_path):
    return new_key(tmp_path / "home", "log.key")


def test_the_known_note_is_read_written_and_verified():
    note = parse_note(NOTE)
    assert note.signed_by("PeterNeumann", NEUMANN)
    assert str(note) == NOTE
    assert not note.signed_by("AnotherName", NEUMANN)
    assert not parse_note(NOTE.replace("answer", "anvwer")).signed_by("PeterNeumann", NEUMANN)


def test_a_checkpoint_is_three_lines_and_a_signature(signer):
    made = sign("expunge/test", 184, ROOT, signer)
    origin, size, root, empty, line, end = str(made.note).split("\n")
    assert (origin, size, empty, end) == ("expunge/test", "184", "", "")
    assert base64.b64decode(root) == ROOT
    dash, name, data = line.split(" ")
    assert (dash, name) == ("\N{EM DASH}", "expunge/test")
    raw = base64.b64decode(data)
    assert raw[:4] == hashlib.sha256(b"expunge/test\n\x01" + signer.public.raw).digest()[:4]
    assert signer.public.verifies(raw[4:], f"expunge/test\n184\n{root}\n".encode())
    assert parse(str(made.note)) == made
    assert made.signed_by(signer.public)


def test_another_key_has_not_signed(signer, tmp_path):
    other = new_key(tmp_path / "home", "other.key").public
    assert not sign("expunge/test", 1, ROOT, signer).signed_by(other)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda t: t.replace("\n7\n", "\n07\n"), "size"),
        (lambda t: t.replace("\n7\n", "\n-7\n"), "size"),
        (lambda t: t.replace("\n7\n", "\n\n"), "note"),
        (lambda t: t.replace("=\n\n", "\n\n"), "root"),
        (lambda t: t.replace("\N{EM DASH} ", "- "), "signature line"),
        (lambda t: t.replace("expunge/test ", "expunge+test "), "signature line"),
        (lambda t: t[:-1], "note"),
        (lambda t: t.replace("\n\n", "\n"), "note"),
        (lambda t: t.replace("expunge/test\n7", "expunge\x1b/test\n7"), "note"),
    ],
)
def test_what_is_malformed_is_named(signer, change, part):
    text = str(sign("expunge/test", 7, ROOT, signer).note)
    assert change(text) != text
    with pytest.raises(LedgerError, match=f"malformed checkpoint: {part}"):
        parse(change(text))


def test_an_extension_line_is_kept_and_signed_over(signer):
    text = str(sign("expunge/test", 7, ROOT, signer).note)
    extended = parse(text.replace("\n\n", "\nextension\n\n"))
    assert (extended.size, extended.root) == (7, ROOT)
    assert not extended.signed_by(signer.public)


def test_witnesses_are_counted_by_trusted_keys_of_their_own(signer, tmp_path):
    one, two, stranger = (new_key(tmp_path / "home", f"{name}.key") for name in ("one", "two", "stranger"))
    made = sign("expunge/test", 7, ROOT, signer)
    trusted, own = [signer.public, one.public, two.public], [signer.public]
    assert made.witnesses(trusted, own) == 0
    for witness, expected in ((one, 1), (one, 1), (signer, 1), (stranger, 1), (two, 2)):
        made = cosign(made, "witness.example/w", 1_790_000_000, witness)
        assert parse(str(made.note)).witnesses(trusted, own) == expected
    assert made.signed_by(signer.public)


def test_a_cosignature_of_another_checkpoint_does_not_count(signer, tmp_path):
    witness = new_key(tmp_path / "home", "witness.key")
    made = cosign(sign("expunge/test", 7, ROOT, signer), "w", 1_790_000_000, witness)
    moved = str(made.note).replace("\n7\n", "\n8\n")
    assert made.witnesses([witness.public], []) == 1
    assert parse(moved).witnesses([witness.public], []) == 0
