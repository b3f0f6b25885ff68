"""The epsilon of a proof, computed again from its numbers by whoever doubts it."""

from __future__ import annotations

import math
import sys

from expunge.core.errors import ClaimError, ConfigError, MissingExtra, UnknownName
from expunge.core.evidence import Proof
from expunge.core.registry import accountants

ROUNDING = 1e-9
"""Share of epsilon by which two machines may differ, unless the module of an accountant has a ROUNDING of its own."""


def recount(proof: Proof) -> float:
    """Epsilon of a proof's numbers at its delta.

    Raises:
        ClaimError: no accountant of that name, or the numbers are not what it reads.
        EvidenceError: the accountant gives none.
        MissingExtra: what it computes with is not installed.

    >>> numbers = (("q", "1.0"), ("sigma", "2.0"), ("steps", "4"), ("units", "2"))
    >>> round(recount(Proof("poisson_gaussian", ("...",), numbers, epsilon=2.0, delta=0.3318951)), 4)
    2.0
    """
    try:
        return float(accountants.get(proof.accountant)(proof.delta, dict(proof.numbers)))
    except MissingExtra:
        raise
    except UnknownName as error:
        raise ClaimError(f"no accountant is called {proof.accountant!r:.80}", why=error.why) from error
    except (KeyError, ValueError, ArithmeticError, ConfigError) as error:
        raise ClaimError(f"{proof.accountant} cannot read the numbers of the proof", why=str(error)[:200]) from error


def recounted(proof: Proof) -> str:
    """Where a proof states a smaller epsilon than its numbers come to; empty where it does not.

    >>> numbers = (("q", "1.0"), ("sigma", "2.0"), ("steps", "4"), ("units", "2"))
    >>> recounted(Proof("poisson_gaussian", ("...",), numbers, epsilon=1.5, delta=0.3318951, units=2))
    'the proof states epsilon 1.5; its numbers come to 2'
    >>> recounted(Proof("poisson_gaussian", ("...",), numbers, epsilon=2.5, delta=0.3318951, units=3))
    'the proof speaks of 3 units, its numbers of 2'
    """
    counted = dict(proof.numbers).get("units", str(proof.units))
    if counted != str(proof.units):
        return f"the proof speaks of {proof.units} units, its numbers of {counted}"
    found = recount(proof)
    rounding = getattr(sys.modules[accountants.get(proof.accountant).__module__], "ROUNDING", ROUNDING)
    if math.isfinite(found) and found <= proof.epsilon * (1 + rounding):
        return ""
    return f"the proof states epsilon {proof.epsilon:g}; its numbers come to {found:.4g}"
