"""Renyi divergence of noisy projected gradient steps after each request. Source: Chien et al., arXiv 2401.10371."""

from __future__ import annotations

from collections.abc import Mapping

from expunge.accounting.given import count
from expunge.accounting.strongly_convex import Walk
from expunge.core.errors import ConfigError

FLOATS = ("penalty", "smooth", "row_bound", "radius", "lr", "temperature")


def langevin(delta: float, numbers: Mapping[str, str]) -> float:
    """Epsilon of the last publication, and of all that is made of it, for all requests so far.

    Args:
        delta: () probability.
        numbers: those of ``Walk``, its ``steps`` and ``removed`` with spaces between; ``bound``; ``heads``, models that
            each saw all rows; ``units`` that were forgotten so far.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range, or fewer rows were removed than units forgotten.

    >>> known = {"penalty": "0.5", "smooth": "0.75", "row_bound": "2", "rows": "20", "lr": "0.5", "temperature": "0.2"}
    >>> known |= {"radius": "4", "steps": "1 0", "removed": "3", "bound": "derived", "heads": "2", "units": "3"}
    >>> 3.6 < langevin(0.001, known) < 4.51  # rho is 2 * 0.28125; at most rho + 2 sqrt(rho ln(1/delta)) = 4.505
    True
    """
    walk = Walk(
        **{name: float(numbers[name]) for name in FLOATS},
        rows=int(numbers["rows"]),
        steps=tuple(map(int, numbers["steps"].split())),
        removed=tuple(map(int, numbers["removed"].split())),
        bound=numbers["bound"],  # pyright: ignore[reportArgumentType]  # the record checks it
    )
    if (units := count("units", int(numbers["units"]))) > sum(walk.removed):
        raise ConfigError(f"{units} units, and {sum(walk.removed)} rows were removed")
    return walk.epsilon(delta, heads=int(numbers["heads"]))
