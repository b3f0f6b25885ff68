"""What a training took, told by a recipe to whoever counts: a recipe returns its target and nothing else."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Generator
from dataclasses import dataclass


@dataclass
class Counted:
    """What the trainings inside a block took.

    Args:
        trainings: how many told of themselves.
        seconds: wall time, with that of processes that were killed before.
        steps: of the optimiser.
        tokens: that went forward and backward.
    """

    trainings: int = 0
    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0


_counted: contextvars.ContextVar[Counted | None] = contextvars.ContextVar("counted", default=None)


def tell(*, seconds: float, steps: int, tokens: int) -> None:
    """Tell whoever counts what a training took."""
    if (found := _counted.get()) is not None:
        found.trainings += 1
        found.seconds += seconds
        found.steps += steps
        found.tokens += tokens


@contextlib.contextmanager
def counting() -> Generator[Counted]:
    """Count what the trainings inside the block take.

    >>> with counting() as found:
    ...     tell(seconds=1.5, steps=3, tokens=70)
    ...     tell(seconds=2.0, steps=4, tokens=80)
    >>> found
    Counted(trainings=2, seconds=3.5, steps=7, tokens=150)
    """
    token = _counted.set(found := Counted())
    try:
        yield found
    finally:
        _counted.reset(token)
