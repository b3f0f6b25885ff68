"""What every accountant asks of its numbers, and the packages that some need."""

from __future__ import annotations

import importlib
import math
from numbers import Integral
from typing import Any

from expunge.core.errors import ConfigError, MissingExtra


def positive(name: str, value: float) -> float:
    """The number, if it is finite and above 0.

    Raises:
        ConfigError: it is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name} is {value}", why="it has to be a finite number above 0", next=f"Give another {name}")
    return value


def at_least_zero(name: str, value: float) -> float:
    """The number, if it is finite and not below 0.

    Raises:
        ConfigError: it is not.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(
            f"{name} is {value}", why="it has to be a finite number, 0 or more", next=f"Give another {name}"
        )
    return value


def probability(name: str, value: float, *, zero: bool = False, one: bool = False) -> float:
    """The number, if it lies between 0 and 1; the ends count where asked.

    Raises:
        ConfigError: it does not.
    """
    if not (0 < value < 1 or (zero and value == 0) or (one and value == 1)):
        span = f"{'[' if zero else '('}0, 1{']' if one else ')'}"
        raise ConfigError(f"{name} is {value}", why=f"it has to lie in {span}", next=f"Give another {name}")
    return value


def count(name: str, value: int, *, least: int = 0, most: int | None = None) -> int:
    """The number, if it is whole, not below ``least`` and not above ``most``.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigError(
            f"{name} is {value!r}", why=f"it has to be a whole number, {least} or more", next=f"Give another {name}"
        )
    if most is not None and value > most:
        why = f"numbers up to {most} are accounted for"
        raise ConfigError(f"{name} is above {most}", why=why, next=f"Give another {name}")
    return value


def exp(value: float) -> float:
    """e to the value; infinity where that is beyond any float."""
    return math.exp(value) if value < 709 else math.inf


def need(module: str, *, to: str) -> Any:
    """Import a module of the extra ``dp``.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(to, "dp", module.partition(".")[0].replace("_", "-")) from error
