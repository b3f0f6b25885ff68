"""What noisy votes tell of the placement of records. Source: Gupta et al., arXiv 2106.04378, theorem 3.1, alpha = 0."""

from __future__ import annotations

import math
from collections.abc import Mapping

from expunge.accounting.adaptive import votes_information
from expunge.accounting.given import count

MOST = {"answers": 10**7, "voters": 10**12, "shards": 10**12, "coordinates": 10**12}


def max_information(delta: float, numbers: Mapping[str, str]) -> float:
    """Epsilon of exact deletions from a model that is published through a noisy vote of its parts.

    Args:
        delta: () probability, 0 <= delta < 1.
        numbers: ``answers`` k in all, ``epsilon`` of one of them in nats, ``voters`` v that one coordinate of the
            randomness reaches, ``shards`` S and ``coordinates`` n.

    Returns:
        () nats; infinity where the bound needs more delta than is given.

    Raises:
        ConfigError: a number is out of range.

    >>> numbers = {"answers": "3", "epsilon": "0.5", "voters": "2", "shards": "8", "coordinates": "100"}
    >>> max_information(1e-9, numbers)  # 3 times 0.5 * 8 / 4
    3.0
    """
    answers, voters, shards, coordinates = (count(name, int(numbers[name]), most=most) for name, most in MOST.items())
    more = {"voters": voters, "shards": shards, "coordinates": coordinates}
    e1, d1 = votes_information(answers, epsilon=float(numbers["epsilon"]), slack=delta, **more)
    # 1 - (1 - slack) in floats may end a bit above the slack.
    return e1 if d1 <= delta * (1 + 1e-9) else math.inf
