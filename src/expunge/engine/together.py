"""Scoring and generation shared out over the processes of a launch: each takes some batches, all get every result."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from expunge.core.errors import ExpungeError
from expunge.core.launch import started
from expunge.engine.parallel import APART, PATIENCE, check_launch, joined

T = TypeVar("T")
_DEALT: ContextVar[tuple[int, int]] = ContextVar("dealt", default=(0, 1))


class ProcessLost(ExpungeError):
    """Another process of the launch is not there. No attack may pass for left out because of it."""

    exit_code = 3


@contextmanager
def together() -> Generator[None]:
    """Within it, ``score`` and ``generate`` share their batches out; what they return is that of one process.

    Every process must make the same calls in the same order, since each waits for the others' results. The batches are
    those of one process, so that not even rounding differs. Training is not shared: each process trains the same copy
    for itself, since sums over processes would round otherwise. In a single process it changes nothing.

    Raises:
        ConfigError: processes were started that accelerate did not join.
    """
    state = joined()
    check_launch(state.distributed_type.name, state.num_processes, started(), os.environ)
    with _dealing(state.process_index, state.num_processes):
        yield


@contextmanager
def _dealing(rank: int, count: int) -> Generator[None]:
    dealing, apart = _DEALT.set((rank, count)), APART.set(True)
    try:
        yield
    finally:
        APART.reset(apart)
        _DEALT.reset(dealing)


def by_first(compute: Callable[[], T]) -> T:
    """What the first process alone computes, in each of them; what it calls is not shared out.

    >>> by_first(lambda: 3.5)
    3.5
    """
    rank, count = _DEALT.get()
    if count == 1:
        return compute()
    own: list[Any] = []
    if rank == 0:
        with _dealing(0, 1):
            own.append(compute())
    return _exchanged(own)[0]


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
    return {position: result for part in _exchanged([dict(own)]) for position, result in part.items()}


def _exchanged(own: list[Any]) -> list[Any]:
    """The lists of all processes, one after another, in each of them.

    Raises:
        ProcessLost: another process has ended, or was not there after ``PATIENCE``.
    """
    from accelerate.utils import gather_object

    try:
        return gather_object(own)
    except RuntimeError as error:
        what = f"another process of the launch ended, or did not come within {PATIENCE.days} days"
        why = "this one waited for its part of the evaluation"
        raise ProcessLost(what, why=why, next="See what it said") from error
