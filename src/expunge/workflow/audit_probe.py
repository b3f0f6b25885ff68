"""Private probes of an auditor, run on the model that was handed over; what they gave is signed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.canonical import canonical_bytes, digest_bytes
from expunge.core.certificate import Certificate
from expunge.core.errors import ConfigError, EvidenceError, LedgerError, StoreError
from expunge.core.evidence import Estimate
from expunge.core.files import write_bytes
from expunge.ledger import envelope, statement
from expunge.ledger.certify import read_small
from expunge.ledger.home import home
from expunge.ledger.keys import ensure_key
from expunge.ledger.probe import Commitment, ProbeSet, Result, Signed, result_of, sign
from expunge.ledger.receipt import receipt_path
from expunge.workflow.probe_commit import PRIVATE, ROWS, flags_of, list_files, now, opened
from expunge.workflow.probe_rows import (
    ALL,
    MODEL,
    REFERENCE,
    Rows,
    ask,
    check_rows,
    estimates,
    read_rows,
    rows_bytes,
    settings_of,
)
from expunge.workflow.stages import versions

RESULT, STATEMENT = "result.json", "statement.json"
CERTIFICATE = "model.certificate.json"
WEIGHTS = "weights_digest"
"""Note of a certificate: digest of weights that the request left as they were."""
OTHER_REFERENCE = "reference: not the one that was committed to"


@dataclass(frozen=True)
class Ran:
    """What a run of a probe gave.

    Args:
        result: not signed yet.
        rows: a number per input, score and model.
    """

    result: Result
    rows: Rows


def models_of(certificate: Certificate) -> tuple[str, ...]:
    """Digests that the model of a certificate may have: the target's, and that of its weights without the account that
    stays with whoever trained, where the certificate notes it.
    """
    return certificate.target.after, *(text for name, text in certificate.notes if name == WEIGHTS)


def _certified(path: Path | None) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a certificate and the digests that its model may have; nothing where none is given."""
    if path is None:
        return b"", ()
    data = read_small(path, "certificate")
    sealed = envelope.open_envelope(data)
    said = statement.read(sealed.payload)
    if said.problems or said.signer.keyid != sealed.keyid or not said.signer.verifies(sealed.signature, sealed.signed):
        why = said.problems[0] if said.problems else "its signature is not by the key that it names"
        raise LedgerError(f"the certificate {path} does not hold", why=why, next="See: expunge verify")
    return data, models_of(said.certificate)


def run(folder: Path, model: str, *, reference: str | None = None, certificate: Path | None = None) -> Ran:
    """Ask a model the inputs of a set, and keep what each gave and what they come to.

    Args:
        folder: that ``commit`` wrote.
        model: folder of the model that was handed over.
        reference: folder of the model that never knew, if one was committed to.
        certificate: that the model was handed over with.

    Returns:
        The result, not signed yet; it is written to the folder, with the certificate and its receipt.

    Raises:
        StoreError: the folder holds no probe.
        LedgerError: the set does not open the commitment, the model is not the certificate's, or the reference not
            the one that was committed to.
        ConfigError: the result is signed already.
        EvidenceError: the attack is set otherwise now, leaves an input out, or something cannot be measured.
        TargetError: a model cannot be loaded, or does not grant the access.
    """
    from expunge.workflow.verbs import shared

    probes, found = opened(folder)
    plan = found.said
    if (folder / STATEMENT).exists():
        raise ConfigError(f"the result in {folder} is signed", next="Work on a copy without it to compute it again")
    if settings_of(plan.metric, plan.budget) != plan.settings:
        why, next = "its settings differ", "Use the version of expunge that made the commitment"
        raise EvidenceError(f"{plan.metric} is not the attack that was committed to", why=why, next=next)
    data, promised = _certified(certificate)
    targets, digests = _adopted(plan, model, reference)
    if promised and digests[MODEL] not in promised:
        why = f"its digest is {digests[MODEL]}, the certificate names {' and '.join(promised)}"
        raise LedgerError(
            "the model is not the one of the certificate", why=why, next="Ask for the model that was certified"
        )
    with shared():
        rows = ask({arm: target.oracle(flags_of(plan.access)) for arm, target in targets.items()}, probes, plan)
    if problems := check_rows(rows, probes, plan):
        next = "Commit to another metric, or to inputs that it asks all of; try it on a model of your own first"
        raise EvidenceError(f"{plan.metric} leaves inputs out", why=f"{problems[0]}; {ALL}", next=next)
    value, difference = estimates(rows, plan)
    written = rows_bytes(rows)
    result = Result(
        commitment=found.digest,
        certificate=digest_bytes(data) if data else "",
        model=digests[MODEL],
        reference=digests.get(REFERENCE, ""),
        rows=probes.seal(written),
        value=value,
        difference=difference,
        environment=versions(),
        time=now(),
    )
    _keep(folder, certificate, data, {ROWS: written, RESULT: canonical_bytes(result)})
    return Ran(result, rows)


def _adopted(plan: Commitment, model: str, reference: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The models with their digests; the reference is the committed one, and another than the model.

    Raises:
        LedgerError: it is another reference.
        EvidenceError: model and reference are the same.
    """
    from expunge.workflow.verbs import adopt, check_apart

    if (reference is None) != (plan.reference == ""):
        raise _other_reference(plan, "none is given" if reference is None else "none was committed to")
    targets: dict[str, Any] = {MODEL: adopt(model)}
    if reference is not None:
        targets[REFERENCE] = adopt(reference)
    digests = {arm: target.digest() for arm, target in targets.items()}
    if digests.get(REFERENCE, "") != plan.reference:
        raise _other_reference(plan, f"the digest of {reference} is {digests[REFERENCE]}")
    check_apart({arm: _weights(target) for arm, target in targets.items()})
    return targets, digests


def _other_reference(plan: Commitment, why: str) -> LedgerError:
    next = f"Give the one with digest {plan.reference} by --reference" if plan.reference else "Leave --reference out"
    return LedgerError("the reference is not what was committed to", why=why, next=next)


def _weights(target: Any) -> str:
    """The digest of what answers: two accounts do not make two models."""
    return target.weights_digest() if hasattr(target, "weights_digest") else target.digest()


def _keep(folder: Path, certificate: Path | None, data: bytes, files: dict[str, bytes]) -> None:
    """Write what a run gave; the result comes last, so that a kill leaves none without its rows."""
    held = folder / CERTIFICATE
    for stale in (folder / RESULT, held, receipt_path(held)):
        if certificate is None or stale.resolve() not in (certificate.resolve(), receipt_path(certificate).resolve()):
            stale.unlink(missing_ok=True)
    if certificate is not None:
        if receipt_path(certificate).is_file():
            write_bytes(receipt_path(held), read_small(receipt_path(certificate), "receipt"))
        write_bytes(held, data)
    for name, body in files.items():
        write_bytes(folder / name, body, mode=0o600 if name in PRIVATE else 0o644)
    list_files(folder)


def computed(folder: Path, probes: ProbeSet, plan: Commitment, result: Result) -> list[str]:
    """Where the rows of a folder do not come to a result; none if they do.

    Raises:
        LedgerError: the rows cannot be read.
        EvidenceError: they are malformed.
    """
    data = read_small(folder / ROWS, "file of rows")
    if probes.seal(data) != result.rows:
        return ["rows: not the digest that the result states"]
    rows = read_rows(data)
    if found := check_rows(rows, probes, plan):
        return found
    if (REFERENCE in rows) != bool(result.reference):
        return ["rows: those of the reference are missing, or of one that the result does not name"]
    value, difference = estimates(rows, plan)
    if not _same(value, result.value) or not _same(difference, result.difference):
        return ["result: not what the rows come to"]
    return []


def _same(one: Estimate | None, other: Estimate | None) -> bool:
    """Whether two estimates are equal but for the rounding of another machine's sums."""
    if one is None or other is None:
        return one is other
    pairs = [(float(vars(one)[name]), float(vars(other)[name])) for name in vars(one)]
    return all(math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) or (a != a and b != b) for a, b in pairs)


def ready_result(folder: Path) -> tuple[Signed[Commitment], Result]:
    """A result that may be signed: all of it is computed again from the rows. Writes nothing.

    Args:
        folder: in which ``run`` left a result.

    Returns:
        The commitment, and the result under it.

    Raises:
        StoreError: there is no result.
        LedgerError: something was changed since.
        EvidenceError: the result is not what the rows come to.
    """
    probes, found = opened(folder)
    if not (folder / RESULT).is_file():
        raise StoreError(f"{folder} holds no result", next="Run the probe first: expunge audit probe run")
    result = result_of(read_small(folder / RESULT, "result"))
    problems = computed(folder, probes, found.said, result)
    if result.commitment != found.digest:
        problems.insert(0, "result: it is of another commitment")
    if result.reference != found.said.reference:
        problems.append(OTHER_REFERENCE)
    held = folder / CERTIFICATE
    data, promised = _certified(held if held.exists() else None)
    if result.certificate != (digest_bytes(data) if data else "") or (promised and result.model not in promised):
        problems.append("result: it is of another certificate, or of another model than the certificate's")
    for problem in problems:
        why = problem.removeprefix("result: ")
        raise EvidenceError(f"the result in {folder} is not signed", why=why, next="Run the probe again")
    return found, result


def sign_result(folder: Path) -> Path:
    """Sign what a run gave, with the key of the commitment.

    Args:
        folder: as for ``ready_result``.

    Returns:
        The path of the statement, which ``expunge verify`` takes.

    Raises:
        ExpungeError: as ``ready_result``, or the key is not the commitment's.
    """
    found, result = ready_result(folder)
    signer = ensure_key(home())
    if signer.keyid != found.keyid:
        why = f"the commitment is by {found.keyid}, the key here is {signer.keyid}"
        raise LedgerError("the result is not signed", why=why, next="Sign with the key that made the commitment")
    if not found.verifies(signer.public):
        raise LedgerError("the result is not signed", why=f"the commitment in {folder} was changed since it was signed")
    data = sign(result, signer)
    place = folder / STATEMENT
    if place.exists() and place.read_bytes() != data:
        raise ConfigError(f"{place} is there and says something else", next="Move it away first")
    write_bytes(place, data)
    list_files(folder)
    return place
