"""Receipts: a leaf, its inclusion proof and a checkpoint, which together verify without the log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from expunge.core.canonical import canonical_bytes, digest_bytes
from expunge.core.certificate import Certificate, printable
from expunge.core.errors import LedgerError
from expunge.ledger import checkpoint as notes
from expunge.ledger import leaf as leaves
from expunge.ledger import tree
from expunge.ledger.certify import SUFFIX
from expunge.ledger.checkpoint import Checkpoint
from expunge.ledger.envelope import fields_of, parse_canonical
from expunge.ledger.keys import PublicKey
from expunge.ledger.leaf import Entry, Kind, Leaf
from expunge.ledger.log import Log

TYPE = "urn:expunge:log-receipt:v1"
RECEIPT_SUFFIX = ".receipt.json"
_HASH = re.compile(r"[0-9a-f]{64}")
LONGEST_PATH = 64
ASTRAY = "they do not lead to the checkpoint's root"


def receipt_path(certificate: Path) -> Path:
    """Where the receipt of a certificate lies.

    >>> receipt_path(Path("certificates/npo.certificate.json")).as_posix()
    'certificates/npo.receipt.json'
    """
    return certificate.with_name(certificate.name.removesuffix(SUFFIX).removesuffix(".json") + RECEIPT_SUFFIX)


@dataclass(frozen=True)
class LogReceipt:
    """What proves that a leaf is in a log.

    Args:
        leaf: its bytes.
        path: the inclusion proof, hashes from the leaf up.
        checkpoint: of the log.
    """

    leaf: bytes
    path: tuple[bytes, ...]
    checkpoint: Checkpoint

    @property
    def said(self) -> Leaf:
        """The leaf, read."""
        return leaves.read(self.leaf)

    def body(self) -> bytes:
        """The canonical bytes of the file."""
        return canonical_bytes(
            {
                "checkpoint": str(self.checkpoint.note),
                "leaf": self.leaf.decode(),
                "path": [step.hex() for step in self.path],
                "type": TYPE,
            }
        )

    def problem(self, keys: Sequence[PublicKey]) -> str:
        """Why the leaf is not shown to be in a log that one of the keys signs; empty if it is."""
        if not self.leads_to_root:
            return f"leaf {self.said.seq} or its path was changed: {ASTRAY}"
        if not any(self.checkpoint.signed_by(key) for key in keys):
            return "its checkpoint was changed, or is signed by a key that is not trusted here"
        return ""

    @property
    def leads_to_root(self) -> bool:
        """Whether leaf and path give the checkpoint's root."""
        under = self.checkpoint
        return tree.includes(tree.leaf_hash(self.leaf), self.said.seq, under.size, self.path, under.root)


def receipt_of(log: Log, seq: int) -> LogReceipt:
    """The receipt of a leaf, the same whenever it is asked for: under the first checkpoint that holds the leaf.

    Raises:
        LedgerError: there is no such leaf or no such checkpoint.
    """
    under = log.checkpoint(above=seq)
    return LogReceipt(log.body(seq), tuple(log.inclusion(seq, under.size)), under)


def read_receipt(data: bytes) -> LogReceipt:
    """Read a receipt. Checks its form and its leaf's, proves nothing.

    Raises:
        LedgerError: names the part that is malformed.
    """
    try:
        fields = fields_of(parse_canonical(data, "file"), "file", ("checkpoint", "leaf", "path", "type"))
    except LedgerError as error:
        raise _malformed("file", error.why or error.what) from error
    if fields["type"] != TYPE:
        raise _malformed("type", f"not {TYPE}")
    if not isinstance(fields["leaf"], str) or not isinstance(fields["checkpoint"], str):
        raise _malformed("leaf or checkpoint", "not text")
    path = fields["path"]
    if not isinstance(path, list) or len(cast("list[Any]", path)) > LONGEST_PATH:
        raise _malformed("path", "not a list of hashes")
    steps = cast("list[Any]", path)
    if not all(isinstance(step, str) and _HASH.fullmatch(step) for step in steps):
        raise _malformed("path", "not a list of hashes")
    leaf = fields["leaf"].encode(errors="replace")
    leaves.read(leaf)
    return LogReceipt(leaf, tuple(bytes.fromhex(step) for step in steps), notes.parse(fields["checkpoint"]))


def _malformed(part: str, why: str) -> LedgerError:
    return LedgerError(f"malformed receipt: {part}", why=printable(why))


def certificate_entry(certificate: Certificate, file: bytes, **digests: str) -> Entry:
    """What the log commits to when a certificate is written.

    Args:
        certificate: as signed.
        file: its bytes.
        digests: more of them, by names of ``leaf.DIGESTS``.

    Raises:
        LedgerError: the schema of leaves does not allow it.
    """
    target = certificate.target
    return Entry(
        Kind.CERTIFICATE,
        certificate.request.id,
        type(certificate.earned).__name__.upper(),
        {
            "after": target.after,
            "before": target.before,
            "certificate": digest_bytes(file),
            "commitment": certificate.request.commitment,
            **digests,
        },
        {"artefacts": len(certificate.artefacts)},
    )


def contradictions(receipt: LogReceipt, certificate: Certificate, file: bytes) -> list[str]:
    """Where a certificate says other than what the log committed to when it was written."""
    logged, stated = receipt.said.entry, certificate_entry(certificate, file)
    if logged.kind != stated.kind:
        return [f"leaf {receipt.said.seq} is a {logged.kind}, not a {stated.kind}"]
    found: list[str] = []
    if logged.state != stated.state:
        found.append(f"guarantee: the log committed to {logged.state}, the certificate says {stated.state}")
    if logged.request != stated.request:
        found.append(f"request: the log committed to {logged.request}, the certificate says {stated.request}")
    names = {"certificate": "certificate file", "commitment": "request", "before": "before", "after": "after"}
    for name, shown in names.items():
        if logged.digests.get(name) != stated.digests[name]:
            found.append(f"{shown}: not the digest that the log committed to")
    return found
