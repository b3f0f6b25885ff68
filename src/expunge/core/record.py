"""The decorator of every stored noun: a frozen pydantic dataclass that refuses unknown fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import TypeVar, cast, dataclass_transform

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

C = TypeVar("C", bound=type)
CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: C) -> C:
    """Make a class a frozen dataclass whose fields are checked when it is built."""
    decorate = cast("Callable[[C], C]", dataclass(frozen=True, config=CONFIG))
    return decorate(cls)
