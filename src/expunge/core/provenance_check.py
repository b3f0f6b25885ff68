"""A method that needs more than a target has refuses before it changes anything."""

from __future__ import annotations

from typing import Any

from expunge.core.errors import ClaimError
from expunge.core.provenance import Plain
from expunge.core.selection import Selection


def require_provenance(method: str, needs: type[Any], target: Any) -> None:
    """Raise unless the target's provenance is what the method needs. Every target is at least Plain.

    Raises:
        ClaimError: says what the target lacks.
    """
    if needs is not Plain and not isinstance(target.provenance, needs):
        raise ClaimError(
            f"{method} needs a target with provenance {needs.__name__}",
            why=f"this {target.kind} has {type(target.provenance).__name__}",
            next=f"Train it with a recipe that records {needs.__name__}, or choose a method that needs less",
        )


def require_kind(method: str, kinds: tuple[str, ...], target: Any) -> None:
    """Raise unless the target is of a kind that the method can change.

    Raises:
        ClaimError: says which kinds it can.
    """
    if target.kind not in kinds:
        raise ClaimError(
            f"{method} works on {' or '.join(kinds)}",
            why=f"this target is a {target.kind}",
            next="Choose another method",
        )


def require_whole(method: str, role: str, selection: Selection) -> None:
    """Raise if the selection holds only a sample of a role that the method must have whole.

    Raises:
        ClaimError: says how much of it there is.
    """
    if role in selection.sampled:
        raise ClaimError(
            f"{method} needs the whole {role} set",
            why=f"the selection holds a sample of {len(selection.role(role))} of {selection.sampled[role]} records",
            next="Resolve the scope without a sample, or choose a method that takes gradient steps",
        )
