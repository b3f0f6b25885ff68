"""What a certified epsilon means for people, beside it in every certificate and in every privacy policy."""

from __future__ import annotations

import re
from dataclasses import replace

from expunge.accounting.attacker import reading
from expunge.core.certificate import Certificate
from expunge.core.guarantee import Certified

NOTE = "attacker"
"""Note of a certificate in which it stands."""
_NUMBER = re.compile(r"[0-9][0-9.e+-]*")


def told(claim: Certified) -> str:
    """One sentence on the best attack at 1 % false positives, and on what a suspicion of one half becomes.

    >>> told(Certified(0.0, 0.0, "adaptive")).partition(";")[0]
    'an attacker with 1 % false positives finds 1 % of the members at best'
    """
    return str(reading(claim.epsilon, claim.delta))


def with_reading(certificate: Certificate) -> Certificate:
    """A certificate that says what its epsilon means, where it earned one; and that says nothing of it where not."""
    notes = [(name, text) for name, text in certificate.notes if name != NOTE]
    if isinstance(certificate.earned, Certified):
        notes.append((NOTE, told(certificate.earned)))
    return certificate if tuple(notes) == certificate.notes else replace(certificate, notes=tuple(sorted(notes)))


def misread(certificate: Certificate) -> list[str]:
    """Where a certificate gives other numbers than its epsilon does; none if it does not. Its words may be older."""
    stated = dict(certificate.notes).get(NOTE)
    if stated is None or _NUMBER.findall(stated) == _NUMBER.findall(
        dict(with_reading(certificate).notes).get(NOTE, "")
    ):
        return []
    return [f"its note {NOTE!r} is not what its guarantee means"]


def readings(certificate: Certificate) -> list[str]:
    """What each certified artefact means, by its name."""
    found = ((a.name, a.earned) for a in certificate.artefacts)
    return [f"{name}: {told(earned)}" for name, earned in found if isinstance(earned, Certified)]
