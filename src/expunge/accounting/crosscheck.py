"""The other road to the number of DP-SGD, and what it must never say. Source: Mironov et al., arXiv 1908.10530.

Renyi divergence (RDP) is an upper bound, as the privacy loss distribution (PLD) is, and never the tighter one of both.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager

from expunge.accounting.given import need
from expunge.accounting.mixture import renyi_mixture
from expunge.accounting.renyi import renyi_epsilon
from expunge.core.errors import EvidenceError

CLOSEST, FURTHEST = 1e-9, 1e100
"""Between which the order of a Gaussian's best bound, less 1, has to lie for floats."""


def agree(pld: float, renyi: float, *, tolerance: float) -> None:
    """Refuse a number that the other road contradicts: RDP is an upper bound as well, and never the tighter one.

    Args:
        pld: () nats. Epsilon by the privacy loss distribution.
        renyi: () nats. By Renyi divergence.
        tolerance: nats, and share of ``pld``. What rounding can explain.

    Raises:
        EvidenceError: RDP is below PLD by more, or one is no number.

    >>> agree(2.0, 1.97, tolerance=0.02)  # 0.03 apart; up to 0.06 is rounding
    >>> agree(2.0, 1.5, tolerance=0.02)
    Traceback (most recent call last):
    expunge.core.errors.EvidenceError: the accountants disagree. ...
    """
    for name, value in {"PLD": pld, "RDP": renyi}.items():
        if not (math.isfinite(value) and value >= 0):
            why = f"{name} gives {value}: the noise is too small, or delta below what it resolves"
            raise EvidenceError("an accountant gives no epsilon", why=why, next="Take more noise or a larger delta")
    if renyi < pld - tolerance * (1 + pld):
        why = f"RDP gives {renyi:.6g}, below the {pld:.6g} of PLD, which is never the larger one of the two"
        raise EvidenceError("the accountants disagree", why=why, next="State no epsilon for this; report the settings")


def sampled_renyi(delta: float, *, sigma: float, q: float, steps: int, records: int) -> float:
    """Epsilon of DP-SGD for the deletion of m records by Renyi divergence.

    One record by dp-accounting; more by quadrature of their mixture; without sampling by the formula of the Gaussian.

    Args:
        delta: () probability.
        sigma: clipping norms. Noise multiplier.
        q: probability. That a record is in a sample, 0 < q <= 1.
        steps: T, one or more.
        records: m, one or more.

    Returns:
        () nats, an upper bound.

    Raises:
        ConfigError: a number is out of range.
        EvidenceError: m records move the answer too far for any order.
        MissingExtra: one record and q < 1, without the extra ``dp``.

    >>> found = sampled_renyi(math.exp(-8), sigma=4.0, q=1.0, steps=4, records=2)
    >>> round(found, 2)  # a little below what order 5 gives: 4 * 5 / 8 + ln(4/5) + (8 - ln 5) / 4 = 3.87
    3.85
    """
    if q == 1:
        ratio = records / sigma
        best = math.sqrt(2 * math.log(1 / delta) / steps) / ratio if ratio else math.inf
        if not CLOSEST < best < FURTHEST:
            moved = f"{records} records move what is seen by {math.sqrt(steps) * ratio:.0e} deviations of the noise"
            way = "fewer records or more" if best <= CLOSEST else "less"
            raise EvidenceError("there is no number", why=f"{moved}, beyond every order", next=f"Take {way} noise")
        orders = [1 + best * 2 ** (eighths / 8) for eighths in range(-16, 17)]
        return renyi_epsilon({a: steps * a * ratio * ratio / 2 for a in orders}, delta=delta)
    if records == 1:
        rdp = need("dp_accounting.rdp", to="accounting for sampled DP-SGD")
        event = need("dp_accounting.dp_event", to="accounting for sampled DP-SGD")
        with _without_notes():
            accountant = rdp.RdpAccountant()
            accountant.compose(event.PoissonSampledDpEvent(q, event.GaussianDpEvent(sigma)), steps)
            return float(accountant.get_epsilon(delta))
    divergences = renyi_mixture(sigma=sigma, q=q, records=records)
    if not divergences:
        why = f"{records} records move the sum by {records / sigma:.0f} deviations of the noise, beyond every order"
        raise EvidenceError("there is no second number to check the first by", why=why, next="Take fewer records")
    return renyi_epsilon({a: steps * r for a, r in divergences.items()}, delta=delta)


@contextmanager
def _without_notes() -> Iterator[None]:
    """Without the notes on orders near 1 whose series does not converge: the accountant leaves those out by itself."""
    logger = logging.getLogger("absl")

    def wanted(note: logging.LogRecord) -> bool:
        return "failed to converge" not in note.getMessage()

    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)
