"""What an attack may ask for beside the model that it attacks, and the two budgets that it has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from expunge.core.access import Oracle
from expunge.core.errors import EvidenceError, UnknownName
from expunge.core.selection import SELECTED, Selection

Budget = Literal["quick", "full"]
ORIGINAL = "original"
GIVEN = (ORIGINAL, *SELECTED[1:])
"""What the keyword parameters of ``run`` may be named: the model before unlearning, and the roles beside forget."""
OWN = ("oracle", "probes", "seed")


def needs_of(attack: Any) -> tuple[str, ...]:
    """What an attack asks for beside the model and the forgotten records: the other parameters of its ``run``.

    Raises:
        UnknownName: a parameter is none of what can be had.
    """
    found = tuple(name for name in inspect.signature(attack.run).parameters if name not in OWN)
    for name in found:
        if name not in GIVEN:
            raise UnknownName("parameter of an attack", name, GIVEN)
    return found


def name_of(attack: Any) -> str:
    """What an attack is called in its settings, as in a policy; its class where it does not say."""
    return str(attack.settings().get("name", "") if hasattr(attack, "settings") else "") or type(attack).__name__


def at_budget(attack: Any, budget: Budget) -> Any:
    """An attack as it is, or with the settings of its ``full`` budget, a mapping from field to value.

    Raises:
        UnknownName: there is no such budget.
    """
    if budget not in ("quick", "full"):
        raise UnknownName("budget", budget, ["quick", "full"])
    fuller: Mapping[str, Any] = getattr(attack, "full", {})
    return replace(attack, **fuller) if budget == "full" and fuller else attack


def run_attack(
    attack: Any, oracle: Oracle, selection: Selection, *, seed: int, original: Oracle | None = None
) -> list[Mapping[str, Any]]:
    """Attack one model with all that the attack asks for.

    Args:
        attack: from the registry, at either budget.
        oracle: the attacked model.
        selection: whose forget set is probed, and whose other roles an attack may ask for.
        seed: of the attack.
        original: the model before unlearning; the arms of a comparison share it.

    Returns:
        Its rows, one an item.

    Raises:
        TargetError: the oracle does not grant what the attack needs.
        EvidenceError: it asks for what is not there.
    """
    given: dict[str, Any] = {}
    for name in needs_of(attack):
        found = original if name == ORIGINAL else selection.role(name)
        if not found:
            what = "the model before unlearning" if name == ORIGINAL else f"{name} records"
            raise EvidenceError(f"the attack {name_of(attack)} needs {what}", why="there are none")
        given[name] = found
    oracle.require(attack.access, name_of(attack))
    return attack.run(oracle, selection.forget, seed=seed, **given)
