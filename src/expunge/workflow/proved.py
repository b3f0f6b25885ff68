"""Proofs of epsilon and delta: computed again before they are signed, and by whoever verifies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expunge.core.certificate import Certificate, Residue
from expunge.core.errors import ClaimError, ExpungeError, MissingExtra
from expunge.core.evidence import Proof
from expunge.core.outcome import Outcome, Overlay
from expunge.core.provenance import Convex, Private
from expunge.core.registry import methods
from expunge.core.space import with_settings
from expunge.ledger.home import home
from expunge.ledger.leaf import Kind, State, read
from expunge.ledger.log import Log, log_path


def require_proven(outcome: Outcome[Any] | Overlay[Any], settings: Mapping[str, Any], request: str) -> None:
    """Raise unless a proof follows from its result, counts up, and is the only one of its model.

    Args:
        outcome: as it was kept.
        settings: of the method, where they differ from its defaults.
        request: ``Request.id``.

    Raises:
        ClaimError: the proof is not what the method derives from the target, its numbers come to more than it states,
            or another request was certified on the same model.
        MissingExtra: what the accountant computes with is not installed.
    """
    if isinstance(outcome, Overlay) or outcome.proof is None:
        return
    method = with_settings(methods.get(outcome.method.partition("/")[0]), dict(settings))
    if method.digest() != outcome.recipe:
        raise ClaimError(
            "the result was made by another method than its settings name", next="Run expunge unlearn again"
        )
    if hasattr(method, "prove") and method.prove(outcome.target) != outcome.proof:
        raise ClaimError("the proof is not that of the result", next="Run expunge unlearn again")
    require_recounted(outcome)
    if isinstance(outcome.original.provenance, (Private, Convex)):
        _require_alone(outcome.before, request)


def _require_alone(before: str, request: str) -> None:
    """Raise where the log of this home holds a certificate of another request that was answered from the same model.

    Both results would count themselves alone, and together they tell more than either says.
    """
    with Log(log_path(home())) as log:
        entries = (read(body).entry for _, body in log.bodies())
        found = [e for e in entries if e.kind == Kind.CERTIFICATE and e.digests.get("before") == before]
    if any(entry.state == State.CERTIFIED and entry.request != request for entry in found):
        raise ClaimError(
            "another request was certified on the same model",
            why="each of two results would count itself alone, and a budget could be spent twice",
            next="Ask for these records of the result of that request, so that both are counted",
        )


def require_recounted(outcome: Outcome[Any] | Overlay[Any]) -> None:
    """Raise where the numbers of a proof come to more than it states.

    Raises:
        ClaimError: they do, or its accountant cannot read them.
        MissingExtra: what the accountant computes with is not installed.
    """
    from expunge.accounting.recount import recounted

    proof = None if isinstance(outcome, Overlay) else outcome.proof
    if proof is not None and (wrong := recounted(proof)):
        raise ClaimError("the proof does not hold", why=wrong, next="Run expunge unlearn again")


def listed(folder: Path, target: Any) -> dict[str, Path]:
    """The files of a saved target that a certificate digests, by label.

    What is secret by a target's own word (``unlisted``) follows from its data: whoever knows the rest of it could make
    the file for each guess at a record, and compare. The target's salted digest binds these files as well.

    Args:
        folder: that the target was saved in.
        target: loaded.
    """
    unlisted = getattr(target, "unlisted", ())
    if not unlisted:
        return {"result": folder}
    return {f"result: {path.name}": path for path in sorted(folder.iterdir()) if path.name not in unlisted}


def left_over(outcome: Outcome[Any] | Overlay[Any]) -> tuple[Residue, ...]:
    """What of the result itself still tells of the forgotten records: kept states, cached checkpoints."""
    found = {} if isinstance(outcome, Overlay) else outcome.left
    return tuple(Residue(f"the result: {name}", why) for name, why in sorted(found.items()))


def again(certificate: Certificate) -> tuple[list[str], list[str]]:
    """The proofs of a certificate, computed again.

    Returns:
        What is wrong with them, and what can be said of the others.
    """
    from expunge.accounting.recount import recounted

    wrong: list[str] = []
    said: list[str] = []
    for artefact in certificate.artefacts:
        for proof in (item for item in artefact.evidence if isinstance(item, Proof)):
            named = f"{artefact.name}: epsilon {proof.epsilon:g} at delta {proof.delta:g}"
            try:
                problem = recounted(proof)
            except MissingExtra as error:
                said.append(f"{named} was not computed again: {error}")
                continue
            except ExpungeError as error:
                problem = str(error)
            if problem:
                wrong.append(f"{artefact.name}: {problem}")
                continue
            limit = "without limit" if proof.valid_until is None else f"for {proof.valid_until} in all"
            counted = f"{proof.units} {proof.unit}{'' if proof.units == 1 else 's'}"
            said.append(f"{named} computed again by {proof.accountant}, for {counted}; valid {limit}")
    return wrong, said
