"""Gaussian noise over what one Newton step leaves of all rows so far. Source: Sekhari et al., arXiv 2103.03279."""

from __future__ import annotations

import math
from collections.abc import Mapping

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.given import count
from expunge.accounting.strongly_convex import Removal
from expunge.core.errors import ConfigError

FLOATS = ("strong", "lipschitz", "hessian_lipschitz", "tolerance")


def one_shot_removal(delta: float, numbers: Mapping[str, str]) -> float:
    """Epsilon of all publications since the first request, each taken as shifted like the last.

    Args:
        delta: () probability.
        numbers: those of ``Removal``; ``bound``; ``sigma``; ``heads``, models that each saw all rows; ``units`` that
            were forgotten so far; ``absent``, rows of the plan that were never in; ``publications`` since the first
            request, one a request.

    Returns:
        () nats.

    Raises:
        ConfigError: a number is out of range, or more than half of the rows went.

    >>> known = {"strong": "0.5", "lipschitz": "2", "hessian_lipschitz": "0.1", "rows": "100", "tolerance": "1e-12"}
    >>> known |= {"bound": "paper", "sigma": "0.048", "heads": "9", "units": "3", "absent": "2", "publications": "4"}
    >>> round(one_shot_removal(0.3318951, known), 4)  # 2 * 3 * 2 * 0.1 * 25 * 4 / (0.125 * 10,000): sigma 1/2 of it
    2.0
    """
    plan = Removal(
        **{name: float(numbers[name]) for name in FLOATS},
        rows=int(numbers["rows"]),
        bound=numbers["bound"],  # pyright: ignore[reportArgumentType]  # the record checks it
    )
    units, absent = count("units", int(numbers["units"])), count("absent", int(numbers["absent"]))
    heads, times = count("heads", int(numbers["heads"]), least=1), count("publications", int(numbers["publications"]))
    gone = plan.shift(units + absent)
    if units == 0:
        return 0.0
    if times == 0:
        raise ConfigError(f"{units} units in no request")
    return gaussian_epsilon(delta, sigma=float(numbers["sigma"]), sensitivity=gone * math.sqrt(heads * times))
