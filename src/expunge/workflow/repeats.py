"""Kept records that say, under ids of their own, what a forgotten one says: who can keep them, and what is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from expunge.core.errors import ScopeError
from expunge.core.guarantee import Exact
from expunge.core.registry import methods
from expunge.core.selection import Selection


def keeps_repeats(method: Any) -> bool:
    """Whether a method, or the one of a name, can forget one of two equal records: it rebuilds a model without it."""
    return isinstance(getattr(methods.get(method) if isinstance(method, str) else method, "claim", None), Exact)


def require_keeps(method: Any, selection: Selection) -> None:
    """Raise where a method would have to keep what it is to unlearn.

    Raises:
        ScopeError: it cannot; names a record.
    """
    if not keeps_repeats(method) and (repeated := selection.repeated):
        raise ScopeError(
            f"{method.name} cannot keep what it is to unlearn",
            why=f"kept records that repeat forgotten ones: {len(repeated)}, for example {repeated.ids[0]}",
            next="Name these records too, or choose an exact method",
        )


def with_repeats(outcome: Any, selection: Selection) -> Any:
    """An outcome whose notes say that kept records repeat forgotten ones, where any does."""
    if not (count := len(selection.repeated)):
        return outcome
    told = f"kept records that repeat forgotten ones: {count}; the result knows what they say"
    return replace(outcome, notes={**outcome.notes, "repeated": told})
