"""A privacy policy that is fixed before a deletion: what it does not accept is not kept as its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.errors import ClaimError, ConfigError, ExpungeError, LedgerError, StoreError
from expunge.core.files import write_bytes
from expunge.core.guarantee import Certified, Guarantee
from expunge.core.outcome import Outcome, Overlay
from expunge.core.privacy import accept
from expunge.ledger import envelope
from expunge.ledger.certify import read_small
from expunge.ledger.keys import PublicKey
from expunge.workflow.privacy_file import PAYLOAD_TYPE, PrivacyFile, today, verify_privacy

FILE = "privacy.json"
"""The signed policy, in the folder of a run."""
NOTE, KIND = "privacy policy", "kind of request"


@dataclass(frozen=True)
class Pinned:
    """A signed privacy policy with the kind of data or request that it will judge.

    Args:
        file: as verified.
        kind: in the policy's words.
        data: the file's bytes.
    """

    file: PrivacyFile
    kind: str
    data: bytes

    def require(self, claim: Guarantee) -> None:
        """Raise unless the policy accepts a claim today.

        Raises:
            ClaimError: with every reason; no epsilon is claimed at all, for one.
        """
        policy = self.file.policy
        if not isinstance(claim, Certified):
            raise ClaimError(
                f"the privacy policy {policy.name} judges an epsilon",
                why=f"what is claimed is {type(claim).__name__}",
                next="Choose a method that certifies one, or leave the privacy policy out",
            )
        found = accept(policy, claim, kind=self.kind, on=today())
        if not found.accepted:
            raise ClaimError(
                f"the privacy policy {policy.name} does not accept this for {self.kind}",
                why="; ".join(found.reasons),
                next="Train again with more noise or without the records, or ask whoever signs the policy",
            )

    def told(self) -> dict[str, str]:
        """What the certificate says of it."""
        policy = self.file.policy
        by = f"accepted by {policy.by} until {policy.until}"
        return {NOTE: f"{policy.name}, version {policy.version}, {digest(policy)}, {by}", KIND: self.kind}

    def keep(self, out: Path) -> None:
        """Keep the signed file in the folder of a run."""
        write_bytes(out / FILE, self.data)


def is_privacy(path: Path) -> bool:
    """Whether a file is a signed privacy policy, by the type that its envelope names."""
    try:
        found = envelope.parse_canonical(read_small(path, "policy"), "policy")
    except ExpungeError:
        return False
    return isinstance(found, dict) and found.get("payloadType") == PAYLOAD_TYPE


def pin(path: Path, kind: str, *, key: PublicKey | None = None) -> Pinned:
    """A privacy policy to be judged by.

    Args:
        path: of a signed file.
        kind: of data or request, in the policy's words.
        key: the only key to accept; None for those that are trusted here.

    Raises:
        ConfigError: no kind is named, or the policy has no limit for it.
        LedgerError: no trusted key signed it.
    """
    found = verify_privacy(path, key=key)
    if not found.ok:
        next = "Give the public key of whoever signed it with --key, or trust it with: expunge keys trust"
        raise LedgerError(f"the privacy policy {path} is not verified", why=found.standing(), next=next)
    kinds = ", ".join(name for limit in found.policy.limits for name in limit.kinds)
    if not kind or found.policy.limit(kind) is None:
        why = f"{'no kind is named' if not kind else f'it has no limit for {kind!r:.40}'}; it has {kinds}"
        raise ConfigError(f"{path} cannot judge this", why=why, next="Name the kind of data or request with --kind")
    return Pinned(found, kind, read_small(path, "privacy policy"))


def judged(out: Path, outcome: Outcome[Any] | Overlay[Any], key: PublicKey | None) -> None:
    """Raise unless the privacy policy that was fixed before a run still accepts what it claims.

    Args:
        out: folder of the run.
        outcome: as it was kept.
        key: the only key to accept under the policy; None for those that are trusted here.

    Raises:
        StoreError: the file is gone, or is another policy than the outcome names.
        LedgerError: no trusted key signed it.
        ClaimError: it does not accept the claim, today.
    """
    stated = {name: str(outcome.notes[name]) for name in (NOTE, KIND) if name in outcome.notes}
    path = out / FILE
    if not stated and not path.is_file():
        return
    if not path.is_file():
        raise StoreError(f"{path} is missing", why=f"the result is judged by {stated.get(NOTE)}", next="Restore it")
    pinned = pin(path, stated.get(KIND, ""), key=key)
    if pinned.told() != stated:
        raise StoreError(
            f"{path} is another policy than the one that the result names",
            why=f"that is {stated.get(NOTE, 'none')}",
            next="Run expunge unlearn again",
        )
    pinned.require(outcome.claim)
