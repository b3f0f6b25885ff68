"""How many epochs each slice is trained for. Source: arXiv 1912.03817, slicing."""

from __future__ import annotations

import itertools
from typing import Literal

from expunge.core.errors import ConfigError

Rounding = Literal["carried", "nearest"]


def epochs_of(total: int, slices: int, rounding: Rounding = "carried") -> tuple[int, ...]:
    """Epochs e_r for which R slices cost as much as ``total`` epochs without slicing: a = 2 e' / (R + 1) each.

    Slices 1..r hold r/R of the rows, so that sum_r e_r r/R = e' for e_r = 2 e' / (R + 1). Rounded as the reference
    implementation does, e_r = int((r + 1) a) - int(r a) for r from 0, which carries the rest on; or each to the nearest
    integer, as the paper states one number for all.

    Args:
        total: e', epochs over a shard without slices.
        slices: R.
        rounding: ``carried`` or ``nearest``.

    Raises:
        ConfigError: a slice would be trained for no epoch, so that its rows might never be learned.

    >>> epochs_of(20, 5), epochs_of(20, 5, "nearest")
    ((6, 7, 7, 6, 7), (7, 7, 7, 7, 7))
    """
    if slices < 1 or total < 1:
        raise ConfigError(f"{slices} slices cannot be trained for {total} epochs", next="Give at least 1 of each")
    if 2 * total < slices + 1:
        raise ConfigError(
            f"{total} epochs are too few for {slices} slices",
            why="some slice would be trained for none",
            next=f"Give at least {(slices + 2) // 2} epochs, or fewer slices",
        )
    ends = [2 * total * r // (slices + 1) for r in range(slices + 1)]
    if rounding == "carried":
        return tuple(after - before for before, after in itertools.pairwise(ends))
    return (round(2 * total / (slices + 1)),) * slices
