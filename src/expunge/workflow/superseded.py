"""A certificate in its place; one that said something else is set aside with its receipt, never overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from expunge.core.canonical import digest_file
from expunge.core.certificate import Certificate
from expunge.core.files import PART, write_bytes
from expunge.ledger.certify import write_certificate
from expunge.ledger.keys import Signer
from expunge.ledger.receipt import receipt_path

FOLDER = "superseded"


def place_certificate(
    certificate: Certificate, artefacts: Mapping[str, Path], out: Path, path: Path, signer: Signer
) -> Path | None:
    """Sign a certificate and put it at ``path``. At any time there is a whole one in that place.

    Args:
        certificate: what to state.
        artefacts: file or folder below ``out`` by label.
        out: folder of the run, held against others.
        path: of the certificate.
        signer: of the statement.

    Returns:
        Where the former one was set aside; None if there was none, or it was the same.

    Raises:
        LedgerError: an artefact is missing or outside of the run.
    """
    if not path.is_file():
        write_certificate(certificate, artefacts, out, path, signer)
        return None
    fresh = path.with_name(f".{path.name}{PART}new")
    fresh.unlink(missing_ok=True)
    write_certificate(certificate, artefacts, out, fresh, signer)
    if fresh.read_bytes() == path.read_bytes():
        fresh.unlink()
        return None
    aside = path.parent / FOLDER / f"{digest_file(path)[7:19]}-{path.name}"
    write_bytes(aside, path.read_bytes())
    if receipt_path(path).is_file():
        receipt_path(path).replace(receipt_path(aside))
    fresh.replace(path)
    return aside
