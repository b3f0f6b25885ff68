"""Writing a signed certificate beside what it digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from expunge.core.canonical import digest_file
from expunge.core.certificate import Certificate
from expunge.core.errors import LedgerError
from expunge.core.files import write_bytes
from expunge.ledger import envelope, statement
from expunge.ledger.keys import Signer

FOLDER = "certificates"
SUFFIX = ".certificate.json"
LARGEST = 1 << 26
"""Bytes beyond which a file is taken for neither a certificate nor a receipt."""


def certificate_path(root: Path, method: str) -> Path:
    """Where a run keeps the certificate of a method.

    >>> certificate_path(Path("runs/demo"), "grad_diff").as_posix()
    'runs/demo/certificates/grad_diff.certificate.json'
    """
    return root / FOLDER / f"{method}{SUFFIX}"


def read_small(path: Path, what: str = "file") -> bytes:
    """The bytes of a certificate, receipt or checkpoint.

    Raises:
        LedgerError: it cannot be read, or is too large to be one.
    """
    try:
        if path.is_dir():
            raise LedgerError(f"{path} is a folder", next=f"Give the path of one {what}")
        if path.exists() and not path.is_file():
            raise LedgerError(f"{path} is not an ordinary file")
        if path.stat().st_size > LARGEST:
            raise LedgerError(f"{path} is too large for a {what}", why=f"it exceeds {LARGEST} bytes")
        return path.read_bytes()
    except OSError as error:
        raise LedgerError(f"cannot read the {what} {path}", why=error.strerror or str(error)) from error


def _place(path: Path) -> Path:
    """Where a name is, without following it if it is a link itself."""
    return path.parent.resolve() / path.name


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*"))
    for path in found:
        # Silently leaving out what cannot be walked would let it change unseen.
        if not path.is_file() and (path.is_symlink() or not path.is_dir()):
            raise LedgerError(f"cannot digest {path}", why="it is neither a file nor a plain folder")
    return [path for path in found if path.is_file()]


def _below(label: str, path: Path, root: Path) -> Iterator[tuple[str, Path]]:
    if not path.exists():
        raise LedgerError(f"the artefact {label!r} is missing", why=f"there is no {path}")
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise LedgerError(f"the artefact {label!r} is an empty folder", why=f"{path} holds no file")
    for file in files:
        if not _place(file).is_relative_to(root.resolve()):
            raise LedgerError(f"the artefact {label!r} is outside of the run", why=f"{file} is not below {root}")
        yield _place(file).relative_to(root.resolve()).as_posix(), file


def digests(artefacts: Mapping[str, Path], root: Path, *, leaving_out: Path | None = None) -> dict[str, str]:
    """Digest of every file of the artefacts, by its path relative to the run's folder.

    Args:
        artefacts: file or folder by label; a folder stands for all files below it.
        root: folder of the run.
        leaving_out: the certificate itself.

    Raises:
        LedgerError: an artefact is missing, empty or outside of the run.
        StoreError: a file cannot be read.
    """
    found = dict(pair for label, path in artefacts.items() for pair in _below(label, path, root))
    skipped = _place(leaving_out) if leaving_out else None
    return {name: digest_file(path) for name, path in sorted(found.items()) if _place(path) != skipped}


def write_certificate(
    certificate: Certificate, artefacts: Mapping[str, Path], root: Path, path: Path, signer: Signer
) -> Path:
    """Sign a certificate and write it, whole or not at all. A certificate is never overwritten.

    Args:
        certificate: what to state.
        artefacts: file or folder below ``root`` by label; all their files are digested.
        root: folder of the run; the paths in the certificate are relative to it.
        path: of the certificate, as a rule ``certificate_path(root, method)``.
        signer: of the statement.

    Returns:
        ``path``. Writing the same certificate again changes nothing.

    Raises:
        LedgerError: an artefact is missing or outside of ``root``, or ``path`` holds another certificate.
        StoreError: a file cannot be read.
    """
    payload = statement.build(certificate, digests(artefacts, root, leaving_out=path), signer.public)
    read = statement.read(payload)
    if statement.build(read.certificate, read.files, read.signer) != payload or read.problems:
        raise LedgerError("the certificate does not read back as it was written", why="; ".join(read.problems))
    data = envelope.sign(payload, signer)
    if path.exists():
        if path.is_file() and path.read_bytes() == data:
            return path
        raise LedgerError(
            f"{path} exists and is another certificate",
            why="a certificate is never overwritten",
            next="Move it away, or write this one under another name",
        )
    write_bytes(path, data)
    return path
