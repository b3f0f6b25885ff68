"""Let a value that wraps a function show its name, module and docstring, so that doctest and help find it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def present_as(value: object, function: Callable[..., Any], more: str = "") -> None:
    """Copy what identifies a function onto a frozen instance that wraps it.

    Args:
        value: the instance.
        function: that it wraps.
        more: paragraph that is put at the end of its docstring.
    """
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        object.__setattr__(value, name, getattr(function, name))
    if more and function.__doc__:
        object.__setattr__(value, "__doc__", f"{function.__doc__.rstrip()}\n\n    {more}\n")
    object.__setattr__(value, "__wrapped__", function)
