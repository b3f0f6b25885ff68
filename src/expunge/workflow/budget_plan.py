"""How long a budget lasts where each record has a declared probability of deletion, and the noise that it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from expunge.accounting.deletions import expected_deletions, most_deletions, odds_of_more
from expunge.accounting.given import probability
from expunge.accounting.lasting import most_records
from expunge.accounting.subsampled import sampled_epsilon, sampled_sigma
from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError, EvidenceError
from expunge.core.record import record

Declared = Sequence[float] | Mapping[str, float]
ASSUMED = (
    "each record or subject is asked for by itself, with a probability that was declared before the training",
    "no probability follows from the data's content, and no request from the trained model",
)


@record
class Mechanism:
    """A private training in numbers, and what may be spent on it.

    Args:
        sigma: clipping norms. Noise multiplier.
        q: probability that a unit is in a sample.
        steps: T.
        delta: probability.
        epsilon: nats; up to which requests are answered by doing nothing. None for no limit.
        spent: units that were forgotten so far.
    """

    sigma: float
    q: float
    steps: int
    delta: float
    epsilon: float | None = None
    spent: int = 0


@record
class Plan:
    """What a period may bring.

    Args:
        mechanism: that it is about.
        gamma: probability that more are asked for than ``units``.
        records: with a probability; subjects where those are counted.
        expected: deletions in the period.
        units: in all, with those of before; exceeded with probability gamma at most.
        reached: nats, for so many; None where the accountants state none.
        valid_until: units in all for which the limit lasts; None without a limit.
        odds: probability that more than those are asked for; None without a limit.
        sigma: clipping norms; noise with which the limit lasts with probability 1 - gamma, of another training with
            these settings. None without a limit.
        assumed: what all of it rests on.
    """

    mechanism: Mechanism
    gamma: float
    records: int
    expected: float
    units: int
    reached: float | None
    valid_until: int | None
    odds: float | None
    sigma: float | None
    assumed: tuple[str, ...] = ASSUMED


def read_probabilities(path: Path) -> list[float] | dict[str, float]:
    """Declared probabilities of deletion: JSON, a list of them or an object from record id to probability.

    Raises:
        StoreError: it cannot be read.
        ConfigError: it is something else, or holds no probability.
    """
    body = read_json(path)
    values = list(body.values()) if isinstance(body, dict) else body
    if not isinstance(values, list) or not values:
        why = "it is to hold a list of probabilities, or an object from record id to probability"
        raise ConfigError(f"{path} declares no probabilities", why=why, next="Write for example [0.01, 0.2]")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{path} holds {value!r:.40}", why="it is no probability", next="Give a number")
        probability("a declared probability", value, zero=True, one=True)
    return body


def held_in(folder: Path, declared: Declared) -> tuple[Mechanism, list[float]]:
    """The mechanism of a private target, and the probability of each unit that is still in it.

    A unit of several records is asked for where one of them is: 1 - prod_i (1 - p_i).

    Args:
        folder: of a target that was trained with differential privacy.
        declared: probability of each of its records, by id; ids that it does not hold are left out.

    Raises:
        TargetError: it has no account.
        ConfigError: a record has no probability, or none has an id.
    """
    from expunge.targets.private.account import read_account

    account = read_account(folder)
    if not isinstance(declared, Mapping):
        next = "Give an object from record id to probability"
        raise ConfigError("the probabilities do not say whose they are", why=f"{folder} holds records by id", next=next)
    stay: dict[str, float] = {}
    for name, unit in account.members.items():
        if name not in declared:
            missing = sum(each not in declared for each in account.members)
            raise ConfigError(f"{missing} records of {folder} have no probability", next="Declare one for each")
        stay[unit] = stay.get(unit, 0.0) + (math.log1p(-declared[name]) if declared[name] < 1 else -math.inf)
    run = account.mechanism
    mechanism = Mechanism(run.sigma, run.rate, run.steps, account.delta, account.limit, account.spent)
    return mechanism, [-math.expm1(total) for total in stay.values()]


def plan_budget(mechanism: Mechanism, declared: Declared, *, gamma: float) -> Plan:
    """How many deletions a period may bring, what epsilon they take, and the odds that the limit lasts.

    Args:
        mechanism: of the training.
        declared: (n) probability that a unit is asked for in the period.
        gamma: probability that may be left to chance.

    Raises:
        ConfigError: a number is out of range, or no usable noise is enough.
        MissingExtra: batches are sampled, without the extra ``dp``.

    >>> found = plan_budget(Mechanism(8.0, 1.0, 4, 0.3319, 2.0), [0.5, 0.25, 0.2], gamma=0.05)
    >>> found.units, found.valid_until, round(found.sigma, 2)  # 2 deletions; sigma 4 is 1/2 for 8, and for 2 sigma 1 is
    (2, 3, 2.0)
    """
    chances = list(declared.values()) if isinstance(declared, Mapping) else list(declared)
    spent, limit, q, steps = mechanism.spent, mechanism.epsilon, mechanism.q, mechanism.steps
    units = spent + most_deletions(chances, gamma=gamma)
    plan = Plan(
        mechanism,
        gamma,
        len(chances),
        expected_deletions(chances),
        units,
        _reached(mechanism, units),
        *(None, None, None),
    )
    if limit is None:
        return plan
    numbers = {"sigma": mechanism.sigma, "q": q}
    lasts = most_records(limit, mechanism.delta, **numbers, steps=steps, most=spent + len(chances))
    odds = 1.0 if lasts < spent else odds_of_more(chances, lasts - spent)
    sigma = sampled_sigma(limit, mechanism.delta, q=q, steps=steps, records=units) if units else 0.0
    return replace(plan, valid_until=lasts, odds=odds, sigma=sigma)


def _reached(mechanism: Mechanism, units: int) -> float | None:
    numbers = {"sigma": mechanism.sigma, "q": mechanism.q}
    try:
        return sampled_epsilon(mechanism.delta, **numbers, steps=mechanism.steps, records=units).epsilon
    except EvidenceError:
        return None


def lines_of(plan: Plan) -> list[str]:
    """A plan in words."""
    run, limit = plan.mechanism, plan.mechanism.epsilon
    of = f", of which {run.spent} are forgotten" if run.spent else ""
    reached = "no stated epsilon" if plan.reached is None else f"epsilon {plan.reached:.6g}"
    lines = [
        f"{plan.records} records or subjects; {plan.expected:.6g} deletions are expected",
        f"no more than {plan.units} in all{of}, but for a chance of {100 * plan.gamma:g} %",
        f"{plan.units} take {reached} at delta {run.delta:g}",
    ]
    if limit is not None:
        lines += [
            f"the limit of epsilon {limit:g} lasts for {plan.valid_until} in all",
            f"the odds that more than those are asked for: {plan.odds:.3g}",
            f"noise that lasts with probability {1 - plan.gamma:g}: sigma {plan.sigma:.6g}, here it is {run.sigma:g}",
        ]
    return [*lines, *(f"assumed: {each}" for each in plan.assumed)]
