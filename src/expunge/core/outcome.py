"""What a method returns: changed weights or state, or a removable overlay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from expunge.core.evidence import Receipt, Replay
from expunge.core.guarantee import Guarantee, Suppressed
from expunge.core.request import Wish
from expunge.core.selection import Selection

T = TypeVar("T")


@dataclass(frozen=True)
class Cost:
    """What an unlearning cost.

    Args:
        seconds: wall time.
        steps: optimiser steps.
        tokens: tokens that went through the model, forward and backward.
        flops: floating-point operations of these passes, by the model's own count of weights; 0 where not counted.
        peak_bytes: most memory that the process had held when it ended; on a GPU, that the run held there.
        bytes_changed: bytes of parameters that are not what they were before.
    """

    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    flops: int = 0
    peak_bytes: int = 0
    bytes_changed: int = 0

    def told(self) -> dict[str, float | int]:
        """What a run record says; what was not counted is left out, as in records from before it could be.

        >>> Cost(2.5, 10, 400, flops=7200).told()
        {'seconds': 2.5, 'steps': 10, 'tokens': 400, 'flops': 7200}
        """
        later = ("flops", "peak_bytes", "bytes_changed")
        return {name: value for name, value in vars(self).items() if value or name not in later}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Cost:
        """The cost that a run record tells.

        >>> Cost.read({"seconds": "2.5", "steps": 10, "tokens": 400})
        Cost(seconds=2.5, steps=10, tokens=400, flops=0, peak_bytes=0, bytes_changed=0)
        """
        whole = {name: int(value) for name, value in told.items() if name != "seconds"}
        return cls(float(told["seconds"]), **whole)


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
    notes: dict[str, Any] = field(default_factory=dict[str, Any])
    wish: Wish = "as_retrained"

    def __post_init__(self) -> None:
        _note_samples(self.notes, self.selection)


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
