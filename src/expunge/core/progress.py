"""How far a long computation is: the library reports, the command line shows."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Generator

Reporter = Callable[[str, int, int, str], None]


def _silent(stage: str, done: int, total: int, note: str) -> None:
    return None


_reporter: contextvars.ContextVar[Reporter] = contextvars.ContextVar("reporter", default=_silent)


def report(stage: str, done: int, total: int, note: str = "") -> None:
    """Tell whoever listens that ``done`` of ``total`` parts of a stage are finished."""
    _reporter.get()(stage, done, total, note)


@contextlib.contextmanager
def listening(reporter: Reporter) -> Generator[None]:
    """Hear reports inside the block."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)
