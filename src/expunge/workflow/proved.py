"""Proofs of epsilon and delta: computed again before they are signed, and by whoever verifies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.core.certificate import Certificate, Residue
from expunge.core.errors import ClaimError, ExpungeError, MissingExtra
from expunge.core.evidence import Proof
from expunge.core.outcome import Outcome, Overlay


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
