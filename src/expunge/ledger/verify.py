"""Whether a certificate holds: its form, signature, signer, guarantees and the files that it digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from expunge.core.canonical import digest_file
from expunge.core.certificate import INDEPENDENT, Certificate, printable
from expunge.core.earning import phrase
from expunge.core.errors import LedgerError, StoreError
from expunge.ledger import envelope, statement
from expunge.ledger.certify import read_small
from expunge.ledger.home import home_path
from expunge.ledger.keys import PublicKey, load_public
from expunge.ledger.receipt import contradictions, read_receipt, receipt_path
from expunge.ledger.trust import SHIPPED_KEYIDS, UNKNOWN, find_trusted, refuse_shipped, trusted_keys

DEMO = "the demo key that everybody has"
RECEIPT = "receipt: "
"""Before each problem of the receipt."""
NO_RECEIPT = "no receipt beside it: whether it is in a log is not known"


@dataclass(frozen=True)
class Logged:
    """Where a receipt shows a certificate to be.

    Args:
        origin: name of the log.
        size: leaves that the log had.
        seq: place of the leaf that commits to the certificate.
        witnesses: parties with trusted keys of their own who cosigned the checkpoint.
    """

    origin: str
    size: int
    seq: int
    witnesses: int

    def __str__(self) -> str:
        found = f"in the log of {self.origin} at size {self.size} as leaf {self.seq}, witnesses {self.witnesses}"
        return found if self.witnesses else f"{found}: whoever holds the log's key could have rewritten it"


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
        receipt: what the receipt beside it shows; None where there is none, or it shows nothing.
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
    receipt: Logged | None = None

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
        notes = self.certificate.notes if self.certificate else ()
        lines += [printable(f"{INDEPENDENT}: {text}") for name, text in notes if name == INDEPENDENT]
        if self.receipt is not None:
            lines.append(printable(str(self.receipt)))
        elif not any(problem.startswith(RECEIPT) for problem in self.problems):
            lines.append(NO_RECEIPT)
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


def signer_of(keyid: str, key: PublicKey | None, home: Path, allow_demo: bool) -> tuple[PublicKey | None, str]:
    """The key to check with, if we hold it, and the signer's name.

    Args:
        keyid: that a file names.
        key: the only one to accept; None for those that the home trusts.
        home: where trusted keys are.
        allow_demo: accept keys that ship with the library.

    Raises:
        LedgerError: it is not the given key, or one that anyone can sign with.
    """
    refuse_shipped(keyid, allow_demo=allow_demo)
    if key is not None:
        if key.keyid != keyid:
            raise LedgerError(
                "wrong key: the file's keyid is not that of the given key",
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


def _receipt(path: Path, data: bytes, said: statement.Statement, home: Path) -> tuple[Logged | None, tuple[str, ...]]:
    """What the receipt beside a certificate shows, and what is wrong with it."""
    beside = receipt_path(path)
    if not beside.exists():
        return None, ()
    keys = [said.signer, *trusted_keys(home)]
    try:
        found = read_receipt(read_small(beside, "receipt"))
    except LedgerError as error:
        return None, (f"{RECEIPT}{error}".rstrip("."),)
    if problem := found.problem(keys):
        return None, (RECEIPT + problem,)
    if wrong := contradictions(found, said.certificate, data):
        return None, tuple(RECEIPT + problem for problem in wrong)
    under = found.checkpoint
    own = [said.signer, *(key for key in keys if under.signed_by(key))]
    return Logged(under.origin, under.size, found.said.seq, under.witnesses(keys, own)), ()


def verify(
    path: Path | str,
    *,
    key: PublicKey | Path | str | None = None,
    root: Path | None = None,
    home: Path | None = None,
    allow_demo: bool = False,
) -> Verification:
    """Verify a certificate file, with its receipt where one lies beside it.

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
    data, place_of_trust = read_small(path, "certificate"), home_path() if home is None else home
    sealed = envelope.open_envelope(data)
    held, name = signer_of(sealed.keyid, given, place_of_trust, allow_demo)
    if held is not None and not held.verifies(sealed.signature, sealed.signed):
        return Verification(path, False, name, sealed.keyid, problems=(_diagnose(sealed.payload),))
    said = statement.read(sealed.payload)
    if said.signer.keyid != sealed.keyid:
        raise envelope.malformed("envelope keyid", "not the key that the signed statement names as its signer")
    if not said.signer.verifies(sealed.signature, sealed.signed):
        return Verification(path, False, name, sealed.keyid, problems=(_diagnose(sealed.payload),))
    logged, wrong = _receipt(path, data, said, place_of_trust)
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
        problems=(*said.problems, *wrong),
        certificate=said.certificate,
        receipt=logged,
    )
