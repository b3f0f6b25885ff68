"""What the verbs write into the log of ``EXPUNGE_HOME``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest, digest_bytes, digest_file, read_json
from expunge.core.certificate import Certificate
from expunge.core.errors import ConfigError
from expunge.core.files import write_bytes
from expunge.core.guarantee import Empirical
from expunge.core.policy import Policy
from expunge.core.privacy import PrivacyPolicy
from expunge.core.request import Request
from expunge.core.selection import Selection
from expunge.ledger.certify import read_small
from expunge.ledger.home import home
from expunge.ledger.home_log import append
from expunge.ledger.leaf import Entry, Kind
from expunge.ledger.log import Log, log_path
from expunge.ledger.receipt import certificate_entry, receipt_of, receipt_path
from expunge.workflow.policy_file import registered
from expunge.workflow.stages import code_digest
from expunge.workflow.superseded import FOLDER as SET_ASIDE

PLAN = "plan.json"
CONFIG = ("methods", "recipe", "attacks", "seeds")


def note(
    kind: str,
    *,
    request: str = "",
    digests: Mapping[str, str] | None = None,
    counters: Mapping[str, int] | None = None,
    state: str = "NONE",
    once: bool = True,
) -> None:
    """Append one leaf to the log, signed with the home's key; both are made if they are absent.

    Args:
        kind: name of a ``ledger.leaf.Kind``.
        request: ``Request.id``, empty for none.
        digests: by names of ``ledger.leaf.DIGESTS``; of what a stranger could guess, salted.
        counters: by names of ``ledger.leaf.COUNTERS``.
        state: name of a ``ledger.leaf.State`` that the kind allows.
        once: append nothing if a leaf says the same already.

    Raises:
        UnknownName: the schema of leaves lacks a name.
        LedgerError: a value that it does not allow, or a log that was tampered with.
    """
    append(home(), [Entry(kind, request, state, digests or {}, counters or {})], once=once)


def planned(out: Path, request: str) -> None:
    """Commit to a pinned plan before anything is trained by it. The same plan and code are committed to once.

    Args:
        out: folder of the run, with its ``plan.json``.
        request: ``Request.id``.

    Raises:
        StoreError: there is no plan.
        LedgerError: the log cannot be used.
    """
    plan = read_json(out / PLAN)
    digests = {
        "code": code_digest(),
        "commitment": plan["request"],
        "config": digest({name: plan[name] for name in CONFIG}),
        "data": plan["data"],
        "plan": digest_file(out / PLAN),
        "policy": plan["policy"]["digest"],
    }
    note(Kind.PLAN, request=request, digests=digests)


def pinned_policy(method: Any, policy: Policy | None = None) -> Policy | None:
    """What a method's claim will be judged by, as far as that is known before it runs.

    Args:
        method: as it is set.
        policy: that was given, by name or in a signed file.

    Returns:
        The policy that was given, else the one that the method names; None where its claim needs none.

    Raises:
        ConfigError: the method names a policy that does not ship, and none was given.
    """
    claim = getattr(method, "claim", None)
    if policy is not None or not isinstance(claim, Empirical):
        return policy
    known = registered(claim.policy)
    if known is None:
        raise ConfigError(
            f"the policy {claim.policy} does not ship",
            why="a name alone fixes nothing that a claim could be judged by",
            next="Give its signed file with --policy",
        )
    return known


def committed(
    request: Request,
    selection: Selection,
    target: Any,
    method: Any,
    seed: int,
    policy: Policy | PrivacyPolicy | None = None,
) -> None:
    """Commit to how a request without a plan file will be answered, before anything is trained. The same once.

    Args:
        request: whose salt keeps the digest of the records from being guessed.
        selection: that the method will read.
        target: as it is before.
        method: as it is set.
        seed: of the run.
        policy: that was given for the claim to be judged by; None for the one that the method names.

    Raises:
        ConfigError: the method names a policy that does not ship, and none was given.
        LedgerError: the log cannot be used.
    """
    pinned = policy if isinstance(policy, PrivacyPolicy) else pinned_policy(method, policy)
    digests = {
        "before": target.digest(),
        "code": code_digest(),
        "commitment": request.commitment,
        "config": digest({"method": method.digest(), "seed": seed}),
        "data": digest([request.salt, selection.digest()]),
        "method": method.digest(),
    }
    if pinned is not None:
        digests["policy"] = digest(pinned)
    note(Kind.PLAN, request=request.id, digests=digests)


def certified(certificate: Certificate, path: Path, out: Path) -> Path:
    """Log a certificate that was written, once, and write the receipt beside it.

    Args:
        certificate: as signed.
        path: of its file.
        out: folder of the run; its plan, if it has one, is committed to as well.

    Returns:
        The path of the receipt. An earlier receipt that says something else is set aside, never overwritten.

    Raises:
        LedgerError: the log cannot be used.
    """
    plan = {"plan": digest_file(out / PLAN)} if (out / PLAN).is_file() else {}
    entry, place = certificate_entry(certificate, read_small(path), **plan), home()
    [seq] = append(place, [entry], once=True)
    with Log(log_path(place)) as log:
        data = receipt_of(log, seq).body()
    beside = receipt_path(path)
    if beside.is_file():
        earlier = beside.read_bytes()
        if earlier == data:
            return beside
        aside = beside.parent / SET_ASIDE / f"{digest_bytes(earlier)[7:19]}-{beside.name}"
        aside.parent.mkdir(exist_ok=True)
        beside.rename(aside)
    write_bytes(beside, data)
    return beside
