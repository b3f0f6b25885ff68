"""Deletions asked for after seeing what was published. Source: Gupta et al., arXiv 2106.04378, theorem 3.1.

A guarantee for requests that were fixed before may fail for requests that depend on published models. It carries over
where what was published tells little of the internal randomness r (such as which record is in which shard). If pair
(r, published) is at most e^e1 times as likely as with both drawn apart, but for d1 (their max-information), then

    P[unlearned] <= e^e1 (e^alpha P[retrained] + beta) + d1,

jointly with what was published. A failure gamma becomes e^e1 gamma + d1, by the same step; that is kept here although
papers state gamma + d1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.accounting.composition import Loss, advanced, basic
from expunge.accounting.given import at_least_zero, count, exp, positive, probability
from expunge.core.record import record

LARGEST = 700.0


@record
class Adaptive:
    """A guarantee against an adversary that sees what was published before it asks.

    Args:
        alpha: nats; the epsilon of other papers.
        beta: probability; their delta.
        gamma: probability that the guarantee fails.
        epsilon1: nats; what adaptivity added to alpha.
        delta1: probability; what it added to beta.
    """

    alpha: float
    beta: float
    gamma: float
    epsilon1: float
    delta1: float


def max_information(epsilon: float, delta: float = 0.0, *, coordinates: int, slack: float = 0.0) -> Loss:
    """How much a release that is private in n independent coordinates tells of them all: (e1, d1).

    delta = 0:  e1 = min(n epsilon, epsilon^2 n / 2 + epsilon sqrt(n ln(2 / slack) / 2)),  d1 = slack
    delta > 0:  e1 = n epsilon,  d1 = delta (e^(n epsilon) - 1) / (e^epsilon - 1)

    The first is that of Dwork et al., arXiv 1506.02629, theorem 20. Why it holds: f = ln p(y | r) - ln p(y) moves by
    epsilon with each coordinate and has mean <= 0, so E_r[e^(s f)] <= e^(s^2 n epsilon^2 / 8) (Hoeffding); then
    P[f >= t | y] = E_r[e^f 1(f >= t)] <= e^(-(s - 1) t) E_r[e^(s f)] for s >= 1, which s = 4 t / (n epsilon^2) brings
    below slack. The second changes one coordinate after another. A form of order epsilon^2 n with a term in sqrt(delta)
    is known and not used: its constants were not verified here.

    Args:
        epsilon: () nats, >= 0. Of all that was published, where one coordinate changes.
        delta: () probability, 0 <= delta < 1.
        coordinates: n.
        slack: probability, 0 <= slack < 1. With 0, or where n epsilon is less, e1 = n epsilon and d1 = 0.

    Returns:
        (nats, probability)

    Raises:
        ConfigError: a number is out of range.

    >>> e1, d1 = max_information(0.2, coordinates=50, slack=2 * math.exp(-4))
    >>> round(e1, 6)  # 0.04 * 25 + 0.2 sqrt(100)
    3.0
    >>> round(max_information(math.log(3), 0.01, coordinates=2)[1], 6)  # 0.01 (9 - 1) / (3 - 1)
    0.04
    """
    at_least_zero("epsilon", epsilon)
    n, all_changed = count("coordinates", coordinates), coordinates * epsilon
    if probability("delta", delta, zero=True):
        if all_changed > LARGEST:
            return all_changed, 1.0
        growth = math.expm1(all_changed) / math.expm1(epsilon) if epsilon else n
        return all_changed, min(1.0, delta * growth)
    if probability("slack", slack, zero=True) == 0:
        return all_changed, 0.0
    typical = epsilon * epsilon * n / 2 + epsilon * math.sqrt(n * math.log(2 / slack) / 2)
    return (typical, slack) if typical < all_changed else (all_changed, 0.0)


def adaptive_guarantee(
    alpha: float, beta: float, gamma: float = 0.0, *, epsilon: float, delta: float = 0.0, coordinates: int, slack: float
) -> Adaptive:
    """A guarantee for fixed requests, made one for requests that depend on what was published.

    alpha' = alpha + e1,   beta' = beta e^e1 + d1,   gamma' = gamma e^e1 + d1

    Args:
        alpha: () nats, >= 0. For requests that were fixed before; the epsilon of other papers.
        beta: () probability. Their delta.
        gamma: () probability. That it fails.
        epsilon: nats, >= 0. Of all that was published, in the internal randomness.
        delta: probability. Of the same.
        coordinates: n, independent ones of the internal randomness.
        slack: probability, 0 <= slack < 1. As in ``max_information``.

    Returns:
        The guarantee; one whose beta or gamma is 1 says nothing.

    Raises:
        ConfigError: a number is out of range.

    >>> found = adaptive_guarantee(0.5, 0.01, 0.02, epsilon=math.log(3) / 2, coordinates=2, slack=0.0)  # e1 = ln 3
    >>> round(found.alpha, 4), round(found.beta, 4), round(found.gamma, 4)
    (1.5986, 0.03, 0.06)
    """
    at_least_zero("alpha", alpha)
    probability("beta", beta, zero=True)
    probability("gamma", gamma, zero=True)
    e1, d1 = max_information(epsilon, delta, coordinates=coordinates, slack=slack)
    more = [min(1.0, value * exp(e1) + d1) if value else d1 for value in (beta, gamma)]
    return Adaptive(alpha + e1, more[0], more[1], e1, d1)


def vote_probabilities(counts_NK: NDArray[Any], *, epsilon: float, voters: int) -> NDArray[np.float64]:
    """How likely each class is to be published for a vote: the exponential mechanism. Pure epsilon per answer.

    p_k proportional to exp(epsilon c_k / (2 v)): if v voters may change, each count moves by v at most

    Args:
        counts_NK: (N, K) votes. For each class.
        epsilon: nats, >= 0. Of one answer.
        voters: v, that one change of the internal randomness reaches: 2 where a record moves to another shard.

    Returns:
        (N, K) probability.

    Raises:
        ConfigError: a number is out of range.

    >>> vote_probabilities(np.array([[5, 3]]), epsilon=2 * math.log(3), voters=2).round(3).tolist()  # 3^5/2 to 3^3/2
    [[0.75, 0.25]]
    """
    at_least_zero("epsilon", epsilon)
    scores_NK = np.asarray(counts_NK, dtype=np.float64) * (epsilon / (2 * count("voters", voters, least=1)))
    p_NK = np.exp(scores_NK - scores_NK.max(axis=1, keepdims=True))
    return p_NK / p_NK.sum(axis=1, keepdims=True)


def votes_loss(answers: int, *, epsilon: float, slack: float = 0.0) -> Loss:
    """What all published votes tell together, by report-noisy-max or the exponential mechanism.

    Without slack (k epsilon, 0); with it, what ``advanced`` composition gives.

    Args:
        answers: () answers. k, over all releases; each row that is asked counts.
        epsilon: nats, > 0. Of one answer.
        slack: probability, 0 <= slack < 1.

    Returns:
        (nats, probability)

    Raises:
        ConfigError: a number is out of range.

    >>> votes_loss(40, epsilon=0.25)
    (10.0, 0.0)
    """
    losses = [(positive("epsilon", epsilon), 0.0)] * count("answers", answers)
    return advanced(losses, slack=slack) if probability("slack", slack, zero=True) else basic(losses)


def votes_information(
    answers: int, *, epsilon: float, voters: int, shards: int, coordinates: int, slack: float = 0.0
) -> Loss:
    """How much all answers of a vote of S parts tell of the internal randomness: (e1, d1), the least of two bounds.

    all parts at once:  k answers of b = epsilon S / (2 v) each, by ``votes_loss`` with and without slack
    by coordinate:      ``max_information`` of k epsilon in n coordinates

    The first holds whatever depends on what: between any two values of the randomness the chance of an answer differs
    by e^b at most, from all S votes for its class to all for another, since S epsilon / (2 v) is then all that its
    exponent moves by, and the sum below it is the same. So each answer is a release of epsilon b about the whole
    randomness, seen as one coordinate. The second needs coordinates that are independent. SISA with each record in one
    shard by a hash has n = records + shards of them, its places and what shards draw, each of which reaches v = 2 parts
    at most: the one that a record leaves and the one that it enters. Where each shard draws its records for itself, a
    record may be in several or none, n = S and v = 1. Deletions move no record and draw nothing, and add no coordinate.

    Args:
        answers: () answers. k, over all releases, before and after deletions.
        epsilon: nats, > 0. Of one answer, where v voters change.
        voters: v, that one coordinate reaches.
        shards: S, 1 at least.
        coordinates: n, independent ones of the internal randomness.
        slack: probability, 0 <= slack < 1.

    Returns:
        (nats, probability)

    Raises:
        ConfigError: a number is out of range.

    >>> votes_information(3, epsilon=0.5, voters=2, shards=8, coordinates=100)  # 3 times 0.5 * 8 / 4
    (3.0, 0.0)
    >>> e1, _ = votes_information(2, epsilon=0.1, voters=1, shards=800, coordinates=50, slack=2 * math.exp(-4))
    >>> round(e1, 6)  # 0.04 * 25 + 0.2 sqrt(100), below 2 * 0.1 * 800 / 2
    3.0
    """
    both = positive("epsilon", epsilon) * count("shards", shards, least=1) / (2 * count("voters", voters, least=1))
    found = [votes_loss(answers, epsilon=both)]
    if slack:
        found.append(votes_loss(answers, epsilon=both, slack=slack))
    found.append(max_information(answers * epsilon, coordinates=coordinates, slack=slack if answers else 0.0))
    return min(found)
