"""What others kept of a log, to compare it with: a checkpoint, a receipt, a certificate with its receipt, an export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from expunge.core.errors import LedgerError
from expunge.ledger import checkpoint as notes
from expunge.ledger import envelope, statement
from expunge.ledger.certify import SUFFIX, read_small
from expunge.ledger.checkpoint import Checkpoint
from expunge.ledger.export import LAST
from expunge.ledger.receipt import ASTRAY, LogReceipt, contradictions, read_receipt, receipt_path


@dataclass(frozen=True)
class Kept:
    """Something kept.

    Args:
        checkpoint: of it.
        problems: where it does not hold in itself, whatever the log says.
    """

    checkpoint: Checkpoint
    problems: tuple[str, ...] = ()


def read_kept(source: Path) -> Kept:
    """Read a checkpoint, a receipt, a certificate that has a receipt beside it, or the folder of an export.

    Raises:
        LedgerError: it is none of these.
    """
    data = read_small(source / LAST if source.is_dir() else source)
    if source.name.endswith(SUFFIX):
        found = read_receipt(read_small(receipt_path(source), "receipt"))
        said = statement.read(envelope.open_envelope(data).payload)
        wrong = (*_problems(found), *contradictions(found, said.certificate, data))
        return Kept(found.checkpoint, tuple(f"{source}, {problem}" for problem in wrong))
    if data[:1] == b"{":
        found = read_receipt(data)
        return Kept(found.checkpoint, tuple(f"{source}, {problem}" for problem in _problems(found)))
    try:
        return Kept(notes.parse(data.decode()))
    except UnicodeDecodeError as error:
        raise LedgerError(f"{source} is neither a checkpoint nor a receipt") from error


def _problems(found: LogReceipt) -> Iterator[str]:
    if not found.leads_to_root:
        yield f"leaf {found.said.seq} or its path was changed: {ASTRAY}"
