"""What may still be spent, and for how many requests it lasts. Source: the ledger of Guo et al., arXiv 1911.03030, 3.2.

A budget has one amount, or several that are spent side by side: epsilon and delta, or a residual. Amounts add (basic
composition), which holds however the next request is chosen; tighter rules need numbers that were fixed before. Sums
are exact in the decimals that the record shows, so that whoever reads it comes to the same result.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from expunge.accounting.given import at_least_zero
from expunge.core.errors import ClaimError, ConfigError
from expunge.core.record import record

Amounts = tuple[tuple[str, float], ...]


@record
class Spend:
    """What one request took.

    Args:
        request: its name or digest.
        amounts: by name, in the units of the budget.
    """

    request: str
    amounts: Amounts


@record
class Budget:
    """What may be spent and what was; ``spend`` returns a new one and leaves this as it is.

    Args:
        total: by name: epsilon in nats, delta a probability, residual in units of the gradient.
        spends: in their order.
    """

    total: Amounts
    spends: tuple[Spend, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a ledger that cannot be one.

        Raises:
            ConfigError: no name, an amount that is no number from 0 up, or more spent than there was.
        """
        if not self.total or len(dict(self.total)) != len(self.total):
            raise ConfigError("a budget names no amount, or one twice", next="Give for example epsilon and delta")
        for name, value in self.total:
            at_least_zero(f"the total {name}", value)
        for spend in self.spends:
            self._costs(dict(spend.amounts))
        if any(left < 0 for left in self._left().values()):
            raise ConfigError("more was spent than there was", why=f"left is {self.left}", next="Check the record")

    @classmethod
    def of(cls, **total: float) -> Budget:
        """A budget of named amounts, of which nothing is spent.

        Raises:
            ConfigError: no name, or an amount is no number from 0 up.

        >>> Budget.of(residual=2.25).left
        {'residual': 2.25}
        """
        return cls(tuple(total.items()))

    @property
    def left(self) -> dict[str, float]:
        """What is left, by name."""
        return {name: float(value) for name, value in self._left().items()}

    def spend(self, request: str, **amounts: float) -> Budget:
        """The budget after a request. Nothing is kept of one that it cannot bear.

        Args:
            request: its name or digest.
            **amounts: by name; what is not named costs nothing.

        Raises:
            ConfigError: a name that the budget does not have, or an amount that is no number from 0 up.
            ClaimError: it is more than is left.

        >>> budget = Budget.of(epsilon=0.3, delta=1e-5)
        >>> for request in ("a", "b", "c"):
        ...     budget = budget.spend(request, epsilon=0.1, delta=2e-6)
        >>> budget.left  # in floats, 0.1 three times is more than 0.3
        {'epsilon': 0.0, 'delta': 4e-06}
        """
        costs, left = self._costs(amounts), self._left()
        for name, cost in costs.items():
            if cost > left[name]:
                why = f"request {request!r} takes {name} {float(cost):g}, and {float(left[name]):g} is left"
                raise ClaimError(
                    "the budget is spent", why=why, next="Train again with fresh noise, then start a new one"
                )
        return replace(self, spends=(*self.spends, Spend(request, tuple(amounts.items()))))

    def valid_until(self, **amounts: float) -> int | None:
        """How many more requests can be borne, each of which takes this much; None for any number.

        Args:
            **amounts: of one request, by name.

        Raises:
            ConfigError: a name that the budget does not have, or an amount that is no number from 0 up.

        >>> Budget.of(epsilon=1.0, delta=1e-5).spend("a", epsilon=0.25).valid_until(epsilon=0.25, delta=4e-6)
        2
        """
        left = self._left()
        return min((int(left[name] // cost) for name, cost in self._costs(amounts).items() if cost), default=None)

    def _costs(self, amounts: dict[str, float]) -> dict[str, Fraction]:
        if unknown := sorted(amounts.keys() - dict(self.total).keys()):
            why = f"it has {', '.join(name for name, _ in self.total)}"
            raise ConfigError(f"the budget has no {', '.join(unknown)}", why=why, next="Name what it has")
        return {name: _exact(at_least_zero(name, value)) for name, value in amounts.items()}

    def _left(self) -> dict[str, Fraction]:
        left = {name: _exact(value) for name, value in self.total}
        for spend in self.spends:
            for name, value in spend.amounts:
                left[name] -= _exact(value)
        return left


def _exact(value: float) -> Fraction:
    return Fraction(repr(float(value)))
