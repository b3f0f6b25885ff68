"""Checkpoints: origin, size and root as a signed note. Source: C2SP signed-note, tlog-checkpoint, tlog-cosignature."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from expunge.core.certificate import printable
from expunge.core.errors import LedgerError
from expunge.ledger.keys import PublicKey, Signer, decode64

ED25519, COSIGNATURE = 1, 4
"""Types of signature in the id of a key."""
ROOT_BYTES, ID_BYTES, TIME_BYTES, SIGNATURE_BYTES = 32, 4, 8, 64
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


def key_id(name: str, kind: int, raw: bytes) -> bytes:
    """(4) bytes that name a key in a signature line: of SHA-256 over name, line feed, type and public key.

    >>> key_id("PeterNeumann", ED25519, decode64("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]).hex()
    'c74f20a3'
    """
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + raw).digest()[:ID_BYTES]


@dataclass(frozen=True)
class Line:
    """One signature line.

    Args:
        name: of the key.
        id: (4) bytes.
        signature: what follows them.
    """

    name: str
    id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"\N{EM DASH} {self.name} {base64.b64encode(self.id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text that ends in a line feed, with signature lines.

    Args:
        text: what is signed.
        lines: at least one.
    """

    text: str
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(str(line) for line in self.lines)

    def signed_by(self, name: str, key: PublicKey) -> bool:
        """Whether a line under that name is this key's signature over the text."""
        wanted = key_id(name, ED25519, key.raw)
        return any(
            line.name == name and line.id == wanted and key.verifies(line.signature, self.text.encode())
            for line in self.lines
        )

    def cosigned_by(self, key: PublicKey) -> bool:
        """Whether a line is this key's timestamped cosignature, under whatever name it gives."""
        for line in self.lines:
            if line.id != key_id(line.name, COSIGNATURE, key.raw):
                continue
            time, signature = line.signature[:TIME_BYTES], line.signature[TIME_BYTES:]
            if key.verifies(signature, _cosigned(self.text, int.from_bytes(time, "big"))):
                return True
        return False


def _cosigned(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def _line(text: str) -> Line:
    dash, _, rest = text.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "\N{EM DASH}" or not name or "+" in name or not name.isprintable():
        raise _malformed("signature line", "not a dash, a name and base64")
    try:
        data = decode64(encoded)
    except ValueError as error:
        raise _malformed("signature line", f"{error}") from error
    if len(data) <= ID_BYTES:
        raise _malformed("signature line", "too short")
    return Line(name, data[:ID_BYTES], data[ID_BYTES:])


def _malformed(part: str, why: str) -> LedgerError:
    return LedgerError(f"malformed checkpoint: {part}", why=printable(why))


def parse_note(data: str) -> Note:
    """Read a signed note. Checks its form, not its signatures.

    Raises:
        LedgerError: names the part that is malformed.
    """
    text, gap, signatures = data.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise _malformed("note", "no text, empty line and signature lines, each ended by a line feed")
    if any(ord(c) < 0x20 and c != "\n" for c in data):
        raise _malformed("note", "a control character")
    return Note(text + "\n", tuple(_line(line) for line in signatures[:-1].split("\n")))


@dataclass(frozen=True)
class Checkpoint:
    """What a log commits to.

    Args:
        origin: name of the log.
        size: leaves.
        root: (32) bytes.
        note: as signed.
    """

    origin: str
    size: int
    root: bytes
    note: Note

    def signed_by(self, key: PublicKey) -> bool:
        """Whether the log's key signed it."""
        return self.note.signed_by(self.origin, key)

    def witnesses(self, trusted: Iterable[PublicKey], own: Iterable[PublicKey]) -> int:
        """How many parties with trusted keys of their own have cosigned."""
        ours = {key.raw for key in own}
        return len({key.raw for key in trusted if key.raw not in ours and self.note.cosigned_by(key)})


def parse(data: str) -> Checkpoint:
    """Read a checkpoint. Checks its form, not its signatures; lines after the third are extensions and are kept.

    Raises:
        LedgerError: names the part that is malformed.
    """
    note = parse_note(data)
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise _malformed("note", "fewer than three lines, or an empty one")
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size):
        raise _malformed("size", f"{size!r:.40} is not a decimal number")
    try:
        decoded = decode64(root)
    except ValueError as error:
        raise _malformed("root", f"{error}") from error
    if len(decoded) != ROOT_BYTES:
        raise _malformed("root", f"{len(decoded)} bytes instead of {ROOT_BYTES}")
    return Checkpoint(origin, int(size), decoded, note)


def sign(origin: str, size: int, root: bytes, signer: Signer) -> Checkpoint:
    """A new checkpoint under the log's key.

    Raises:
        LedgerError: the signature that came back is not by the signer's key.
    """
    text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
    line = Line(origin, key_id(origin, ED25519, signer.public.raw), signer.sign(text.encode()))
    made = Checkpoint(origin, size, root, Note(text, (line,)))
    if not made.signed_by(signer.public):
        raise LedgerError(f"the signer {signer.keyid} returned a signature that its key does not match")
    return made


def cosign(checkpoint: Checkpoint, name: str, time: int, witness: Signer) -> Checkpoint:
    """The checkpoint with a witness's cosignature added.

    Args:
        checkpoint: that the witness saw, and found consistent with what it saw before.
        name: of the witness.
        time: () seconds since 1970 at which it saw it.
        witness: whose key is not the log's.
    """
    signature = time.to_bytes(TIME_BYTES, "big") + witness.sign(_cosigned(checkpoint.note.text, time))
    line = Line(name, key_id(name, COSIGNATURE, witness.public.raw), signature)
    note = Note(checkpoint.note.text, (*checkpoint.note.lines, line))
    return Checkpoint(checkpoint.origin, checkpoint.size, checkpoint.root, note)
