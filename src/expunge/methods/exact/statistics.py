"""Exact deletion from a learner that keeps statistics of its records. Source: Cao & Yang 2015 (IEEE S&P), section 3."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import digest
from expunge.core.errors import ClaimError
from expunge.core.evidence import Replay
from expunge.core.guarantee import Exact, Guarantee
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance import Statistics as Kept
from expunge.core.provenance_check import require_kind, require_provenance, require_whole
from expunge.core.selection import Selection
from expunge.methods.exact._held import require_as_held
from expunge.methods.exact._kept import kept_digest, salt_of


def largest_share(one: Mapping[str, Any], other: Mapping[str, Any], sizes: Mapping[str, float] | None = None) -> float:
    """How far two states are apart: of each array the largest difference over its size, of those the most.

    Args:
        one: state of a learner.
        other: state of a learner of the same kind.
        sizes: of arrays whose numbers are sums that may cancel, what they are sums of; of others, the largest number
            is the size.

    Returns:
        Infinity where they have other fields, shapes or words.

    >>> import numpy as np
    >>> largest_share({"first": np.array([4.0, 5.0])}, {"first": np.array([4.0, 8.0])})
    0.375
    >>> largest_share({"first": np.array([3.0])}, {"first": np.array([0.0])}, {"first": 12.0})  # of 6 - 6
    0.25
    """
    if one.keys() != other.keys():
        return math.inf
    most = 0.0
    for name, value in one.items():
        if not isinstance(value, (np.ndarray, float)):
            if value != other[name]:
                return math.inf
            continue
        a, b = np.asarray(value), np.asarray(other[name])
        if a.shape != b.shape or (a.dtype.kind != "f" and a.tolist() != b.tolist()):
            return math.inf
        if a.dtype.kind == "f" and a.size:
            apart, size = float(np.abs(a - b).max()), max(float(np.abs(b).max()), (sizes or {}).get(name, 0.0))
            most = max(most, apart / size if size else math.inf if apart else 0.0)
    return most


@dataclass(frozen=True)
class Statistics:
    """Ask the learner to unlearn the forgotten ids; each learner says how its sums, trees or centres follow.

    A learner in floats (``1e-12``) is deterministic, so that to be equal in distribution means to be equal up to
    rounding. That is not taken on trust: the learner is fitted anew on the rows that it holds, once, and the replay
    says how far apart the two are, as a share of the largest number of each statistic, or of what it sums where terms
    cancel. Beyond ``ROUNDING`` nothing is earned. It costs a fit; ``unlearn`` of the estimator itself does not check.

    Args:
        name: public name.
        version: raised when the method changes.
    """

    name: str = "statistics"
    version: str = "1"

    needs = Kept

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim; of a learner that is not exact bit for bit, equality in distribution."""
        return Exact("bitwise")

    def digest(self) -> str:
        """Digest of the method."""
        return digest({"name": self.name, "version": self.version})

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return a learner without the forgotten records.

        Args:
            target: a ``Learner``, which stays as it was.
            selection: what is forgotten.
            seed: noted; a learner keeps the seed of its own draws.
            workdir: not needed.

        Raises:
            ClaimError: the target is no such learner, or retain is a sample.
            StoreError: a record is not in the learner, or is not what it was fitted on.
        """
        from expunge.targets.learner import Learner

        self.check(target, selection, seed=seed)
        started = time.perf_counter()
        before = target.digest()
        after = target.unlearn(selection.forget.ids)
        replay = Replay(
            before=before, after=after.digest(), data=kept_digest(selection, frozenset(after.ids), salt=salt_of(after))
        )
        if target.exactness == "1e-12":
            again = Learner(after.estimator.refitted(), after.salt)
            states = after.estimator.state(), again.estimator.state()
            distance = largest_share(*states, again.estimator.sizes())
            replay = replace(replay, equals=again.digest(), distance=distance)
        notes: dict[str, Any] = {"exactness": target.exactness} if target.exactness else {}
        how = getattr(after.estimator, "last_deletion_", None)
        return Outcome(
            target=after,
            before=before,
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=self.claim if target.exactness == "bitwise" else Exact("distribution"),
            selection=selection,
            original=target,
            seed=seed,
            cost=Cost(seconds=time.perf_counter() - started),
            replay=replay,
            notes={**notes, "deletion": how} if how else notes,
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise of a target that it does not fit.

        Raises:
            ClaimError: the target is no learner with its estimator, or retain is a sample.
            StoreError: a record is not what the learner was fitted on.
        """
        from expunge.targets.learner import Learner

        require_kind(self.name, ("learner",), target)
        require_provenance(self.name, self.needs, target)
        require_whole(self.name, "retain", selection)
        if not isinstance(target, Learner):
            what, why = f"{self.name} works on a Learner", f"this target is a {type(target).__name__}"
            raise ClaimError(what, why=why, next="Train one with expunge train")
        require_as_held(target, selection)


statistics = Statistics()
