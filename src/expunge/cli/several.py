"""Options that take several values: ``--seeds 0 1 2`` means ``--seeds 0 --seeds 1 --seeds 2``, which works too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from typer.core import TyperCommand


def expanded(arguments: Sequence[str], options: Collection[str]) -> list[str]:
    """Repeat an option before each of its values.

    Args:
        arguments: as typed; for a command without positional arguments.
        options: that take several values, each up to the next argument that starts with a dash.

    >>> expanded(["--seeds", "0", "1", "--out", "o", "--seeds", "2"], ["--seeds"])
    ['--seeds', '0', '--seeds', '1', '--out', 'o', '--seeds', '2']
    """
    found: list[str] = []
    option, first = "", False
    for argument in arguments:
        if argument.startswith("-") and not first:
            option = argument if argument in options else ""
            first = bool(option)
            found.append(argument)
            continue
        if option and not first:
            found.append(option)
        first = False
        found.append(argument)
    return found


class Several(TyperCommand):
    """A command whose repeatable options also take several values at once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Expand, then parse."""
        repeatable = [name for option in self.params if getattr(option, "multiple", False) for name in option.opts]
        return super().parse_args(ctx, expanded(args, repeatable))
