"""Scoring and generation shared out over the processes of a launch: each takes some batches, all get every result."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from expunge.core.launch import started
from expunge.engine.parallel import check_launch

T = TypeVar("T")
_DEALT: ContextVar[tuple[int, int]] = ContextVar("dealt", default=(0, 1))


@contextmanager
def together() -> Generator[None]:
    """Within it, ``score`` and ``generate`` share their batches out; what they return is that of one process.

    Every process must make the same calls in the same order, since each waits for the others' results. The batches are
    those of one process, so that not even rounding differs. In a single process it changes nothing.

    Raises:
        ConfigError: processes were started that accelerate did not join.
    """
    from accelerate import Accelerator

    state = Accelerator()
    check_launch(state.distributed_type.name, state.num_processes, started(), os.environ)
    before = _DEALT.set((state.process_index, state.num_processes))
    try:
        yield
    finally:
        _DEALT.reset(before)


def dealt(batches: Iterable[T]) -> Iterator[T]:
    """The batches that this process takes: all, outside of ``together``.

    >>> before = _DEALT.set((1, 3))
    >>> list(dealt("abcdefg"))
    ['b', 'e']
    >>> _DEALT.reset(before)
    """
    rank, count = _DEALT.get()
    return (batch for number, batch in enumerate(batches) if number % count == rank)


def gathered(own: Mapping[int, T]) -> dict[int, T]:
    """Results by position, of all processes."""
    if _DEALT.get()[1] == 1:
        return dict(own)
    from accelerate.utils import gather_object

    return {position: result for part in gather_object([dict(own)]) for position, result in part.items()}
