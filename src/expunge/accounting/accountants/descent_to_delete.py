"""Gaussian noise over what descent-to-delete leaves after each request. Source: Neel et al., arXiv 2007.02923."""

from __future__ import annotations

import math
from collections.abc import Mapping

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.given import count
from expunge.accounting.strongly_convex import Descent
from expunge.core.errors import ConfigError

FLOATS = ("strong", "smooth", "lipschitz", "radius")
COUNTS = ("rows", "steps", "per_request")


def descent_to_delete(delta: float, numbers: Mapping[str, str]) -> float:
    """Epsilon of all publications since the first request; each adds its own shift squared.

    Where no state is secret, half of delta pays for the noise that is carried on.

    Args:
        delta: () probability.
        numbers: those of ``Descent``; ``bound``; ``sigma``; ``secret`` yes or no; ``heads``, models that each saw all
            rows; ``units`` that were forgotten so far; ``absent``, rows of the plan that were never in;
            ``publications`` since the first request, one a request.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range, more than half of the rows went, or more than so many requests may take.

    >>> known = {"strong": "0.5", "smooth": "1.5", "lipschitz": "3", "radius": "4", "rows": "100", "steps": "2"}
    >>> known |= {"per_request": "1", "bound": "paper", "heads": "4", "units": "7", "absent": "3", "publications": "9"}
    >>> round(descent_to_delete(0.3318951, {**known, "sigma": "0.48", "secret": "yes"}), 4)  # 3 * 2 * 0.16: 1/2 of it
    2.0
    >>> round(descent_to_delete(2 * 0.3318951, {**known, "sigma": "0.48", "secret": "no"}), 4)
    2.0
    """
    plan = Descent(
        **{name: float(numbers[name]) for name in FLOATS},
        **{name: int(numbers[name]) for name in COUNTS},
        bound=numbers["bound"],  # pyright: ignore[reportArgumentType]  # the record checks it
    )
    units, absent = count("units", int(numbers["units"])), count("absent", int(numbers["absent"]))
    heads, times = count("heads", int(numbers["heads"]), least=1), count("publications", int(numbers["publications"]))
    if plan.rows - units - absent < plan.fewest:
        raise ConfigError(f"{units + absent} of {plan.rows} rows", why="the bound holds for half of them at most")
    if units > times * plan.per_request:
        raise ConfigError(f"{units} units in {times} requests", why=f"one takes {plan.per_request} at most")
    if units == 0:
        return 0.0
    share = {"yes": delta, "no": delta / 2}[numbers["secret"]]
    return gaussian_epsilon(share, sigma=float(numbers["sigma"]), sensitivity=plan.shift * math.sqrt(heads * times))
