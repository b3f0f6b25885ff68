"""Take records out of a convex model by a Newton step under a stated (ε, δ). Source: Guo et al. 2020 (ICML), theorem 3.

Certified is the count ``worst`` alone, which knows numbers of records and no row. The counts ``bound`` and ``residual``
decide by rows and noise whether a step is published, and that shows: nothing is claimed of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expunge.accounting.accountants.objective_perturbation import objective_perturbation
from expunge.core import provenance
from expunge.core.canonical import digest
from expunge.core.errors import ClaimError
from expunge.core.evidence import Proof
from expunge.core.guarantee import Certified, Guarantee, Unproven
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance_check import require_kind, require_provenance
from expunge.core.selection import Selection
from expunge.targets.convex.model import UNSOUND
from expunge.targets.convex.target import ConvexTarget

RETAINED = "not protected: who sees the model before and after a deletion may learn of any record from the difference"
NOT_CERTIFIED = "it is not certified, and telling it would itself tell of rows and noise"


def numbers_of(target: ConvexTarget) -> tuple[tuple[tuple[str, str], ...], float]:
    """What the accountant reads, sorted, and δ of all of it."""
    model, found = target.model, dict[str, str]()
    each = model.delta / model.heads
    delta = model.delta + model.tail
    found |= {"sigma": repr(float(model.sigma)), "residual": repr(float(model.residual)), "delta_head": repr(each)}
    found |= {"heads": str(model.heads), "units": str(target.forgotten), "tail": repr(model.tail)}
    found |= {"certify_on": model.certify_on, "lam": repr(float(model.lam)), "n": str(len(target.ids))}
    found["units_before_training_at_worst"] = str(model.lasts())
    account = None if target.features is None else target.features.account_with(target.features_units)
    if account is not None:
        mechanism, units = account.mechanism, account.spent if target.forgotten else 0
        delta += account.delta
        found |= {"features_sigma": repr(mechanism.sigma), "features_q": repr(mechanism.rate)}
        found |= {"features_steps": str(mechanism.steps), "features_units": str(units)}
        found["features_delta"] = repr(account.delta)
    return tuple(sorted(found.items())), delta


def assumed(target: ConvexTarget) -> tuple[str, ...]:
    """What a proof rests on beside its numbers."""
    model, features = target.model, target.features
    said = [
        *model.assumptions(),
        "what is published of the target is coef.safetensors and this certificate; how long a request took is not",
        "a copy of a record under another id is another record",
        "once the budget is spent the model is trained again on what is left, with fresh noise",
    ]
    if features is None:
        return tuple(said)
    named = f"the features' model {features.digest}"
    account = features.account_with(target.features_units)
    if account is not None:
        said.append(
            f"{named} was trained with differential privacy; its epsilon for the same records is added (basic "
            "composition), and its base, where it has one, did not see them"
        )
        if (left := account.left()) is not None:
            said.append(
                f"requests are refused beyond {left} more {account.mechanism.unit}s of those that the features' model "
                "was trained on; records that it never saw are not among them"
            )
    elif features.known:
        said.append(f"{named} was not trained on these records under other ids; its own list holds none of theirs")
    else:
        said.append(f"{named} was trained on data without these records: nothing was recorded that would show it")
    return tuple(said)


def unproven(target: ConvexTarget) -> str:
    """Why nothing is claimed of a target; empty where something is."""
    if target.model.certify_on != "worst":
        return f"certify_on {target.model.certify_on}: {UNSOUND}"
    return "" if target.ids else "no record is left, and so no model of which anything could be said"


@dataclass(frozen=True)
class Newton:
    """One Newton step for all records of a request; a training on what is left where that would spend the budget.

    Records that the model does not hold cost nothing. A training whose randomness follows from its seed is refused:
    whoever knows or guesses the seed subtracts the noise.

    Args:
        name: public name.
        version: raised when the method changes.
    """

    name: str = "newton"
    version: str = "1"

    needs = provenance.Convex

    @property
    def claim(self) -> Guarantee:
        """The kind of claim, with the epsilon of deleting nothing; that of a request is in its outcome."""
        return Certified(0.0, 0.0, "oblivious")

    def digest(self) -> str:
        """Digest of the method."""
        return digest({"name": self.name, "version": self.version})

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return a model without the forgotten records.

        Args:
            target: a convex one, which stays as it was.
            selection: what is forgotten; nothing else of it is read.
            seed: noted; fresh noise, where it is drawn, comes from where the first came from.
            workdir: not needed.

        Returns:
            A claim of epsilon for all records that were forgotten so far, with its proof; of what is counted from rows
            and noise, or where no record is left, a result of which nothing is claimed.

        Raises:
            ClaimError: what ``check`` raises.
            TargetError: the model cannot be trained again on what is left.
        """
        since = time.perf_counter()
        self.check(target, selection, seed=seed)
        after = target.forgetting(selection.forget.ids)
        proof = self.prove(after)
        notes = {}
        if after.model.certify_on != "worst" and after.ids:
            notes["counted"] = f"what was counted on {after.model.certify_on} is in secret.json: {NOT_CERTIFIED}"
        return Outcome(
            target=after,
            before=target.digest(),
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=Certified(proof.epsilon, proof.delta, "oblivious") if proof else Unproven(unproven(after)),
            selection=selection,
            original=target,
            seed=seed,
            cost=Cost(seconds=time.perf_counter() - since),
            proof=proof,
            left=after.left(),
            notes=notes,
        )

    def prove(self, target: Any) -> Proof | None:
        """The argument for all records that were forgotten so far; it follows from the target alone.

        Args:
            target: a convex one, as it came of ``unlearn``.

        Returns:
            None where nothing can be claimed: the count looked at rows and noise, no record is left, or the noise
            follows from a seed.

        Raises:
            ClaimError: no convex target, or the noise of its features' model follows from a seed.
            ConfigError: the formula does not hold at so large an ε.
            EvidenceError: two accountants of the features' model disagree.
            TargetError: the features' model changed.
        """
        self._require(target)
        if target.model.seed is not None or unproven(target):
            return None
        numbers, delta = numbers_of(target)
        return Proof(
            "objective_perturbation",
            assumed(target),
            numbers,
            epsilon=objective_perturbation(delta, dict(numbers)),
            delta=delta,
            adversary="oblivious",
            after=target.digest(),
            units=target.forgotten,
            valid_until=None,
            retained=RETAINED,
        )

    def _require(self, target: Any) -> None:
        if not isinstance(target, ConvexTarget):
            what, why = f"{self.name} works on a ConvexTarget", f"this target is a {type(target).__name__}"
            raise ClaimError(what, why=why, next="Train one with expunge train --recipe convex")

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise of a target or a request that does not fit.

        Raises:
            ClaimError: no convex target; randomness that follows from a seed, of the model or of that of its
                features; their budget is spent, or a subject of theirs would keep some of its records.
            TargetError: the features' model changed.
        """
        require_kind(self.name, ("learner",), target)
        require_provenance(self.name, self.needs, target)
        self._require(target)
        if target.model.seed is not None:
            raise ClaimError(
                "nothing can be claimed of a training whose noise follows from its seed",
                why="whoever knows or guesses the seed subtracts the noise",
                next="Train it with randomness secret",
            )
        if target.features is not None:
            held = set(target.ids)
            asked = [name for name in selection.forget.ids if name in held]
            target.features.spending(target.features_units, asked)


newton = Newton()
