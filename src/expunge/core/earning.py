"""The rule by which evidence earns a guarantee: it keeps a claim or lowers it, and never raises it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from expunge.core.evidence import Evidence, Measurement, Proof, Receipt, Replay
from expunge.core.guarantee import Certified, Empirical, Exact, Guarantee, Purged, Suppressed, Unproven
from expunge.core.policy import Verdict

ROUNDING = 1e-10
"""Largest difference between two runs of one deterministic computation that rounding explains."""
CLEAN = "CLEAN"
"""The status of a receipt whose scan saw the bytes before the erasure and none after it."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether a text is ``sha256:`` and 64 lower-case hex digits."""
    return _DIGEST.fullmatch(text) is not None


def at_most(guarantee: Guarantee, claim: Guarantee) -> bool:
    """Whether a guarantee says no more than a claim.

    Only a partial order: ``Unproven`` is below all, ``Suppressed`` below all but it, ``Exact`` in distribution below
    ``Exact`` bit for bit. Guarantees of other types or with other parameters are not comparable.

    >>> at_most(Exact("distribution"), Exact("bitwise")), at_most(Empirical("mine"), Exact("bitwise"))
    (True, False)
    """
    if isinstance(guarantee, Unproven) or guarantee == claim:
        return True
    if isinstance(guarantee, Suppressed):
        return not isinstance(claim, Unproven)
    return guarantee == Exact("distribution") and claim == Exact("bitwise")


def _suppressed(evidence: Sequence[Evidence]) -> Guarantee:
    if any(isinstance(item, Measurement) and math.isfinite(item.estimate.value) for item in evidence):
        return Suppressed()
    return Unproven("nothing was measured")


def _empirical(claim: Empirical, verdict: Verdict | None) -> Guarantee:
    if verdict is None:
        return Unproven(f"the policy {claim.policy} was not judged")
    if verdict.policy != claim.policy:
        return Unproven(f"judged by the policy {verdict.policy}, claimed under {claim.policy}")
    if claim.digest and claim.digest != verdict.digest:
        return Unproven(f"judged by another {claim.policy} than the one that was pinned before the run, {claim.digest}")
    if verdict.status != "earned" or not verdict.findings or any(f.status != "earned" for f in verdict.findings):
        return Unproven(verdict.reason or verdict.status)
    return claim


def _exact(claim: Exact, replays: Sequence[Replay], before: str, after: str) -> Guarantee:
    if before == after:
        return Unproven("the artefact is the same before and after")
    about = [r for r in replays if r.after == after and r.before == before and is_digest(after)]
    if not about:
        return Unproven("no replay of this computation")
    if not all(is_digest(replay.data) for replay in about):
        return Unproven("the replay does not say what data it was run on")
    # Distance 0 beside another digest means that nobody measured it, so it cannot count as close.
    apart = [r for r in about if r.equals not in ("", after) and not 0 < r.distance <= ROUNDING]
    if apart:
        return Unproven(f"an independent run gave another result, {apart[0].distance:g} away (0: not measured)")
    return claim if any(r.equals == after for r in about) else Exact("distribution")


def _certified(claim: Certified, proofs: Sequence[Proof], after: str) -> Guarantee:
    if not (math.isfinite(claim.epsilon) and claim.epsilon >= 0 and 0 <= claim.delta < 1):
        return Unproven(f"epsilon {claim.epsilon:g} and delta {claim.delta:g} bound nothing")
    about = [proof for proof in proofs if proof.after == after and is_digest(after)]
    if not any(proof.accountant and proof.assumptions for proof in about):
        return Unproven("no proof about this artefact with an accountant and its assumptions")
    if any(proof.valid_until is not None and proof.units > proof.valid_until for proof in about):
        return Unproven("the budget of the proof is spent")
    if not any(proof.adversary in (claim.adversary, "adaptive") for proof in about):
        return Unproven(f"no proof against an adversary that is {claim.adversary}")
    if not any(
        proof.epsilon <= claim.epsilon and proof.delta <= claim.delta and proof.accountant and proof.assumptions
        for proof in about
        if proof.adversary in (claim.adversary, "adaptive")
    ):
        return Unproven(f"the proof comes to epsilon {about[0].epsilon:g} at delta {about[0].delta:g}")
    return claim


def _purged(claim: Purged, receipts: Sequence[Receipt], before: str, after: str) -> Guarantee:
    about = [receipt for receipt in receipts if receipt.store == claim.store]
    if not about:
        return Unproven(f"no byte scan of the store {claim.store}")
    dirty = [receipt for receipt in about if receipt.status != CLEAN or receipt.hits]
    if dirty:
        return Unproven(f"the byte scan of {claim.store} ended {dirty[0].status} with {dirty[0].hits} hits")
    unseen = [receipt for receipt in about if not 0 < receipt.records <= receipt.control]
    if unseen:
        seen = f"{unseen[0].control} of {unseen[0].records}"
        return Unproven(f"before the erasure the byte scan of {claim.store} saw {seen} records")
    if not any(receipt.before in ("", before) and receipt.after in ("", after) for receipt in about):
        return Unproven(f"the store {claim.store} is not the one that was erased from and scanned")
    return claim


def earn(
    claim: Guarantee,
    *,
    verdict: Verdict | None = None,
    evidence: Sequence[Evidence] = (),
    is_overlay: bool = False,
    before: str = "",
    after: str = "",
) -> Guarantee:
    """What a claim is worth under its evidence.

    * An overlay is at most ``Suppressed``, and that only with a measurement; so is a claim of ``Suppressed``.
    * ``Empirical`` needs a verdict in which everything was earned, under the same policy: of the same name, and of the
      digest that was pinned where one was.
    * ``Exact`` needs a ``Replay`` of this very change that says what data it was run on. Equality in distribution is a
      property of the algorithm that was run, so that record earns it; two draws from a distribution could not show it.
      Bit for bit needs an independent run with the same digest; without one the claim is lowered to distribution. An
      independent run that differs by more than rounding refutes both, and so does an artefact that did not change. A
      verdict of attacks does not enter.
    * ``Certified`` needs a ``Proof`` about this very artefact that names its accountant and assumptions, comes to no
      more than is claimed, holds against the adversary that is claimed, and whose budget is not spent.
    * ``Purged`` needs a ``Receipt`` of the same store and change that ended ``CLEAN`` and whose scan saw every erased
      record before, and none that did not.

    Args:
        claim: what the method aims at.
        verdict: of the policy, if one was judged.
        evidence: of this artefact.
        is_overlay: whether the result is removable.
        before: digest of the artefact before.
        after: digest of the artefact after.

    Returns:
        The claim, something below it in the sense of ``at_most``, or ``Unproven`` with the reason.

    >>> earn(Empirical("research-tofu"))
    Unproven(reason='the policy research-tofu was not judged')
    """
    if isinstance(claim, Unproven):
        return claim
    if is_overlay or isinstance(claim, Suppressed):
        return _suppressed(evidence)
    if isinstance(claim, Empirical):
        return _empirical(claim, verdict)
    if isinstance(claim, Exact):
        return _exact(claim, [e for e in evidence if isinstance(e, Replay)], before, after)
    if isinstance(claim, Certified):
        return _certified(claim, [e for e in evidence if isinstance(e, Proof)], after)
    return _purged(claim, [e for e in evidence if isinstance(e, Receipt)], before, after)


def phrase(guarantee: Guarantee) -> str:
    """A guarantee in one line.

    >>> phrase(Empirical("research-tofu")), phrase(Suppressed())
    ('Empirical (policy research-tofu)', 'Suppressed')
    """
    return f"{type(guarantee).__name__}{_detail(guarantee)}"


def _detail(guarantee: Guarantee) -> str:
    writers: dict[type, Callable[[Any], str]] = {
        Exact: lambda g: " (bit for bit)" if g.equality == "bitwise" else " (in distribution)",
        Certified: lambda g: f" (epsilon {g.epsilon:g}, delta {g.delta:g}, against {g.adversary})",
        Purged: lambda g: f" (store {g.store})",
        Empirical: lambda g: f" (policy {g.policy})",
        Suppressed: lambda g: "",
        Unproven: lambda g: f" ({g.reason})" if g.reason else "",
    }
    return writers[type(guarantee)](guarantee)


_ALWAYS = (
    "That looking at the weights can show that the data is gone: other data can lead to the same weights.",
    "That the scope is complete: only the records to which the request resolved were treated.",
    "Anything about copies outside the listed artefacts: third parties, downloads, backups elsewhere.",
    "Legal compliance: this is a technical record that may support it.",
)
_BY_TYPE: dict[type, tuple[str, ...]] = {
    Exact: (
        "More than that this algorithm was run on the data with the stated digest.",
        "That the remaining data does not imply or repeat what was removed.",
        "That it holds for requests chosen by looking at a published model: these may betray how records were placed.",
        "That records which stay are protected from whoever has the models before and after: the two differ by more "
        "than what went.",
    ),
    Certified: (
        "A bound on earlier requests, or on requests chosen after seeing the model, beyond the proof's.",
        "That the training was run with the stated numbers: that is the word of whoever signed.",
    ),
    Purged: ("Deletion from backups, snapshots or the medium below the file system.",),
    Empirical: (
        "That a low attack score proves absence: attacks that are not listed, or with more effort, may succeed.",
        "That closeness to a retrained model proves unlearning.",
        "That forgetting is irreversible: only the relearning and attack budgets that are listed were tried.",
    ),
    Suppressed: (
        "That the model has forgotten: it still knows, and whoever has its weights or drops the overlay has it all.",
        "That other prompts, languages or encodings do not get past it.",
    ),
    Unproven: ("That anything was forgotten.",),
}


def not_claimed(guarantee: Guarantee) -> tuple[str, ...]:
    """Plain sentences on what a guarantee does not say, its own first."""
    return (*_BY_TYPE[type(guarantee)], *_ALWAYS)
