"""From numbers to positions: nice ticks and linear scales."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from expunge.core.errors import EvidenceError

STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Span:
    """A number with its interval; without one, ``low`` and ``high`` are None.

    Raises:
        EvidenceError: a number is not finite, or an interval is upside down.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        given = [number for number in (self.value, self.low, self.high) if number is not None]
        if not all(math.isfinite(number) for number in given):
            raise EvidenceError("a number that is to be drawn is not finite", why=f"{given}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise EvidenceError("an interval is upside down", why=f"[{self.low}, {self.high}]")

    @property
    def ends(self) -> tuple[float, float]:
        """The interval, or the value twice."""
        return (
            self.value if self.low is None else min(self.low, self.value),
            self.value if self.high is None else max(self.high, self.value),
        )


@dataclass(frozen=True)
class Scale:
    """A linear map from a domain to pixels; increasing in the data if ``end > start``.

    >>> Scale(0, 2, 100, 0)(0.5)
    75.0
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Pixels; what lies outside the domain is drawn at its edge."""
        share = min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))
        return self.start + share * (self.end - self.start)


def nice_ticks(low: float, high: float, count: int = 5) -> tuple[float, ...]:
    """Round numbers that enclose a range.

    Args:
        low: () any unit. Smallest number to be shown.
        high: () the same unit. Largest number to be shown.
        count: () steps. About how many steps are wanted.

    Returns:
        At least two increasing multiples of 1, 2 or 5 times a power of ten; the first is <= low, the last >= high.

    >>> nice_ticks(0.03, 0.87)
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """
    low, high = min(low, high), max(low, high)
    least = 1e-9 * max(abs(low), abs(high), 1e-3)
    if high - low < least:
        pad = max(abs(low), 1.0) / 2
        low, high = low - pad, high + pad
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in STEPS if s * power >= rough * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step)))
    slack = 1e-9  # rounding alone must not add a tick
    first, last = math.floor(low / step + slack), math.ceil(high / step - slack)
    return tuple(round(k * step, decimals) + 0.0 for k in range(first, max(last, first + 1) + 1))


def tick_texts(ticks: Sequence[float], *, signed: bool = False) -> list[str]:
    """The ticks as text, all with as many decimals as the step needs.

    >>> tick_texts((0.0, 0.5, 1.0)), tick_texts((-10.0, 0.0, 10.0), signed=True)
    (['0.0', '0.5', '1.0'], ['−10', '0', '+10'])
    """
    step = min((b - a for a, b in itertools.pairwise(ticks)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    texts = []
    for tick in ticks:
        text = f"{abs(tick):.{decimals}f}" if decimals <= 6 and abs(tick) < 1e7 else f"{abs(tick):.3g}"
        sign = "" if tick == 0 else "−" if tick < 0 else "+" if signed else ""
        texts.append(sign + text)
    return texts


def enclosing(spans: Iterable[Span], *also: float) -> tuple[float, float]:
    """The smallest range that holds every interval and the further numbers; (0, 1) if there are none."""
    numbers = [end for span in spans for end in span.ends] + list(also)
    return (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
