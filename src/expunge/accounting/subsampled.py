"""DP-SGD for m records: T steps of Gaussian noise on Poisson samples. Source: Doroshenko et al., arXiv 2207.04380.

The number is that of the privacy loss distribution (PLD), by dp-accounting, whose cells round upwards. Its arithmetic
does not: to the composed delta the Fourier transform and the differences that fill the cells add an error of either
sign. Of a transformed step it is a few 2^-53, relative to what a frequency weighs, and T steps multiply that by T; so
epsilon is read at delta less ``ULPS`` 2^-53 T, which is 4 to 5 times the worst error that was found. Renyi divergence
(RDP) gives another upper bound, by another road. The smaller of both is stated: below that margin RDP alone. Where RDP
is below what PLD gives at delta plus the margin, one of both is wrong and nothing is stated. The central limit ("GDP")
is no bound and has no place here: at sigma 0.5, q 0.001, 100 steps and delta 1e-6 it states a tenth of what is true.

Assumed: each record is in each batch with probability q, by itself; each gradient is clipped to norm C and noise of
standard deviation sigma C is added to their sum; what is compared are trainings with and without the m records. Batches
drawn by shuffling have other numbers.

Without sampling (q = 1) T steps are one with noise sigma / sqrt(T), and the number is exact.
"""

from __future__ import annotations

import functools
import math
from importlib.metadata import version
from typing import Any

import numpy as np

from expunge.accounting.crosscheck import agree, sampled_renyi
from expunge.accounting.gaussian import gaussian_delta, gaussian_epsilon
from expunge.accounting.given import at_least_zero, count, need, positive, probability
from expunge.accounting.mixture import binomial, invert_log_ratio, log_ratio
from expunge.core.errors import ConfigError, EvidenceError
from expunge.core.record import record

FINEST, WIDTH, CELLS = 1e-6, 1e-2, 100_000
REACH, STEP = 10.0, 0.05
LOG_TAIL, TAIL = -51.0, 1e-15
RELATIVE = 1e-3
LEAST_NOISE, MOST_GUESSED, MOST_NOISE = 2.0**-6, 2.0**10, 2.0**20
MOST_STEPS, MOST_RECORDS, MOST_UNSAMPLED = 10**7, 10**6, 10**15
ULPS = 4.0
MANY, BLOCK = 2**16, 256
FINE_STEPS, MOST_CELLS = 2**18, 2**22


@record
class Accounted:
    """What an accountant found, with the other road beside it.

    Args:
        epsilon: nats, at ``delta``.
        delta: probability.
        records: that are deleted together.
        accountant: that found the smaller of both, with its version.
        renyi: epsilon by Renyi divergence, an upper bound as well; 0 where there is nothing to account for.
    """

    epsilon: float
    delta: float
    records: int
    accountant: str
    renyi: float


def sampled_epsilon(delta: float, *, sigma: float, q: float, steps: int, records: int = 1) -> Accounted:
    """Epsilon of DP-SGD for the deletion of m records, cross-checked.

    Args:
        delta: () probability.
        sigma: clipping norms. Noise multiplier.
        q: probability. That a record is in a sample, 0 < q <= 1.
        steps: T.
        records: m; none costs nothing.

    Returns:
        Epsilon with its accountant and the other bound.

    Raises:
        ConfigError: a number is out of range.
        EvidenceError: the accountants disagree, or one gives no number.
        MissingExtra: q < 1, without the extra ``dp``.

    >>> round(sampled_epsilon(0.3318951, sigma=2.0, q=1.0, steps=4, records=2).epsilon, 4)  # as sigma 1/2
    2.0
    """
    probability("delta", delta)
    if _nothing(sigma, q, steps, records):
        return Accounted(0.0, delta, records, "none needed", 0.0)
    renyi = sampled_renyi(delta, sigma=sigma, q=q, steps=steps, records=records)
    if q == 1:
        found = gaussian_epsilon(delta, sigma=sigma / math.sqrt(steps), records=records)
        agree(found, renyi, tolerance=RELATIVE)
        return Accounted(found, delta, records, "exact Gaussian", renyi)
    width = _loss(sigma, q, steps, records)._pmf_remove._discretization
    tolerance = RELATIVE + steps * width**2 / 8
    agree(_epsilon(min(delta + _margin(steps), 1.0), sigma, q, steps, records), renyi, tolerance=tolerance)
    found = _epsilon(delta - _margin(steps), sigma, q, steps, records) if delta > _margin(steps) else math.inf
    if found <= renyi:
        return Accounted(found, delta, records, f"dp-accounting {version('dp-accounting')} PLD", renyi)
    return Accounted(renyi, delta, records, "Renyi divergence", renyi)


def sampled_delta(epsilon: float, *, sigma: float, q: float, steps: int, records: int = 1) -> float:
    """Delta of DP-SGD at an epsilon by PLD, its margin included, for the deletion of m records; not cross-checked.

    Args:
        epsilon: () nats, >= 0.
        sigma: clipping norms. Noise multiplier.
        q: probability. That a record is in a sample, 0 < q <= 1.
        steps: T.
        records: m; none costs nothing.

    Returns:
        () probability.

    Raises:
        ConfigError: a number is out of range.
        MissingExtra: q < 1, without the extra ``dp``.

    >>> round(sampled_delta(2.0, sigma=2.0, q=1.0, steps=4, records=2), 4)  # as sigma 1/2: Phi(0) - e^2 Phi(-2)
    0.3319
    """
    at_least_zero("epsilon", epsilon)
    if _nothing(sigma, q, steps, records):
        return 0.0
    if q == 1:
        return gaussian_delta(epsilon, sigma=sigma / math.sqrt(steps), records=records)
    found = float(_loss(sigma, q, steps, records).get_delta_for_epsilon(epsilon))
    return min(1.0, max(0.0, found) + _margin(steps))


def sampled_sigma(epsilon: float, delta: float, *, q: float, steps: int, records: int = 1) -> float:
    """The least noise multiplier that is (epsilon, delta), rounded up by at most a thousandth of itself.

    Args:
        epsilon: () nats, > 0.
        delta: () probability.
        q: probability. That a record is in a sample, 0 < q <= 1.
        steps: T, one or more.
        records: m, one or more.

    Returns:
        () clipping norms.

    Raises:
        ConfigError: a number is out of range, or no usable noise is enough.
        EvidenceError: the accountants disagree at what was found.
        MissingExtra: q < 1, without the extra ``dp``.

    >>> round(sampled_sigma(2.0, 0.3318951, q=1.0, steps=4, records=2), 2)  # sigma / 4 = 0.5
    2.0
    """
    positive("epsilon", epsilon)
    probability("delta", delta)
    count("records", records, least=1)
    count("steps", steps, least=1)
    _nothing(LEAST_NOISE, q, steps, records)

    def enough(sigma: float) -> bool:
        if q < 1 and delta <= _margin(steps):
            return sampled_renyi(delta, sigma=sigma, q=q, steps=steps, records=records) <= epsilon
        return sampled_delta(epsilon, sigma=sigma, q=q, steps=steps, records=records) <= delta

    high, step = _about(epsilon, delta, q=q, steps=steps, records=records), 0.95
    while not enough(high):
        high *= 2
        if high > MOST_NOISE:
            why = f"it would take more than {MOST_NOISE:.0f} clipping norms"
            raise ConfigError(
                f"no usable noise is ({epsilon}, {delta})", why=why, next="Allow a larger epsilon or delta"
            )
    low = high * step
    while low > LEAST_NOISE and enough(low):
        high, step = low, step * step
        low = high * step
    while high - low > RELATIVE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    sampled_epsilon(delta, sigma=high, q=q, steps=steps, records=records)
    return high


def _about(epsilon: float, delta: float, *, q: float, steps: int, records: int) -> float:
    """Where to look for the least noise: a little above it, by Renyi divergence, which is quick."""

    def surely(sigma: float) -> bool:
        try:
            return sampled_renyi(delta, sigma=sigma, q=q, steps=steps, records=records) <= epsilon
        except EvidenceError:
            return False

    low, high = 0.5, 1.0
    while not surely(high):
        low, high = high, 2 * high
        if high > MOST_GUESSED:
            return 1.0
    while low > LEAST_NOISE and surely(low):
        low, high = low / 2, low
    while high - low > 0.02 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if surely(middle) else (middle, high)
    return high


def _nothing(sigma: float, q: float, steps: int, records: int) -> bool:
    """Whether there is nothing to account for; numbers that are out of range are refused."""
    positive("sigma", sigma)
    probability("q", q, one=True)
    least = min(count("steps", steps), count("records", records))
    for name, value, sampled in (("steps", steps, MOST_STEPS), ("records", records, MOST_RECORDS)):
        most = sampled if q < 1 else MOST_UNSAMPLED
        if value > most:
            why = f"{'sampled noise' if q < 1 else 'noise'} is accounted for up to {most}"
            raise ConfigError(f"{name} is {value}", why=why, next=f"Give fewer {name}")
    if q < 1 and sigma > MOST_NOISE:
        why = f"sampled noise is accounted for up to {MOST_NOISE:.0f} clipping norms"
        raise ConfigError(f"sigma is {sigma}", why=why, next="Give less noise")
    return least == 0


def _margin(steps: int) -> float:
    """What arithmetic may take off the composed delta."""
    return ULPS * 2.0**-53 * steps


def _interval(sigma: float, q: float, steps: int, records: int) -> float:
    """Width of a cell of the loss. All are safe, since cells round upwards, and add width^2 / 8 to a step at most.

    That is to be a small share of what a step tells, KL(Q | P) = -E_Q[ln P / Q]; so cells grow with it, and T steps of
    whatever noise end in as many. Below ``FINEST``, rounding of the differences of delta would weigh more. Beyond
    ``FINE_STEPS``, which would take long, cells grow with sqrt(T).
    """
    p_K = binomial(records, q)
    z_X = np.arange(-REACH, REACH, STEP)
    weight_X = np.exp(-z_X * z_X / 2) * STEP / math.sqrt(2 * math.pi)
    loss_X = log_ratio(z_X, sigma=sigma, p_K=p_K)
    told = max(0.0, -float(weight_X @ loss_X))
    at_least_K = np.cumsum(p_K[::-1])[::-1]
    shift = max(1, int(np.flatnonzero(at_least_K >= math.exp(LOG_TAIL))[-1])) / sigma
    shared = WIDTH * math.sqrt(told * max(1.0, steps / FINE_STEPS))
    return max(FINEST, shared, (shift * shift / 2 + 10 * shift) / CELLS)


@functools.lru_cache(maxsize=512)
def _epsilon(delta: float, sigma: float, q: float, steps: int, records: int) -> float:
    return float(_loss(sigma, q, steps, records).get_epsilon_for_delta(delta))


@functools.lru_cache(maxsize=8)
def _loss(sigma: float, q: float, steps: int, records: int) -> Any:
    """The composed privacy loss, which serves every delta and epsilon."""
    pld = need("dp_accounting.pld.privacy_loss_distribution", to="accounting for sampled DP-SGD")
    width = _interval(sigma, q, steps, records)
    if steps <= MANY:
        return pld.PrivacyLossDistribution(*_both(sigma, q, records, width)).self_compose(steps)
    # Where the composed loss may be cut off is sought among orders fit for few steps: of blocks it is cut much closer.
    blocks, rest = divmod(steps, BLOCK)
    while True:
        one = pld.PrivacyLossDistribution(*(cells.to_dense_pmf() for cells in _both(sigma, q, records, width)))
        block = one.self_compose(BLOCK, TAIL / blocks)
        size = max(block._pmf_remove.size, block._pmf_add.size) * math.sqrt(blocks)
        if size <= MOST_CELLS:
            break
        width *= 1.1 * size / MOST_CELLS
    many = block.self_compose(blocks, TAIL)
    return many.compose(one.self_compose(rest, TAIL), 0.0) if rest else many


def _both(sigma: float, q: float, records: int, width: float) -> list[Any]:
    try:
        return [_cells(sigma, q, records, width, added) for added in (False, True)]
    except RecursionError:
        why = f"all that a step tells lies within one cell of {width:g} nats"
        raise EvidenceError("an accountant gives no epsilon", why=why, next="Take less noise") from None


def _cells(sigma: float, q: float, records: int, width: float, added: bool) -> Any:
    """The loss of one step in cells: as ``from_mixture_gaussian_mechanism`` has it, but with its search done at once.

    That search takes nearly all of its time: a bisection for each cell, for the answer at which the loss is the cell's.
    Removed records have the loss L(z) = ln P / Q at -z, added ones -L at z, of one convex L.
    """
    mechanism = need("dp_accounting.pld.privacy_loss_mechanism", to="accounting for sampled DP-SGD")
    pmf = need("dp_accounting.pld.pld_pmf", to="accounting for sampled DP-SGD")
    p_K, sign = binomial(records, q), 1.0 if added else -1.0
    kind = mechanism.AdjacencyType.ADD if added else mechanism.AdjacencyType.REMOVE
    one = mechanism.MixtureGaussianPrivacyLoss(sigma, np.arange(records + 1.0), p_K, adjacency_type=kind)
    tail, search = one.privacy_loss_tail(), one.inverse_privacy_losses
    ends = sorted(sign * x / sigma for x in (tail.lower_x_truncation, tail.upper_x_truncation))

    def found(losses_X: Any) -> Any:
        z_X = invert_log_ratio(-sign * losses_X, sigma=sigma, p_K=p_K, low=ends[0], high=ends[1])
        left_X = np.isnan(z_X)
        if left_X.any():
            # The outermost cells reach beyond the table; the search wants some loss that has an answer beside them.
            left_X[len(z_X) // 2] = True
            z_X[left_X] = sign * search(losses_X[left_X]) / sigma
        return sign * sigma * z_X

    one.inverse_privacy_losses = found
    bounds = one.connect_dots_bounds()
    low, high = math.floor(bounds.epsilon_lower / width), math.ceil(bounds.epsilon_upper / width)
    delta_X = one.get_delta_for_epsilon(np.arange(low, high + 1) * width)
    return pmf.create_pmf_pessimistic_connect_dots_fixed_gap(width, low, high, delta_X)
