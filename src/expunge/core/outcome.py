"""What a method returns: changed weights or state, or a removable overlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from expunge.core.evidence import Evidence, Proof, Receipt, Replay
from expunge.core.guarantee import Guarantee, Suppressed
from expunge.core.request import Wish
from expunge.core.selection import Selection

T = TypeVar("T")
PeakOf = Literal["", "process", "device"]


@dataclass(frozen=True)
class Cost:
    """What an unlearning, or a training, cost. None stands for what was not counted.

    Args:
        seconds: wall time.
        steps: optimiser steps.
        tokens: tokens that went through the model, forward and backward.
        flops: floating-point operations of these passes, by the model's own count of weights.
        peak_bytes: the most memory that was held, by whom ``peak_of`` says.
        bytes_changed: bytes of parameters that are not what they were before.
        peak_of: ``process``: the most that the process had ever held when the run ended, whatever ran in it before;
            ``device``: the most that the run held on a GPU; empty in records from before it was noted.
    """

    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    flops: int | None = None
    peak_bytes: int | None = None
    bytes_changed: int | None = None
    peak_of: PeakOf = ""

    def told(self) -> dict[str, Any]:
        """What a run record says; what was not counted is left out, as in records from before it could be.

        >>> Cost(2.5, 10, 400, flops=7200).told()
        {'seconds': 2.5, 'steps': 10, 'tokens': 400, 'flops': 7200}
        """
        return {name: value for name, value in vars(self).items() if value not in (None, "")}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Cost:
        """The cost that a run record tells.

        >>> Cost.read({"seconds": "2.5", "steps": 10, "tokens": 400})
        Cost(seconds=2.5, steps=10, tokens=400, flops=None, peak_bytes=None, bytes_changed=None, peak_of='')
        """
        kinds: dict[str, Any] = {"seconds": float, "peak_of": str}
        return cls(**{name: kinds.get(name, int)(value) for name, value in told.items()})

    def counted(self) -> str:
        """What of it comes out the same on every run: neither the clock nor memory. Empty where nothing was counted.

        >>> Cost(2.5, 10, 400, flops=7200, bytes_changed=64).counted()
        '10 steps, 400 tokens forward and backward, 7200 floating-point operations, 64 bytes of parameters changed'
        """
        parts = [f"{self.steps} steps, {self.tokens} tokens forward and backward"] if self.tokens else []
        parts += [f"{self.flops} floating-point operations"] if self.flops is not None else []
        parts += [f"{self.bytes_changed} bytes of parameters changed"] if self.bytes_changed is not None else []
        return ", ".join(parts)


def averaged(costs: Sequence[Cost]) -> Cost:
    """The mean cost of several runs of one method; of memory the largest, since a mean of high-water marks is none.

    Args:
        costs: of each run, one at least.

    >>> averaged([Cost(1.0, 10, 400, 7200, 90), Cost(2.0, 10, 500, 9000, 80)])
    Cost(seconds=1.5, steps=10, tokens=450, flops=8100, peak_bytes=90, bytes_changed=None, peak_of='')
    """

    def every(name: str) -> list[int] | None:
        found = [getattr(cost, name) for cost in costs]
        return None if None in found else found

    means = {n: round(sum(v) / len(v)) if (v := every(n)) else None for n in ("flops", "bytes_changed")}
    whose: set[PeakOf] = {cost.peak_of for cost in costs}
    one: PeakOf = next(iter(whose)) if len(whose) == 1 else ""
    return Cost(
        seconds=sum(cost.seconds for cost in costs) / len(costs),
        steps=round(sum(cost.steps for cost in costs) / len(costs)),
        tokens=round(sum(cost.tokens for cost in costs) / len(costs)),
        flops=means["flops"],
        peak_bytes=max(peaks) if (peaks := every("peak_bytes")) and len(whose) == 1 else None,
        bytes_changed=means["bytes_changed"],
        peak_of=one,
    )


def _note_samples(notes: dict[str, Any], selection: Selection) -> None:
    """State what of the selection was a sample, whichever method ran, so that the certificate says it."""
    if selection.sampled:
        held = {role: len(selection.role(role)) for role in selection.sampled}
        notes["sampled"] = {role: f"{held[role]} of {whole}" for role, whole in sorted(selection.sampled.items())}


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """A target whose weights or state changed.

    Args:
        target: after.
        before: digest of the target before.
        method: name and version of the method.
        recipe: digest of the method with all its settings.
        claim: the strongest guarantee that the method aims at; evidence may only lower it.
        selection: what was forgotten and kept.
        original: the target before; the method left it as it was, unless it works in place: then ``target`` itself.
        seed: of the run.
        cost: what it took.
        replay: digests of an exact recomputation, if the method is one.
        receipts: what byte scans found, if the method is a purge.
        proof: of epsilon and delta, if the method certifies.
        left: file or folder of the saved target -> why what is in it still tells of the forgotten records.
        notes: facts that the certificate should state, for example what a control measured.
        wish: what the target should do instead of knowing; evidence is read accordingly.
    """

    target: T
    before: str
    method: str
    recipe: str
    claim: Guarantee
    selection: Selection
    original: T
    seed: int
    cost: Cost = field(default_factory=Cost)
    replay: Replay | None = None
    receipts: tuple[Receipt, ...] = ()
    proof: Proof | None = None
    left: dict[str, str] = field(default_factory=dict[str, str])
    notes: dict[str, Any] = field(default_factory=dict[str, Any])
    wish: Wish = "as_retrained"

    def __post_init__(self) -> None:
        _note_samples(self.notes, self.selection)

    @property
    def own(self) -> tuple[Evidence, ...]:
        """The evidence that the method itself left; what was measured comes beside it."""
        return tuple(item for item in (self.replay, self.proof, *self.receipts) if item is not None)


@dataclass(frozen=True)
class Overlay(Generic[T]):
    """Something removable laid over an unchanged target. It can be no more than ``Suppressed``.

    Args:
        target: the guarded target; grants less access than what it wraps.
        base: the target below, unchanged.
        before: digest of the base.
        method: name and version.
        recipe: digest of the method with all its settings.
        selection: what was to be forgotten.
        seed: of the run.
        cost: what it took.
        notes: facts that the certificate should state.
        wish: what the target should do instead of knowing.
    """

    target: Any
    base: T
    before: str
    method: str
    recipe: str
    selection: Selection
    seed: int
    cost: Cost = field(default_factory=Cost)
    notes: dict[str, Any] = field(default_factory=dict[str, Any])
    wish: Wish = "as_retrained"

    def __post_init__(self) -> None:
        _note_samples(self.notes, self.selection)

    @property
    def original(self) -> T:
        """The target below."""
        return self.base

    @property
    def claim(self) -> Guarantee:
        """The most that an overlay can claim."""
        return Suppressed()

    def revoke(self) -> T:
        """The target below, as it was."""
        return self.base
