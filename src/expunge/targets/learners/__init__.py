"""Learners that forget rows by name: each keeps its rows, and predicts from statistics that a row can be taken out of.

All follow scikit-learn: ``fit``, ``partial_fit``, ``predict`` or ``transform``; and ``unlearn(ids)`` gives a new
learner, equal to one that never held those rows. ``exactness`` says how equal: ``bitwise``, ``1e-12`` or
``distribution``.
"""

import sys
from typing import Any

from expunge.core.errors import MissingExtra
from expunge.core.registry import RegistryPackage

THEIRS = ("sklearn", "scipy")


class _Learners(RegistryPackage):
    """The registry, which says what to install where a learner's packages are missing."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in THEIRS:
                raise
            raise MissingExtra(f"the learner {name}", "hf", missing.replace("sklearn", "scikit-learn")) from error


sys.modules[__name__].__class__ = _Learners
