"""The score tables of several seeds as one: what was not measured at one seed is read at the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.core.errors import EvidenceError
from expunge.core.measure import SHADOWS
from expunge.evaluation.per_item import LEFT_OUT, Table

Measured = Mapping[str, Sequence[Mapping[str, Table]]]
"""Model -> its tables at each seed, each from role or attack to table."""


def seeds_with(found: Measured) -> dict[str, list[int]]:
    """Places of the seeds at which a role or attack was measured on every model that has it at all.

    A comparison pairs the models of one seed; so a seed at which one of them lacks it counts for none.

    >>> seeds_with({"npo": [{"alias": {}, "forget": {}}, {"forget": {}}], "filter": [{"forget": {}}, {"forget": {}}]})
    {'alias': [0], 'forget': [0, 1]}
    """
    paired = _at_several_seeds(found)
    roles = dict.fromkeys(role for tables in paired for table in tables for role in table if role != LEFT_OUT)
    having = {role: [tables for tables in paired if any(role in table for table in tables)] for role in roles}
    return {
        role: [seed for seed in range(len(who[0])) if all(role in tables[seed] for tables in who)]
        for role, who in having.items()
    }


def _at_several_seeds(found: Measured) -> list[Sequence[Mapping[str, Table]]]:
    """The tables of all but shadow models, whose number is not one of seeds, and of what was measured once."""
    paired = [tables for model, tables in found.items() if model not in SHADOWS and len(tables) > 1]
    if len({len(tables) for tables in paired}) > 1:
        raise EvidenceError("models differ in their number of seeds", why=f"found {sorted(map(len, paired))}")
    return paired


def over_seeds(found: Measured) -> dict[str, dict[str, Any]]:
    """Model -> role or attack -> tables, one a seed that has it; of a model with one seed the tables themselves.

    Args:
        found: model -> its tables at each seed, or those of each shadow model.

    Raises:
        EvidenceError: models differ in their number of seeds.
    """
    seeds, pooled = seeds_with(found), dict[str, dict[str, Any]]()
    for model, tables in found.items():
        if len(tables) == 1:
            pooled[model] = dict(tables[0])
            continue
        own = dict.fromkeys(role for table in tables for role in table)
        places = {role: range(len(tables)) if model in SHADOWS else seeds.get(role, range(len(tables))) for role in own}
        pooled[model] = {
            role: chosen for role in own if (chosen := [tables[s][role] for s in places[role] if role in tables[s]])
        }
    return pooled


def partly_measured(found: Measured) -> dict[str, dict[str, Any]]:
    """What is read at fewer seeds than there are, as facts of a run.

    Args:
        found: as for ``over_seeds``.

    Returns:
        Role or attack -> ``at``, the places of the seeds at which it is read, and ``why``, the reasons that the other
        seeds' tables give, each once.
    """
    facts: dict[str, dict[str, Any]] = {}
    for role, seeds in seeds_with(found).items():
        if len(seeds) < len(_at_several_seeds(found)[0]):
            given = [table[LEFT_OUT] for tables in found.values() for table in tables if LEFT_OUT in table]
            pairs = [pair for table in given for pair in zip(table["ids"], table["why"], strict=True)]
            why = dict.fromkeys(str(reason) for name, reason in pairs if name == role)
            facts[role] = {"at": seeds, "why": list(why)}
    return facts
