"""Privacy policies as signed files: a DSSE envelope around the canonical JSON of the policy and nothing else."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.canonical import canonical_bytes, digest, read_json
from expunge.core.certificate import Certificate, printable
from expunge.core.errors import ConfigError, EvidenceError, LedgerError
from expunge.core.guarantee import Certified
from expunge.core.privacy import Acceptance, PrivacyPolicy, accept, faults_of
from expunge.ledger import envelope
from expunge.ledger.certify import read_small
from expunge.ledger.home import home_path
from expunge.ledger.keys import PublicKey, Signer
from expunge.ledger.trust import UNKNOWN
from expunge.ledger.verify import signer_of
from expunge.workflow.privacy_reading import told
from expunge.workflow.stated import stated_as

PAYLOAD_TYPE = "application/vnd.expunge.privacy-policy+json"
SUFFIX = ".privacy.json"
NOTATION = {"alpha": "epsilon", "beta": "delta"}
"""Names of other papers -> ours."""


@dataclass(frozen=True)
class PrivacyFile:
    """A privacy policy as read from a signed file.

    Args:
        path: of the file.
        policy: that it states; to be believed only if the file is ``ok``.
        keyid: of the key that is said to have signed.
        signer: trusted name of that key, or ``UNKNOWN``.
        valid: whether the signature is that key's; None where the key is not held, so that it cannot be checked.
    """

    path: Path
    policy: PrivacyPolicy
    keyid: str
    signer: str
    valid: bool | None

    @property
    def ok(self) -> bool:
        """Whether a trusted key signed it."""
        return self.valid is True

    def standing(self) -> str:
        """In one line who signed it, as far as that is known."""
        if self.valid is False:
            return f"signature INVALID, said to be by {self.keyid}"
        if self.valid is None:
            return f"signer {UNKNOWN}, signature not checked: key {self.keyid} is not trusted here"
        return printable(f"signature valid, signer {self.signer}, key {self.keyid}")


def stated(body: Any, what: str) -> PrivacyPolicy:
    """A privacy policy from JSON, its numbers as numbers or as decimal strings.

    Args:
        body: as ``privacy show --json`` prints one.
        what: names it in messages.

    Raises:
        ConfigError: it is no privacy policy, or one that cannot judge.
    """
    policy = stated_as(PrivacyPolicy, body, what, "privacy policy", names=NOTATION)
    for fault in faults_of(policy):
        raise ConfigError(f"the privacy policy in {what} cannot judge", why=fault)
    return policy


def read_privacy(path: Path) -> PrivacyPolicy:
    """A privacy policy from a file that is not signed yet.

    Raises:
        StoreError: the file cannot be read or is not JSON.
        ConfigError: it holds none, or one that cannot judge.
    """
    return stated(read_json(path), str(path))


def sign_privacy(policy: PrivacyPolicy, signer: Signer) -> bytes:
    """The signed file.

    Raises:
        ConfigError: the policy cannot judge.
        LedgerError: the signer's signature is not its key's.
    """
    for fault in faults_of(policy):
        raise ConfigError(f"the privacy policy {policy.name} cannot judge", why=fault)
    return envelope.sign(canonical_bytes(policy), signer, PAYLOAD_TYPE)


def verify_privacy(
    path: Path | str, *, key: PublicKey | None = None, home: Path | None = None, allow_demo: bool = False
) -> PrivacyFile:
    """Verify a signed privacy policy.

    Args:
        path: of the file.
        key: the only key to accept. Without it, one trusted in ``home``.
        home: where trusted keys are; ``EXPUNGE_HOME`` by default. It is only read.
        allow_demo: accept keys that anyone can sign with.

    Returns:
        What was found; ``ok`` only if a trusted key signed the very bytes.

    Raises:
        LedgerError: the file cannot be read, is malformed or states no policy, or the key is not the signer's.
    """
    path = Path(path)
    try:
        sealed = envelope.open_envelope(read_small(path, "privacy policy"), PAYLOAD_TYPE)
        body = envelope.parse_canonical(sealed.payload, "payload")
        policy = stated(body, str(path))
    except ConfigError as error:
        raise LedgerError(error.what, why=error.why) from error
    if canonical_bytes(policy) != sealed.payload:
        raise LedgerError(f"{path} is no signed privacy policy", why="it is not spelled as this library spells it")
    held, name = signer_of(sealed.keyid, key, home_path() if home is None else home, allow_demo)
    valid = None if held is None else held.verifies(sealed.signature, sealed.signed)
    return PrivacyFile(path, policy, sealed.keyid, name, valid)


def today() -> str:
    """The day in UTC, as YYYY-MM-DD."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def judge_certificate(
    found: PrivacyFile, certificate: Certificate, *, kind: str, on: str = ""
) -> dict[str, Acceptance]:
    """Whether a privacy policy accepts what a certificate earned.

    Args:
        found: a policy that a trusted key signed.
        certificate: verified by the caller.
        kind: of the data or request.
        on: the day of judging; today by default.

    Returns:
        Name of an artefact -> acceptance, for those with a ``Certified`` claim. What was claimed and not earned is not
        accepted.

    Raises:
        LedgerError: no trusted key signed the policy.
        EvidenceError: the certificate claims nothing that a privacy policy could judge.
    """
    if not found.ok:
        next = "Give the public key of whoever signed it with --key, or trust it with: expunge keys trust"
        raise LedgerError(f"the privacy policy {found.path} is not verified", why=found.standing(), next=next)
    policy, judged = found.policy, dict[str, Acceptance]()
    for artefact in certificate.artefacts:
        if isinstance(artefact.earned, Certified):
            judged[artefact.name] = accept(policy, artefact.earned, kind=kind, on=on or today())
        elif isinstance(artefact.claimed, Certified):
            why = f"what it claims was not earned: {getattr(artefact.earned, 'reason', '')}".rstrip(": ")
            judged[artefact.name] = Acceptance(policy.name, digest(policy), kind, False, (why,))
    if not judged:
        raise EvidenceError(
            "there is nothing to judge", why="the certificate claims no epsilon", next="Give one of a certified method"
        )
    return judged


def lines_of(policy: PrivacyPolicy) -> list[str]:
    """What a privacy policy accepts, by kind, and what that means for people."""
    lines = [f"{policy.name}, version {policy.version}, {digest(policy)}"]
    lines.append(f"accepted by {policy.by}, until {policy.until}")
    for limit in policy.limits:
        numbers = f"epsilon {limit.epsilon:g}, delta {limit.delta:g}"
        lines.append(
            f"{', '.join(limit.kinds)}: up to {numbers}, against an adversary that is {limit.adversary} or stronger"
        )
        lines += [f"  {limit.why}", f"  {told(Certified(limit.epsilon, limit.delta, limit.adversary))}"]
    return [printable(line) for line in lines]
