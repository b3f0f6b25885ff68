"""Whether an outcome answers a request: its records, its wish, and with a model that holds none of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from expunge.core.errors import ClaimError
from expunge.core.outcome import Outcome, Overlay
from expunge.core.provenance import Convex, Guarded, Private, Replayable, Sharded, Statistics
from expunge.core.request import Records, Request


def check_answers(request: Request, outcome: Outcome[Any] | Overlay[Any]) -> None:
    """Raise unless an outcome forgot what a request names, no more and no less, and does instead what it wishes.

    Raises:
        ClaimError: it forgot something else, its target still names a forgotten record among those that it holds, or it
            answers another wish.
    """
    if request.wish != outcome.wish:
        raise ClaimError(
            f"the outcome does not answer {request.id}",
            why=f"it was made for the wish {outcome.wish}, not {request.wish}",
            next="Certify a request with its own outcome",
        )
    asked = set(request.scope.ids) if isinstance(request.scope, Records) else None
    forgot = set(outcome.selection.forget.ids)
    if asked != forgot:
        why = "its scope does not name records" if asked is None else f"{len(asked ^ forgot)} records are in one only"
        raise ClaimError(
            f"the outcome does not answer {request.id}", why=why, next="Certify a request with its own outcome"
        )
    still = forgot.intersection(_held(outcome.target))
    if still:
        raise ClaimError(
            f"the outcome does not answer {request.id}",
            why=f"its model still holds {len(still)} of the {len(forgot)} forgotten records",
            next="Run expunge unlearn again",
        )


def _held(target: Any) -> Collection[str]:
    """Ids of the records that a target says it holds, where it records them so that it can forget."""
    listing = (Statistics, Sharded, Replayable, Private, Convex, Guarded)
    known = isinstance(getattr(target, "provenance", None), listing)
    return getattr(target, "ids", ()) if known else ()
