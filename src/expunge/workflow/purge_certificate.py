"""Certificates after a purge: issued again with its receipt, never with a higher guarantee."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from expunge.core.certificate import Certificate, Residue
from expunge.core.earning import at_most
from expunge.core.errors import ClaimError, LedgerError
from expunge.core.evidence import Receipt
from expunge.ledger.certify import FOLDER, SUFFIX
from expunge.ledger.home import home
from expunge.ledger.keys import Signer, ensure_key
from expunge.ledger.trust import trust
from expunge.ledger.verify import Verification, verify
from expunge.workflow.asked import PURGED, VAULT
from expunge.workflow.logged import certified
from expunge.workflow.purged import STORE, Purge
from expunge.workflow.superseded import place_certificate

FOUND = "the byte scan after the purge found the subject here"
KNEW = "a model that knew the subject; it was left, for it belongs to another request"
ELSEWHERE = "anywhere else"
NOTE = "purge"


def certificates(out: Path) -> list[Path]:
    """The certificates of a run that are in force."""
    return sorted((out / FOLDER).glob(f"*{SUFFIX}"))


def unissued(out: Path, signer: Signer, removed: Collection[str]) -> Iterator[tuple[Path, str]]:
    """Certificates that cannot be issued again, and why: a purge must not make good what did not hold before it.

    Args:
        out: folder of the run.
        signer: that would sign.
        removed: files that the purge deleted.
    """
    for path in certificates(out):
        try:
            found = verify(path, key=signer.public, root=out)
        except LedgerError as error:
            yield path, error.why or error.what
            continue
        if why := _why_not(found, removed):
            yield path, why


def _why_not(found: Verification, removed: Collection[str]) -> str:
    if not found.signature_valid or found.problems:
        return "; ".join(("it does not verify", *found.problems))
    if changed := set(found.changed) - {PURGED}:
        return f"{min(changed)} changed since it was certified"
    if missing := set(found.missing) - set(removed) - {PURGED}:
        return f"{min(missing)} was missing before the purge"
    return ""


def reissue(out: Path, purge: Purge, signer: Signer, leaving: Collection[Path]) -> None:
    """Issue the certificates of a run again; the former ones are set aside.

    Args:
        out: folder of the run.
        purge: what it came to, as ``purge.json`` says it.
        signer: of the certificates.
        leaving: certificates that stay as they are.

    Raises:
        ClaimError: a guarantee would rise.
    """
    trust(home(), signer.public, "this installation")
    for path in certificates(out):
        if path in leaving:
            continue
        found = verify(path, key=signer.public, root=out)
        former = found.certificate
        if former is None:
            continue
        fresh = with_purge(former, purge, out)
        kept = {name: out / name for name in (*found.checked, *found.changed) if (out / name).is_file()}
        place_certificate(fresh, {**kept, PURGED: out / PURGED}, out, path, signer)
        certified(fresh, path, out)


def signer_here() -> Signer:
    """The key that signs in this home."""
    return ensure_key(home())


def with_purge(certificate: Certificate, purge: Purge, out: Path) -> Certificate:
    """A certificate that also says what was purged. Done again it replaces what was said before.

    Args:
        certificate: before, or after an earlier purge.
        purge: what it came to.
        out: folder of the run, after the deletions.

    Raises:
        ClaimError: a guarantee would rise.
    """
    first, *others = certificate.artefacts
    evidence = tuple(e for e in first.evidence if not (isinstance(e, Receipt) and e.store == STORE))
    told = f"{purge.status}: {len(purge.removed)} files deleted, {len(purge.rewritten)} rewritten, {purge.hits} hits"
    fresh = replace(
        certificate,
        artefacts=(replace(first, evidence=(*evidence, purge.receipt)), *others),
        residue=tuple(_residue(certificate.residue, purge, out)),
        notes=tuple(sorted((*((n, t) for n, t in certificate.notes if n != NOTE), (NOTE, told)))),
    )
    for before, after in zip(certificate.artefacts, fresh.artefacts, strict=True):
        if not at_most(after.earned, before.earned):
            raise ClaimError(f"the purge would raise what {after.name} earned")
    return fresh


def _residue(former: Collection[Residue], purge: Purge, out: Path) -> Iterator[Residue]:
    tops = {name.partition("/")[0] for name in purge.removed}
    for place in former:
        if place.reason in (FOUND, KNEW) or place.path == ELSEWHERE:
            continue
        if place.path in purge.rewritten:
            yield Residue(place.path, "records of others; the forgotten ones were taken out")
        elif place.path == VAULT.path:
            yield Residue(VAULT.path, "purged: the key of the request's subject, scope and salt is destroyed", False)
        elif place.path in tops and not (out / place.path).exists():
            yield Residue(place.path, "purged", False)
        else:
            yield place
    yield from (Residue(name, FOUND) for name in purge.where)
    yield from (Residue(name, KNEW) for name in purge.knew)
    yield Residue(ELSEWHERE, purge.not_scanned)
