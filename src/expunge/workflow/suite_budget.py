"""At which budget a suite runs its attacks: a criterion's own, and what the caller asks for where none judges.

A margin is chosen at a budget, so that the criterion wins; asking for another is refused, never followed or ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expunge.core.attack import Budget, at_budget
from expunge.core.errors import ConfigError, EvidenceError
from expunge.core.registry import attacks
from expunge.core.suite import Suite


def attacks_of(suite: Suite, budget: Budget | None = None) -> dict[str, tuple[Budget, Any]]:
    """Name of a reading -> the budget that its attack is run at, and the attack with those settings.

    Args:
        suite: its readings name attacks, its policy's criteria the budgets of those that judge.
        budget: of the attacks that no criterion judges, ``quick`` by default.

    Raises:
        ConfigError: a criterion names another budget than is asked for, and it makes a difference to the attack.
        EvidenceError: an attack has other settings than a criterion pins.
    """
    criteria = {c.attack: c for c in suite.policy.criteria} if suite.policy else {}
    found: dict[str, tuple[Budget, Any]] = {}
    for reading in suite.readings:
        if reading.measure not in attacks.names():
            continue
        plain, criterion = attacks.get(reading.measure), criteria.get(reading.name)
        at: Budget = criterion.budget if criterion else budget or "quick"
        attack = at_budget(plain, at)
        if budget and at_budget(plain, budget).digest() != attack.digest():
            raise ConfigError(
                f"the suite {suite.name} judges {reading.name} at the {at} budget",
                why=f"its margin was chosen there, and the {budget} budget is asked for",
                next="Leave out the budget, or give a suite whose criterion names the other",
            )
        if criterion and criterion.settings and criterion.settings != attack.digest():
            raise EvidenceError(
                f"{reading.measure} is not the attack that the suite {suite.name} asks for",
                why=f"its criterion {reading.name} pins {criterion.settings}, this version has {attack.digest()}",
                next="Use the version of expunge that the suite was written for",
            )
        found[reading.name] = at, attack
    return found


def stated_attacks(suite: Suite, budget: Budget | None = None) -> dict[str, dict[str, str]]:
    """What a run keeps of its attacks: ``attack``, ``budget`` and the digest of the ``settings``, by reading."""
    return {
        name: {"attack": suite.reading(name).measure, "budget": at, "settings": attack.digest()}
        for name, (at, attack) in attacks_of(suite, budget).items()
    }


def made_with(kept: Mapping[str, Any], suite: Suite) -> dict[str, dict[str, str]]:
    """What ``stated_attacks`` said of a run; one of an earlier version ran all attacks at one budget.

    Args:
        kept: what its ``conclusion.json`` holds.
        suite: that was run.
    """
    if "attacks" in kept:
        return kept["attacks"]
    return {
        reading.name: {"attack": reading.measure, "budget": kept["budget"], "settings": ""}
        for reading in suite.readings
        if reading.measure in attacks.names()
    }


def made_otherwise(kept: Mapping[str, Any], suite: Suite) -> dict[str, str]:
    """Judged readings whose tables were made at another budget, or with other settings, than their criteria ask for.

    Loads no attack, for whoever reads a run again needs none.

    Args:
        kept: what a run's ``conclusion.json`` holds.
        suite: that judges.

    Returns:
        Name of a reading -> why it does not count.
    """
    made, found = made_with(kept, suite), dict[str, str]()
    for criterion in suite.policy.criteria if suite.policy else ():
        run = made.get(criterion.attack)
        if run and (run["budget"] != criterion.budget or criterion.settings not in ("", run["settings"])):
            found[criterion.attack] = (
                f"it was run at the {run['budget']} budget with other settings than its criterion asks for, which names"
                f" the {criterion.budget} budget: run the suite again"
            )
    return found
