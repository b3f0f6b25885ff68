"""The account of a private training: its mechanism, who is in it, and how many were asked for back so far.

The mechanism is DP-SGD (arXiv 1607.00133): T times, each unit is drawn with probability q by itself, the gradient of
a drawn unit is clipped to norm C, and Gaussian noise of deviation sigma C is added to the sum. The divisor of the sum
is a setting, since one that followed from the number of records would tell of them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from expunge.accounting.given import count, positive, probability
from expunge.accounting.lasting import most_records
from expunge.accounting.subsampled import Accounted, sampled_epsilon
from expunge.core.canonical import digest, read_json
from expunge.core.errors import ClaimError, ConfigError, TargetError
from expunge.core.files import write_json
from expunge.core.record import record
from expunge.targets.noisy.noise import Randomness

FILE = "account.json"
Unit = Literal["record", "subject"]


@record
class Mechanism:
    """DP-SGD in numbers.

    Args:
        sigma: clipping norms. Noise multiplier.
        rate: probability q that a unit is in a step's sample, 0 < q <= 1.
        steps: T.
        clip: C, largest L2 norm of a unit's gradient.
        unit: what is drawn and clipped as one: a record, or all records of a subject together. A record that names no
            subject stands for itself.
        randomness: ``secret``: sample and noise come from a key of the operating system that is thrown away;
            ``seed``: from the training's seed, so that it repeats, and proves nothing to whoever may know the seed;
            ``secure``: from a cryptographic generator.
    """

    sigma: float
    rate: float
    steps: int
    clip: float
    unit: Unit = "record"
    randomness: Randomness = "secret"

    def __post_init__(self) -> None:
        positive("sigma", self.sigma)
        positive("clip", self.clip)
        probability("rate", self.rate, one=True)
        count("steps", self.steps, least=1)

    def epsilon(self, delta: float, *, units: int) -> Accounted:
        """Epsilon for the deletion of units; none costs nothing.

        Args:
            delta: probability.
            units: m.

        Raises:
            ConfigError: delta is no probability.
            EvidenceError: two accountants disagree.
            MissingExtra: without the extra ``dp``.
        """
        return sampled_epsilon(delta, sigma=self.sigma, q=self.rate, steps=self.steps, records=units)

    def named(self) -> str:
        """The mechanism in one line.

        >>> Mechanism(sigma=1.5, rate=0.25, steps=40, clip=2.0).named()
        'DP-SGD, Poisson samples, sigma 1.5, q 0.25, T 40, C 2, by record, randomness secret'
        """
        numbers = f"sigma {self.sigma:g}, q {self.rate:g}, T {self.steps}, C {self.clip:g}"
        return f"DP-SGD, Poisson samples, {numbers}, by {self.unit}, randomness {self.randomness}"


@record
class Account:
    """A mechanism with the units that are still in it, and the number that was asked for back.

    Whoever was forgotten is struck off the list, so that the account does not name them; their number remains. It names
    all others, and so is for whoever trained: what epsilon speaks of is the weights.

    Args:
        mechanism: of the training.
        delta: probability, of every statement.
        members: record id -> its unit.
        spent: units that were forgotten so far.
        limit: largest epsilon up to which requests are answered by the account, nats; None for no limit.
        salt: hex; keeps the digest from telling who is in it.
    """

    mechanism: Mechanism
    delta: float
    members: dict[str, str]
    spent: int = 0
    limit: float | None = None
    salt: str = ""

    def __post_init__(self) -> None:
        probability("delta", self.delta)
        count("spent", self.spent)
        if self.limit is not None:
            positive("limit", self.limit)

    def digest(self) -> str:
        """Salted digest over everything in it."""
        return digest(self)

    def units_of(self, ids: Collection[str]) -> set[str]:
        """The units that a request takes out. Records that are not in it cost nothing.

        Args:
            ids: of records.

        Raises:
            ClaimError: some of a subject's records would stay. What is clipped together would change by up to 2 C
                then, and no count of whole units bounds it.
        """
        wanted = {name for name in ids if name in self.members}
        units = {self.members[name] for name in wanted}
        torn = sorted({unit for name, unit in self.members.items() if unit in units and name not in wanted})
        if torn:
            raise ClaimError(
                f"{len(torn)} subjects would keep some of their records",
                why="their records were clipped together, so that the account covers whole subjects only",
                next="Ask for all of their records",
            )
        return units

    def forgetting(self, ids: Collection[str]) -> Account:
        """The account after a request; this one stays as it is.

        Raises:
            ClaimError: a subject would keep some records, or the epsilon of all requests so far is above the limit.
            EvidenceError: two accountants disagree.
        """
        gone = self.units_of(ids)
        left = {name: unit for name, unit in self.members.items() if unit not in gone}
        after = replace(self, members=left, spent=self.spent + len(gone))
        if self.limit is not None and (epsilon := after.accounted().epsilon) > self.limit:
            raise ClaimError(
                "the budget is spent",
                why=f"{after.spent} units in all take epsilon {epsilon:.4g}, and the limit is {self.limit:g}",
                next="Train again without them, with fresh noise",
            )
        return after

    def accounted(self) -> Accounted:
        """Epsilon for all units that were forgotten so far, together.

        Raises:
            EvidenceError: two accountants disagree.
            MissingExtra: without the extra ``dp``.
        """
        return self.mechanism.epsilon(self.delta, units=self.spent)

    def left(self) -> int | None:
        """How many more units fit below the limit; None without one. It asks the accountant a few times."""
        if self.limit is None:
            return None
        run, most = self.mechanism, self.spent + len(set(self.members.values()))
        found = most_records(self.limit, self.delta, sigma=run.sigma, q=run.rate, steps=run.steps, most=most)
        return max(0, found - self.spent)

    def write(self, folder: Path) -> None:
        """Write it as a file of a folder."""
        write_json(folder / FILE, TypeAdapter(Account).dump_python(self))


def read_account(folder: Path) -> Account:
    """The account that ``Account.write`` wrote.

    Raises:
        TargetError: missing or damaged.
    """
    if not (folder / FILE).is_file():
        raise TargetError(f"{folder} has no {FILE}", why="a private target without it can claim nothing")
    try:
        return TypeAdapter(Account).validate_python(read_json(folder / FILE))
    except (ValidationError, ConfigError) as error:
        raise TargetError(f"{folder / FILE} is no account", why=str(error).partition("\n")[0]) from error


def require_alike(folder: Path, card: dict[str, Any], found: str) -> None:
    """Raise unless a loaded target has the digest on its card.

    Raises:
        TargetError: it changed since it was saved.
    """
    if card.get("digest") != found:
        raise TargetError(
            f"the target in {folder} changed since it was saved", why="its digest differs from its card's"
        )
