"""The certificate: what was asked and run, what it earned, where the data still lives, and what is not claimed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from expunge.core.canonical import canonical_bytes, digest, digest_bytes, plain
from expunge.core.earning import earn, is_digest, not_claimed, phrase
from expunge.core.errors import ClaimError
from expunge.core.evidence import Evidence, Measurement, Proof, Receipt, Replay
from expunge.core.guarantee import Guarantee
from expunge.core.outcome import Outcome, Overlay
from expunge.core.policy import Assessment, Policy, Verdict, judge
from expunge.core.record import record
from expunge.core.request import Request
from expunge.core.wishes import AS_RETRAINED, meaning

UNREAD = "; whether it is met was not measured"
INDEPENDENT, COMMITTED = "independent run", "committed"
"""Notes of an audit: who ran it again, and what the log was told of it before the training."""
NO_AUDIT: Mapping[str, str] = MappingProxyType({})


@record
class PublicRequest:
    """What may be published of a request: never its subject, scope or salt."""

    id: str
    commitment: str
    basis: str = ""
    wish: str = ""
    due: str = ""

    @classmethod
    def of(cls, request: Request) -> PublicRequest:
        """The public part of a request."""
        return cls(request.id, request.commitment, request.basis, request.wish, request.due)


@record
class MethodUsed:
    """What was run.

    Args:
        name: name and version of the method.
        recipe: digest of the method with all its settings.
        selection: salted commitment to what was to be forgotten and kept, by the request's salt.
        seed: of the run.
    """

    name: str
    recipe: str
    selection: str = ""
    seed: int = 0


@record
class Artefact:
    """One artefact with its claim and the evidence for it. What it earned follows from these and cannot be set.

    Args:
        name: what it is, for example ``"model"``.
        before: digest before.
        after: digest after; of the overlay, if it is one.
        claimed: the strongest guarantee that the method aims at.
        overlay: whether the change is removable.
        evidence: measurements, proofs, replays and receipts about this artefact.
        policy: pinned before the run.
        assessment: what the policy reads.

    Raises:
        ClaimError: a digest is none, or the policy asks for nothing.
    """

    name: str
    before: str
    after: str
    claimed: Guarantee
    overlay: bool = False
    evidence: tuple[Evidence, ...] = ()
    policy: Policy | None = None
    assessment: Assessment | None = None

    def __post_init__(self) -> None:
        for which, value in (("before", self.before), ("after", self.after)):
            if not is_digest(value):
                raise ClaimError(f"{self.name}: {which} is not a digest", why=f"got {value!r:.80}")
        if self.policy is not None and not self.policy.criteria:
            raise ClaimError(f"the policy {self.policy.name} lists no attack", why="it would be met by any model")

    @property
    def verdict(self) -> Verdict | None:
        """The policy's verdict on the assessment; None if either is missing."""
        if self.policy is None or self.assessment is None:
            return None
        return judge(self.policy, self.assessment)

    @property
    def policy_digest(self) -> str:
        """Digest of the policy, empty without one."""
        return digest(self.policy) if self.policy else ""

    @property
    def earned(self) -> Guarantee:
        """What the claim is worth under the evidence."""
        return earn(
            self.claimed,
            verdict=self.verdict,
            evidence=self.evidence,
            is_overlay=self.overlay,
            before=self.before,
            after=self.after,
        )


@record
class Residue:
    """A place where the data still lives.

    Args:
        path: file or store.
        reason: why it is there.
        contains_personal_data: whether it holds text of records, or numbers from which they could be told.
    """

    path: str
    reason: str = ""
    contains_personal_data: bool = True


@record
class Certificate:
    """Request, method, artefacts with their evidence, residue, and what is not claimed.

    Args:
        request: its public part.
        method: what was run.
        artefacts: one guarantee each; the target comes first.
        residue: where the data still lives.
        not_claimed: plain sentences.
        notes: sorted (name, text) facts about the run.
        issued: ISO 8601 time, empty if none is stated.

    Raises:
        ClaimError: no artefact, two of one name, or nothing that is not claimed.
        UnknownName: the request's wish is unknown.
    """

    request: PublicRequest
    method: MethodUsed
    artefacts: tuple[Artefact, ...]
    residue: tuple[Residue, ...]
    not_claimed: tuple[str, ...]
    notes: tuple[tuple[str, str], ...] = ()
    issued: str = ""

    def __post_init__(self) -> None:
        names = [artefact.name for artefact in self.artefacts]
        if not names or len(set(names)) < len(names):
            raise ClaimError("a certificate needs artefacts with names of their own", why=f"got {names}")
        if not self.not_claimed:
            raise ClaimError("a certificate must say what it does not claim")
        meaning(self.request.wish)

    @property
    def target(self) -> Artefact:
        """The artefact that the request was about."""
        return self.artefacts[0]

    @property
    def claimed(self) -> Guarantee:
        """The target's claim."""
        return self.target.claimed

    @property
    def earned(self) -> Guarantee:
        """What the target's claim is worth."""
        return self.target.earned

    def __str__(self) -> str:
        return "\n".join(printable(line) for line in _lines(self))


def printable(text: str) -> str:
    """Text in which whatever could steer a terminal is spelled out.

    >>> printable("red\\x1b[31m")
    'red\\\\u001b[31m'
    """
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _measured(artefact: Artefact) -> Iterator[str]:
    for item in artefact.evidence:
        if isinstance(item, Measurement):
            e = item.estimate
            against = f", against {item.reference}" if item.reference else ""
            size = f"n {e.n}, subjects {e.groups}, seeds {e.seeds}"
            yield f"{item.name}: {e.value:.4g} [{e.low:.4g}, {e.high:.4g}] at {e.level:.0%} ({size}{against})"
        elif isinstance(item, Proof):
            yield from _proved(item)
        elif isinstance(item, Receipt):
            seen = f"{item.control} of {item.records} seen before"
            yield f"byte scan of {item.store}: {item.status}, {item.hits} hits, {seen}"
            yield from (f"byte scan of {item.store}: {text}" for text in (*item.where, *item.notes))
        else:
            run = f"independent run {item.equals}, distance {item.distance:g}" if item.equals else "no independent run"
            yield f"replay on {item.data}: {run}"
    for finding in artefact.verdict.findings if artefact.verdict else ():
        yield f"{finding.criterion}: {finding.status}, {finding.reason}"


def _proved(proof: Proof) -> Iterator[str]:
    size = f"(epsilon, delta) = ({proof.epsilon:g}, {proof.delta:g}), in other papers (alpha, beta)"
    counted = f"{proof.units} {proof.unit}{'' if proof.units == 1 else 's'}"
    yield f"proof by {proof.accountant}: {size}, for {counted}, {proof.adversary}"
    yield f"from {', '.join(f'{name} {text}' for name, text in proof.numbers)}"
    limit = "no limit" if proof.valid_until is None else f"{proof.valid_until} in all; requests beyond are refused"
    yield f"valid until: {limit}"
    yield f"records that stay: {proof.retained or 'nothing is said of their protection'}"
    yield from (f"assumed: {sentence}" for sentence in proof.assumptions)


def _read(artefact: Artefact, wish: str) -> str:
    """What evidence was read against for this wish, or that none was. What is as if retrained the guarantee says."""
    wished = wish or AS_RETRAINED
    if artefact.policy is not None and artefact.verdict is not None and artefact.policy.wish == wished:
        return f", read against {meaning(wished).against}"
    return "" if wished == AS_RETRAINED else UNREAD


def _lines(certificate: Certificate) -> Iterator[str]:
    request, method = certificate.request, certificate.method
    due = f", due {request.due}" if request.due else ""
    yield f"Certificate for request {request.id} ({request.basis or 'no basis stated'}{due})"
    yield f"Method: {method.name}, recipe {method.recipe}, seed {method.seed}"
    wished = meaning(request.wish)
    says = wished.says.removeprefix("and ")
    yield f"Wish: {request.wish or AS_RETRAINED} ({says}){_read(certificate.target, request.wish)}"
    for artefact in certificate.artefacts:
        yield f"{artefact.name}{' (overlay)' if artefact.overlay else ''}: {artefact.before} -> {artefact.after}"
        yield f"  Claimed: {phrase(artefact.claimed)}"
        yield f"  Earned: {phrase(artefact.earned)}"
        if artefact.policy is not None:
            yield f"  Policy: {artefact.policy.name}, version {artefact.policy.version}, {artefact.policy_digest}"
        yield "  Measured:"
        yield from (f"    - {line}" for line in [*_measured(artefact)] or ["nothing"])
    if certificate.notes:
        yield "Notes:"
        yield from (f"  - {name}: {text}" for name, text in certificate.notes)
    yield "Not claimed:"
    yield from (f"  - {sentence}" for sentence in certificate.not_claimed)
    yield "Residue:"
    for place in certificate.residue:
        reason = f": {place.reason}" if place.reason else ""
        yield f"  - {place.path}{' (personal data)' if place.contains_personal_data else ''}{reason}"
    if not certificate.residue:
        yield "  - not stated"


def _text(value: Any) -> str:
    form = plain(value)
    return form if isinstance(form, str) else canonical_bytes(form).decode()


def _salted(request: Request, value: str) -> str:
    # A bare digest would let anyone who holds the rest of the data confirm a guess of the forgotten record.
    return digest_bytes(bytes.fromhex(request.salt) + value.encode())


def _cost(result: Outcome[Any] | Overlay[Any]) -> dict[str, str]:
    """What the run took, as far as it comes out the same again: clock and memory stand in the run's record."""
    counted = result.cost.counted()
    return {"cost": f"{counted}, for the whole batch" if "batch" in result.notes else counted} if counted else {}


def _sentences(artefacts: Iterable[Artefact]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentence for artefact in artefacts for sentence in not_claimed(artefact.earned)))


def _own_word(item: Evidence, audit: Mapping[str, str]) -> Evidence:
    """Evidence in which a result does not say of itself that another run gave the same."""
    if isinstance(item, Replay) and item.equals == item.after and INDEPENDENT not in audit:
        return replace(item, equals="", distance=0.0)
    return item


def issue(
    request: Request,
    result: Outcome[Any] | Overlay[Any],
    *,
    evidence: Sequence[Evidence] = (),
    policy: Policy | None = None,
    assessment: Assessment | None = None,
    residue: Sequence[Residue] = (),
    audit: Mapping[str, str] = NO_AUDIT,
    name: str = "model",
    issued: str = "",
) -> Certificate:
    """The certificate of one result. Signs and writes nothing.

    Args:
        request: only its public part enters.
        result: of ``unlearn``; its replay, proof and receipts join the evidence.
        evidence: about the result.
        policy: pinned before the run.
        assessment: what the policy reads.
        residue: where the data still lives.
        audit: notes of whoever ran it again. Only with ``independent run`` among them does it count that a replay
            states an equal digest, wherever that statement comes from.
        name: of the artefact.
        issued: ISO 8601 time, empty for none, so that equal runs give equal bytes.

    Returns:
        A certificate whose guarantee is what the evidence earns.

    Raises:
        ClaimError: the parts make no certificate, or the policy judges another wish.
    """
    if policy is not None and policy.wish != request.wish:
        raise ClaimError(
            f"the policy {policy.name} judges the wish {policy.wish}",
            why=f"the request wishes {request.wish}",
            next="Evaluate with a policy of that wish",
        )
    overlay = isinstance(result, Overlay)
    own = () if isinstance(result, Overlay) else result.own
    gathered = tuple(_own_word(e, audit) for e in (*evidence, *(item for item in own if item not in evidence)))
    after = result.target.digest()
    artefact = Artefact(name, result.before, after, result.claim, overlay, gathered, policy, assessment)
    said = {name: value for name, value in result.notes.items() if name not in (INDEPENDENT, COMMITTED)}
    notes = sorted((name, _text(value)) for name, value in {**said, **_cost(result), **audit}.items())
    unread = (f"That the wish {request.wish} is met: that was not measured.",)
    return Certificate(
        request=PublicRequest.of(request),
        method=MethodUsed(result.method, result.recipe, _salted(request, result.selection.digest()), result.seed),
        artefacts=(artefact,),
        residue=tuple(residue),
        not_claimed=(
            *_sentences((artefact,)),
            *(unread if _read(artefact, request.wish) == UNREAD else ()),
            *meaning(request.wish).not_claimed,
        ),
        notes=tuple(notes),
        issued=issued,
    )
