"""Whether the signed result of a private probe holds: who signed, on which inputs, about which model, and when fixed.

Each side vouches against the other. The auditor's signature stands under commitment and result; that the inputs were
fixed before the model was certified is shown by the log that logged the certificate, and by none that the auditor
keeps himself, for he could write it afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from expunge.core.canonical import digest_bytes
from expunge.core.certificate import printable
from expunge.core.errors import ExpungeError, LedgerError
from expunge.core.evidence import Estimate
from expunge.core.registry import attacks
from expunge.ledger.certify import read_small
from expunge.ledger.envelope import open_envelope
from expunge.ledger.home import home_path
from expunge.ledger.keys import PublicKey
from expunge.ledger.leaf import read as read_leaf
from expunge.ledger.log import Log, log_path
from expunge.ledger.probe import (
    RESULT_TYPE,
    Commitment,
    Result,
    Signed,
    entry_of,
    read_commitment,
    read_result,
    read_set,
)
from expunge.ledger.receipt import LogReceipt, contradictions, read_receipt, receipt_path
from expunge.ledger.statement import read as read_statement
from expunge.ledger.trust import UNKNOWN, trusted_keys
from expunge.ledger.verify import signer_of
from expunge.ledger.verify import verify as verify_certificate
from expunge.workflow.audit_probe import CERTIFICATE, OTHER_REFERENCE, WEIGHTS, computed, models_of
from expunge.workflow.probe_commit import COMMITMENT, ROWS, SET
from expunge.workflow.probe_rows import asked_of, settings_of


@dataclass(frozen=True)
class ProbeVerification:
    """What verifying the result of a probe found.

    Args:
        path: of the statement.
        keyid: of the key that is said to have signed.
        signer: trusted name of that key, or ``UNKNOWN``.
        signature_valid: whether the signature is that key's; None where the key is not held.
        result: as read; to be believed only if all holds.
        plan: what was committed to; None where the commitment is not there or is another.
        order: what shows that the commitment came before the certificate; empty where nothing does.
        told: what else was found to hold, and what was not looked at.
        problems: what does not hold.
    """

    path: Path
    keyid: str
    signer: str
    signature_valid: bool | None
    result: Result
    plan: Commitment | None = None
    order: str = ""
    told: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a trusted key signed it, the inputs were fixed before the certificate, and nothing contradicts it."""
        return bool(self.signature_valid and self.order) and not self.problems

    @property
    def exit_code(self) -> int:
        """0 if all holds, else 1."""
        return 0 if self.ok else 1

    def lines(self) -> list[str]:
        """What to print, most important first."""
        if self.signature_valid is False:
            return [f"signature INVALID, said to be by {self.keyid}", "NOT verified"]
        told = [f"signature valid, signer {self.signer}" if self.signature_valid else f"signer {UNKNOWN}, not checked"]
        told.append(f"key {self.keyid}{'' if self.signature_valid else ', which is not trusted here'}")
        if self.plan is not None:
            access = "+".join(self.plan.access)
            told.append(f"{self.plan.metric} of {self.plan.items} inputs with {access}: {shown(self.result.value)}")
            if self.result.difference is not None:
                told.append(f"less that of the reference: {shown(self.result.difference)}")
            told.append(f"reference committed to: {self.plan.reference or 'none'}")
        told += [*([self.order] if self.order else []), *self.told, *self.problems]
        return [*map(printable, told), "verified" if self.ok else "NOT verified"]


def shown(estimate: Estimate) -> str:
    """An estimate for people.

    >>> shown(Estimate(0.25, 0.125, 0.5, n=20, groups=10))
    '0.25 [0.125, 0.5] at 90% (n 20, subjects 10)'
    """
    e = estimate
    return f"{e.value:.4g} [{e.low:.4g}, {e.high:.4g}] at {e.level:.0%} (n {e.n}, subjects {e.groups})"


def is_result(path: Path) -> bool:
    """Whether a file says of itself that it is the signed result of a probe."""
    return f'"payloadType":"{RESULT_TYPE}"'.encode() in read_small(path, "certificate")


def verify_probe(
    path: Path, *, key: PublicKey | None = None, home: Path | None = None, allow_demo: bool = False
) -> ProbeVerification:
    """Verify the signed result of a probe with what lies beside it; needs no model.

    Args:
        path: of the statement, in the folder of the probe or a copy of it without what is private.
        key: the only key to accept as the auditor's; None for one that is trusted in ``home``.
        home: where trusted keys are; ``EXPUNGE_HOME`` by default. It is only read.
        allow_demo: accept keys that anyone can sign with.

    Returns:
        What was found; ``ok`` only if all of it holds and the order in time is shown.

    Raises:
        LedgerError: the statement cannot be read or is malformed, or the key is not the signer's.
    """
    place = home_path() if home is None else home
    found = read_result(read_small(path, "statement"))
    held, name = signer_of(found.keyid, key, place, allow_demo)
    valid = None if held is None else found.verifies(held)
    if valid is False:
        return ProbeVerification(path, found.keyid, name, False, found.said)
    problems, told = list[str](), list[str]()
    try:
        commitment = _commitment(path.parent / COMMITMENT, found, held)
    except LedgerError as error:
        return ProbeVerification(path, found.keyid, name, valid, found.said, problems=(f"commitment: {error}",))
    if found.said.reference != commitment.said.reference:
        problems.append(OTHER_REFERENCE)
    _inputs(path.parent, commitment, found.said, told, problems)
    order = ""
    try:
        order = _order(path.parent, commitment, found, place, allow_demo)
    except ExpungeError as error:
        problems.append(str(error).rstrip("."))
    return ProbeVerification(
        path, found.keyid, name, valid, found.said, commitment.said, order, tuple(told), tuple(problems)
    )


def _commitment(path: Path, result: Signed[Result], key: PublicKey | None) -> Signed[Commitment]:
    """The commitment that a result names, by the same key.

    Raises:
        LedgerError: it is not there, or is another.
    """
    if not path.is_file():
        raise LedgerError("it is not beside the statement", next=f"Put it there as {COMMITMENT}")
    found = read_commitment(read_small(path, "commitment"))
    if found.digest != result.said.commitment:
        raise LedgerError("it is not the one that the result names")
    if found.keyid != result.keyid:
        raise LedgerError("it is by another key than the result", why=found.keyid)
    if key is not None and not found.verifies(key):
        raise LedgerError("its signature is invalid")
    return found


def _inputs(folder: Path, commitment: Signed[Commitment], result: Result, told: list[str], problems: list[str]) -> None:
    """Check whatever of set and rows was revealed."""
    if not (folder / SET).is_file():
        told.append("the inputs are not revealed: that these were asked is the auditor's word")
        if (folder / ROWS).is_file():
            told.append("without them the rows are not checked")
        return
    try:
        probes = read_set(read_small(folder / SET, "probe set"))
        if probes.digest != commitment.said.inputs or len(probes.inputs) != commitment.said.items:
            problems.append("set: it does not open the commitment: inputs, their order or the salt are others")
            return
        told.append(f"the {len(probes.inputs)} inputs beside it are those that were committed to")
        if not (folder / ROWS).is_file():
            told.append("the rows are not revealed: what each input gave is the auditor's word")
            return
        plan = commitment.said
        wrong = computed(folder, probes, plan, result)
        if settings_of(plan.metric, plan.budget) != plan.settings:
            problems.append(f"rows: {plan.metric} is set otherwise in this version, which inputs it asks is not known")
        elif plan.metric in attacks.names() and (asked := len(asked_of(plan.metric, probes, plan))) < plan.items:
            told.append(f"{plan.metric} itself asks {asked} of {plan.items}, each of which must have a row")
        problems += wrong
        told += [] if wrong else ["the result is what the rows come to; that the model gives them only a run shows"]
    except ExpungeError as error:
        problems.append(str(error).rstrip("."))


def _order(folder: Path, commitment: Signed[Commitment], result: Signed[Result], home: Path, allow_demo: bool) -> str:
    """What shows that a commitment came before the certificate that a result is about.

    Raises:
        LedgerError: nothing does, or the certificate is another or does not hold.
    """
    if not result.said.certificate:
        raise LedgerError("order: the result names no certificate, so that nothing shows which came first")
    path = folder / CERTIFICATE
    if not path.is_file():
        raise LedgerError(f"certificate: it is not beside the statement as {CERTIFICATE}")
    certificate = verify_certificate(path, home=home, allow_demo=allow_demo)
    data = read_small(path, "certificate")
    said = read_statement(open_envelope(data).payload)
    if digest_bytes(data) != result.said.certificate:
        raise LedgerError("certificate: not the one that the result is about")
    for problem in certificate.problems:
        raise LedgerError(f"certificate: {problem}")
    if not certificate.signature_valid or certificate.signer == UNKNOWN:
        raise LedgerError(f"certificate: its signer {certificate.keyid} is not trusted here")
    if result.said.model not in models_of(said.certificate):
        raise LedgerError("model: the one that was asked is not the one of the certificate")
    alone = said.signer.keyid == result.keyid
    keys = [k for k in (said.signer, *trusted_keys(home)) if alone or k.keyid != result.keyid]
    first, then = (_receipt(place, keys) for place in (folder / COMMITMENT, path))
    if first.said.entry != entry_of(commitment):
        raise LedgerError(f"order: leaf {first.said.seq} is not about this commitment")
    for problem in contradictions(then, said.certificate, data):
        raise LedgerError(f"order: {problem}")
    if first.checkpoint.origin != then.checkpoint.origin:
        raise LedgerError("order: commitment and certificate are in two logs, so that nothing shows which came first")
    if first.said.seq >= then.said.seq:
        raise LedgerError(
            "order: the commitment was logged after the certificate",
            why=f"leaf {first.said.seq} of {first.checkpoint.origin} against leaf {then.said.seq}",
        )
    told = f"committed to in leaf {first.said.seq} of {first.checkpoint.origin}, certified in leaf {then.said.seq}"
    told += _looked_up(home, first, {said.certificate.target.after, result.said.model})
    if WEIGHTS in dict(said.certificate.notes):
        told += "; its weights are older than the request, and whoever had them then had seen the model"
    return f"{told}{'; auditor, log and certificate are of one key' if alone else ''}"


def _looked_up(home: Path, commitment: LogReceipt, models: set[str]) -> str:
    """What the log says of the model before the commitment, where it is the one of this home: a certificate that was
    issued again would come after a commitment that the model came before.

    Raises:
        LedgerError: a leaf before the commitment names the model.
    """
    path = log_path(home)
    if path.is_file():
        with Log(path) as log:
            if log.origin == commitment.checkpoint.origin:
                for seq, body in log.bodies():
                    if seq < commitment.said.seq and read_leaf(body).entry.digests.get("after") in models:
                        raise LedgerError(f"order: leaf {seq} names the model, before the commitment was logged")
                return ", and no leaf before names the model"
    return "; that no earlier certificate names the model is not known without the log"


def _receipt(of: Path, keys: list[PublicKey]) -> LogReceipt:
    """The receipt beside a file, under a checkpoint by one of the keys.

    Raises:
        LedgerError: there is none, or it shows nothing.
    """
    beside = receipt_path(of)
    if not beside.is_file():
        raise LedgerError(f"order: there is no {beside.name}, so that nothing shows when {of.name} was there")
    found = read_receipt(read_small(beside, "receipt"))
    if problem := found.problem(keys):
        raise LedgerError(f"order: {beside.name}: {problem}")
    return found
