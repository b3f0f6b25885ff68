"""Let a value that wraps a function show its name, module and docstring, so that doctest and help find it."""

from __future__ import annotations

import inspect
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


def ask_as_module(value: object, told: str | None) -> None:
    """Let an instance ask in its docstring what its module asks, whose own docstring its name hides.

    Args:
        value: what a module is about. A class, a function and whatever asks in a docstring of its own stay as they are.
        told: docstring of the module; its paragraph that begins with ``Question:`` is put at the end.
    """
    own = inspect.getdoc(value) or ""
    asked = [part for part in inspect.cleandoc(told or "").split("\n\n") if part.startswith("Question: ")]
    if asked and "uestion: " not in own and hasattr(value, "__dict__") and not callable(value):
        object.__setattr__(value, "__doc__", f"{own}\n\n{asked[0]}\n")
