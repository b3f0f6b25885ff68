"""What an attacker can do against (epsilon, delta). Source: Kairouz, Oh & Viswanath, arXiv 1311.0776, section 2.

The attacker sees the model, knows everything else, and decides between two worlds: with the record, or without. No
model, budget or cleverness is assumed away.
"""

from __future__ import annotations

import math

from expunge.accounting.given import at_least_zero, exp, positive, probability
from expunge.core.record import record


@record
class Reading:
    """An (epsilon, delta) in the words of an attack.

    Args:
        epsilon: nats.
        delta: probability.
        false_positive_rate: share of records that were never there which the attacker calls members.
        true_positive_rate: largest share of members that it can then find.
        prior: probability that it gave to membership before.
        posterior: largest probability after, but for an event of probability ``delta`` that may tell everything.
    """

    epsilon: float
    delta: float
    false_positive_rate: float
    true_positive_rate: float
    prior: float
    posterior: float

    def __str__(self) -> str:
        """One sentence, as certificates print it.

        >>> print(reading(math.log(3), 0.0, false_positive_rate=0.02, prior=0.5))
        an attacker with 2 % false positives finds 6 % of the members at best; a suspicion of 50 % becomes 75 % at most
        """
        rest = f", but for an event of probability {self.delta:g} that may tell everything" if self.delta else ""
        return (
            f"an attacker with {100 * self.false_positive_rate:.3g} % false positives finds "
            f"{100 * self.true_positive_rate:.3g} % of the members at best; "
            f"a suspicion of {100 * self.prior:.3g} % becomes {100 * self.posterior:.3g} % at most{rest}"
        )


def best_true_positive_rate(epsilon: float, delta: float, *, false_positive_rate: float) -> float:
    """The largest share of members that any attack finds at a share of false alarms.

    min(e^epsilon a + delta,  1 - e^-epsilon (1 - delta - a),  1)

    Args:
        epsilon: () nats, >= 0.
        delta: () probability, 0 <= delta < 1.
        false_positive_rate: a, probability.

    Returns:
        () probability.

    Raises:
        ConfigError: a number is out of range.

    >>> round(best_true_positive_rate(math.log(3), 0.01, false_positive_rate=0.02), 4)  # 3 * 0.02 + 0.01
    0.07
    >>> round(best_true_positive_rate(math.log(3), 0.01, false_positive_rate=0.5), 4)  # 1 - 0.49 / 3
    0.8367
    """
    at_least_zero("epsilon", epsilon)
    probability("delta", delta, zero=True)
    rate = probability("false_positive_rate", false_positive_rate, zero=True, one=True)
    above = exp(epsilon) * rate + delta if rate else delta
    return min(1.0, above, 1 - math.exp(-epsilon) * (1 - delta - rate))


def posterior(prior: float, *, epsilon: float) -> float:
    """The largest probability of membership after seeing the model, where delta is 0.

    odds after <= e^epsilon odds before

    With delta > 0 the mechanism acts as an (epsilon, 0) one but for a hidden event of probability delta; in that event,
    it may tell everything. That is not the same as: the odds seen stay below this except with probability delta.

    Args:
        prior: () probability. Before.
        epsilon: nats, >= 0.

    Returns:
        () probability.

    Raises:
        ConfigError: a number is out of range.

    >>> round(posterior(0.2, epsilon=math.log(6)), 4)  # odds 1/4 become 6/4
    0.6
    """
    at_least_zero("epsilon", epsilon)
    probability("prior", prior)
    return prior / (prior + (1 - prior) * math.exp(-epsilon))


def odds_exceeded(delta: float, *, slack: float) -> float:
    """The largest probability that the odds seen rise by more than e^(epsilon + slack).

    If dP/dQ > e^(epsilon + t) on E, then P(E) <= e^epsilon Q(E) + delta < e^-t P(E) + delta, so that
    P(E) <= delta / (1 - e^-t).

    Args:
        delta: () probability, 0 <= delta < 1.
        slack: t, nats, > 0.

    Returns:
        () probability.

    Raises:
        ConfigError: a number is out of range.

    >>> round(odds_exceeded(0.001, slack=math.log(5)), 6)  # 0.001 / (1 - 1/5)
    0.00125
    """
    probability("delta", delta, zero=True)
    positive("slack", slack)
    return min(1.0, delta / -math.expm1(-slack))


def reading(epsilon: float, delta: float, *, false_positive_rate: float = 0.01, prior: float = 0.5) -> Reading:
    """An (epsilon, delta) in the words of an attack.

    Args:
        epsilon: () nats, >= 0.
        delta: () probability, 0 <= delta < 1.
        false_positive_rate: probability. Of false alarms.
        prior: probability. Of membership, before.

    Returns:
        What the best attack reaches.

    Raises:
        ConfigError: a number is out of range.

    >>> reading(math.log(3), 0.01, false_positive_rate=0.02, prior=0.25).posterior
    0.5
    """
    found = best_true_positive_rate(epsilon, delta, false_positive_rate=false_positive_rate)
    after = posterior(prior, epsilon=epsilon)
    return Reading(epsilon, delta, false_positive_rate, found, prior, after)


def best_auc(epsilon: float, delta: float) -> float:
    """The largest area under the curve of any attack: that below ``best_true_positive_rate`` at all false alarms.

    1 - (1 - delta)^2 / (1 + e^epsilon)

    Args:
        epsilon: () nats, >= 0.
        delta: () probability, 0 <= delta < 1.

    Returns:
        () probability.

    Raises:
        ConfigError: a number is out of range.

    >>> round(best_auc(math.log(3), 0.2), 4)  # 1 - 0.64 / 4
    0.84
    """
    at_least_zero("epsilon", epsilon)
    probability("delta", delta, zero=True)
    return 1 - (1 - delta) ** 2 / (1 + exp(epsilon))
