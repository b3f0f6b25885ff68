"""What the methods on models under a noisy plan share: what they refuse, and the outcome with its proof."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from expunge.accounting.recount import recount
from expunge.core.canonical import digest
from expunge.core.errors import ClaimError, RequestError
from expunge.core.evidence import Proof
from expunge.core.guarantee import Certified, Guarantee
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance import Convex
from expunge.core.provenance_check import require_kind, require_provenance
from expunge.core.selection import Selection
from expunge.targets.noisy.noise import DRAWN, Normal, drawn_from
from expunge.targets.noisy.target import NoisyModel, Setup

ADVERSARY: Literal["oblivious"] = "oblivious"


def asked_of(method: str, target: Any, selection: Selection) -> tuple[NoisyModel, NDArray[np.intp]]:
    """The target, and the places of the rows that are to be forgotten; rows that it does not hold cost nothing.

    Raises:
        ClaimError: no noisy model, one of another mechanism, or noise that follows from a seed.
        StoreError: another row stands under the id of one, or none would be left.
    """
    model = claimed_of(method, target)
    model.require_same(selection.forget)
    return model, model.places(selection.forget.ids)


def claimed_of(method: str, target: Any) -> NoisyModel:
    """The target, where the method can claim anything of it.

    Raises:
        ClaimError: no noisy model, one of another mechanism, or noise that follows from a seed.
    """
    require_kind(method, ("classifier",), target)
    require_provenance(method, Convex, target)
    if not isinstance(target, NoisyModel) or target.setup.mechanism != method:
        raise ClaimError(
            f"{method} answers for models that the recipe {method} trained",
            why=f"this one is of {target.provenance.hessian}",
            next="Choose the method of the recipe by which it was trained",
        )
    if target.setup.randomness == "seed":
        raise ClaimError(
            "nothing can be claimed of a training whose noise follows from its seed",
            why="whoever knows or guesses the seed subtracts the noise",
            next="Train it with randomness secret or secure",
        )
    return target


def require_requests(target: NoisyModel) -> None:
    """Raise unless the noise covers one more publication.

    Raises:
        RequestError: it does not.
    """
    plan: Any = target.setup.plan
    if target.requests >= plan.requests:
        raise RequestError(
            "the budget is spent",
            why=f"the noise was made for the models published after {plan.requests} requests, all together",
            next="Train again without the records, with more requests if there will be more",
        )


def most_units(target: NoisyModel, at_once: int) -> int:
    """Rows that may be forgotten in all, where every request that is left takes as many as one may.

    Args:
        target: after the request.
        at_once: rows that one request may take.
    """
    plan: Any = target.setup.plan
    left = max(0, plan.requests - target.requests) * at_once
    return min(target.setup.promise.most - target.absent, target.units + left)


def noise_of(target: NoisyModel) -> Normal:
    """Noise for a request; never keyed by a seed."""
    return drawn_from(target.setup.randomness, 0, "unlearning")


def numbers_of(target: NoisyModel, *left_out: str) -> dict[str, str]:
    """What an accountant reads: the numbers of the plan, heads, rows that went or never were there, publications.

    Args:
        target: after the request.
        left_out: numbers that the accountant does not read, or not as they are.
    """
    plan = target.setup.plan
    known: dict[str, Any] = {name: getattr(plan.known, name) for name in plan.known.__dataclass_fields__}
    known |= {"heads": plan.heads, "units": target.units, "absent": target.absent, "publications": target.requests}
    told = {name: value if isinstance(value, str) else repr(value) for name, value in known.items()}
    return {name: text for name, text in told.items() if name not in left_out}


def assumed_of(setup: Setup) -> tuple[str, ...]:
    """What every such proof rests on."""
    told = {"refuse": "were refused", "clip": "were brought back to it"}[setup.loss.beyond]
    return (
        "The records were named by somebody who had not seen a published model, or did not choose by one.",
        "What is given out is the published weights; rows and kept state stay with whoever trained.",
        "There was one line of requests: no second result was made from a state that was answered from before.",
        "Models published before a record was forgotten were shaped by it; what they tell is not covered.",
        DRAWN[setup.randomness],
        "Noise is added in float64, whose grid is not accounted for.",
        f"Rows have norm {setup.scale:g} at most, longer ones {told}; this, classes, columns, settings and the number "
        "of rows of the first training are public, and would be the same without the records.",
        "Another record with the same content, under another id, stays.",
    )


def proof_of(
    target: NoisyModel,
    *,
    numbers: Mapping[str, str],
    assumptions: tuple[str, ...],
    valid_until: int,
    retained: str,
) -> Proof:
    """The argument for all that was forgotten, with the epsilon that the accountant makes of the numbers.

    Args:
        target: after the request.
        numbers: for the accountant.
        assumptions: of the mechanism.
        valid_until: rows that may be forgotten in all.
        retained: on records that stay.
    """
    draft = Proof(
        target.setup.mechanism,
        (*assumptions, *assumed_of(target.setup)),
        tuple(sorted(numbers.items())),
        delta=target.setup.promise.delta,
        adversary=ADVERSARY,
        after=target.digest(),
        units=target.units,
        valid_until=valid_until,
        retained=retained,
    )
    return replace(draft, epsilon=recount(draft))


class NoisyMethod(ABC):
    """What these methods do alike; each says what a request takes, what it proves, and what stays behind."""

    name: str
    version: str
    needs = Convex

    @property
    def claim(self) -> Guarantee:
        """The kind of claim, with the epsilon of deleting nothing; that of a request is in its outcome."""
        return Certified(0.0, 0.0, ADVERSARY)

    def digest(self) -> str:
        """Digest of the method with all its settings."""
        return digest(vars(self))

    @abstractmethod
    def after(self, target: NoisyModel, places: NDArray[np.intp]) -> tuple[NoisyModel, int]:
        """The model without some rows, and the steps of each head."""

    def left(self, target: NoisyModel) -> dict[str, str]:
        """Files of a result that tell of what was forgotten; none, as a rule."""
        return {}

    @abstractmethod
    def prove(self, target: Any) -> Proof:
        """The argument for all that was forgotten so far."""

    @abstractmethod
    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise."""

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return the model after a request.

        Args:
            target: of the recipe of this name, which stays as it was.
            selection: what is forgotten; nothing else of it is read.
            seed: noted; the noise is never keyed.
            workdir: not needed.

        Raises:
            ExpungeError: what ``check`` raises, or a loss that breaks its constants.
        """
        since = time.perf_counter()
        self.check(target, selection, seed=seed)
        model, places = asked_of(self.name, target, selection)
        after, steps = self.after(model, places) if len(places) else (model, 0)
        proof, heads = self.prove(after), model.setup.plan.heads
        return Outcome(
            target=after,
            before=model.digest(),
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=Certified(proof.epsilon, proof.delta, ADVERSARY),
            selection=selection,
            original=model,
            seed=seed,
            cost=_cost(model, after, since, steps * heads),
            proof=proof,
            left=self.left(after) if after.units else {},
            notes={"steps": f"{steps} of each of {heads} heads"},
        )


def _cost(target: NoisyModel, after: NoisyModel, since: float, steps: int) -> Cost:
    moved = 8 * int(np.count_nonzero(after.weights != target.weights))
    return Cost(seconds=time.perf_counter() - since, steps=steps, bytes_changed=moved)
