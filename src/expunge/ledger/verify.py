"""Whether a certificate holds: its form, signature, signer, guarantees and the files that it digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from expunge.core.canonical import digest_file
from expunge.core.certificate import Certificate, printable
from expunge.core.earning import phrase
from expunge.core.errors import LedgerError, StoreError
from expunge.ledger import envelope, statement
from expunge.ledger.home import home_path
from expunge.ledger.keys import PublicKey, load_public
from expunge.ledger.trust import SHIPPED_KEYIDS, UNKNOWN, find_trusted, refuse_shipped

DEMO = "the demo key that everybody has"
LARGEST = 1 << 26
"""Bytes beyond which a file is not taken for a certificate."""


@dataclass(frozen=True)
class Verification:
    """What verifying found.

    Args:
        path: of the certificate.
        signature_valid: whether the signature is by the key that the certificate names.
        signer: the trusted name of that key, or ``UNKNOWN``.
        keyid: of that key.
        root: folder against which files were checked.
        checked: files that match.
        changed: files that are there and do not.
        missing: files that should be there and are not.
        unchecked: files that were not looked for, because the certificate stands alone.
        problems: what is wrong inside the certificate.
        certificate: as read; None where the signature is invalid.
    """

    path: Path
    signature_valid: bool
    signer: str
    keyid: str
    root: Path | None = None
    checked: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=())
    certificate: Certificate | None = None

    @property
    def ok(self) -> bool:
        """Whether signature, signer, content and every file hold."""
        return self.signature_valid and self.signer != UNKNOWN and not (self.changed or self.missing or self.problems)

    @property
    def exit_code(self) -> int:
        """0 if all holds, else 1."""
        return 0 if self.ok else 1

    def lines(self) -> list[str]:
        """What to print, most important first; every part that does not hold is named."""
        if not self.signature_valid:
            return [f"signature INVALID, said to be by {self.keyid}", *self.problems, "NOT verified"]
        lines = [f"signature valid, signer {self.signer}"]
        lines.append(f"key {self.keyid}" + ("" if self.signer != UNKNOWN else ", which is not trusted here"))
        if self.signer == UNKNOWN:
            lines.append("to accept it, get the signer's public key from the signer and give it with --key")
        for artefact in self.certificate.artefacts if self.certificate else ():
            lines.append(printable(f"{artefact.name}: {phrase(artefact.earned)}"))
        lines += [f"changed: {name}" for name in self.changed]
        lines += [f"missing: {name}" for name in self.missing]
        lines += [printable(problem) for problem in self.problems]
        if self.unchecked:
            lines.append(f"artefacts not beside the certificate: {len(self.unchecked)} not checked")
        elif self.root is not None:
            total = len(self.checked) + len(self.changed) + len(self.missing)
            lines.append(f"{len(self.checked)} of {total} files below {self.root} match")
        found = "the signature is verified, the files are not" if self.unchecked else "verified"
        return [*lines, found if self.ok else "NOT verified"]


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise LedgerError(f"{path} is a folder", next="Give the path of one certificate file")
        if path.exists() and not path.is_file():
            raise LedgerError(f"{path} is not an ordinary file")
        if path.stat().st_size > LARGEST:
            raise LedgerError(f"{path} is too large for a certificate", why=f"it exceeds {LARGEST} bytes")
        return path.read_bytes()
    except OSError as error:
        raise LedgerError(f"cannot read the certificate {path}", why=error.strerror or str(error)) from error


def _trusted(keyid: str, key: PublicKey | None, home: Path, allow_demo: bool) -> tuple[PublicKey | None, str]:
    """The key to check with, if we hold it, and the signer's name."""
    refuse_shipped(keyid, allow_demo=allow_demo)
    if key is not None:
        if key.keyid != keyid:
            raise LedgerError(
                "wrong key: the certificate's keyid is not that of the given key",
                why=f"it names {keyid}, the given key is {key.keyid}",
                next="Give the public key of whoever signed it",
            )
        return key, key.name or "of the given key"
    if found := find_trusted(home, keyid):
        return found, found.name
    return None, DEMO if keyid in SHIPPED_KEYIDS else UNKNOWN


def _diagnose(payload: bytes) -> str:
    """Why a signature may be invalid: a payload that cannot be read was changed itself."""
    try:
        statement.read(payload)
    except LedgerError as error:
        return f"payload or signature changed; {error}"
    return "payload or signature changed: they do not belong together"


def _find_root(path: Path, files: Mapping[str, str]) -> Path | None:
    """The folder, of the certificate's own and the two above it, in which most files are; None if none is there."""
    here = path.parent.resolve()
    places = (here.parent, here, here.parent.parent)
    counts = [sum((place / name).exists() for name in files) for place in places]
    return places[counts.index(max(counts))] if max(counts) else None


def _check(root: Path, files: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    checked: list[str] = []
    changed: list[str] = []
    missing: list[str] = []
    for name, expected in files.items():
        if not (root / name).exists():
            missing.append(name)
            continue
        try:
            same = digest_file(root / name) == expected
        except StoreError:
            same = False
        (checked if same else changed).append(name)
    return tuple(checked), tuple(changed), tuple(missing)


def verify(
    path: Path | str,
    *,
    key: PublicKey | Path | str | None = None,
    root: Path | None = None,
    home: Path | None = None,
    allow_demo: bool = False,
) -> Verification:
    """Verify a certificate file.

    Args:
        path: of the certificate.
        key: the only key to accept: a ``PublicKey``, its file or its text. Without it, a key trusted in ``home``.
        root: folder to which the paths in the certificate are relative. Without it, the certificate's parent or
            grandparent, whichever holds the files; if neither does, the signature is judged alone.
        home: where trusted keys are; ``EXPUNGE_HOME`` by default. It is only read.
        allow_demo: accept keys that ship with the library.

    Returns:
        What was found; ``ok`` only if all of it holds.

    Raises:
        LedgerError: the file cannot be read or is malformed (names the part), the key is none, not the signer's, or one
            that ships with the library.
    """
    path = Path(path)
    given = key if isinstance(key, PublicKey) or key is None else load_public(key)
    sealed = envelope.open_envelope(_read(path))
    held, name = _trusted(sealed.keyid, given, home_path() if home is None else home, allow_demo)
    if held is not None and not held.verifies(sealed.signature, sealed.signed):
        return Verification(path, False, name, sealed.keyid, problems=(_diagnose(sealed.payload),))
    said = statement.read(sealed.payload)
    if said.signer.keyid != sealed.keyid:
        raise envelope.malformed("envelope keyid", "not the key that the signed statement names as its signer")
    if not said.signer.verifies(sealed.signature, sealed.signed):
        return Verification(path, False, name, sealed.keyid, problems=(_diagnose(sealed.payload),))
    place = root if root is not None else _find_root(path, said.files)
    checked, changed, missing = _check(place, said.files) if place is not None else ((), (), ())
    return Verification(
        path=path,
        signature_valid=True,
        signer=name,
        keyid=sealed.keyid,
        root=place,
        checked=checked,
        changed=changed,
        missing=missing,
        unchecked=() if place is not None else tuple(said.files),
        problems=said.problems,
        certificate=said.certificate,
    )
