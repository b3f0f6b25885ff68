"""Scores per item of several models, computed once from their score tables and brought to one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.core.columns import COLUMNS, split
from expunge.core.errors import EvidenceError
from expunge.core.measure import MEMBER, Score
from expunge.core.registry import metrics

Table = Mapping[str, Any]
Tables = Mapping[str, Mapping[str, Table | Sequence[Table]]]

LEFT_OUT = "left_out"
"""Role whose table says, by attack, why it was not run."""


class Unmeasured(Exception):
    """A number that cannot be had; the message is the reason that stands in its place."""


class PerItem:
    """Scores of every model on every role, each computed when it is first asked for.

    A role whose tables name subsets is also read in parts: ``general/world_facts`` is that subset of ``general``.

    Args:
        tables: model -> role -> score table, or one table a seed. A table maps columns to arrays or lists of one
            length, and holds ``ids`` and ``subjects``; a column named like a score is taken as that score.
        reasons: why a model lacks what it lacks, by model.
    """

    def __init__(self, tables: Tables, reasons: Mapping[str, str] | None = None) -> None:
        self.tables, self.reasons = tables, dict(reasons or {})
        self._orders: dict[str, dict[str, str]] = {}
        self._values: dict[tuple[str, str, str], np.ndarray] = {}
        self._parts: dict[tuple[str, str], list[Table]] = {}
        self.nulls: dict[tuple[str, str, str], float] = {}

    def of(self, model: str, role: str) -> list[Table]:
        """The tables of a model on a role, one a seed.

        Raises:
            Unmeasured: there is none.
        """
        whole, _, part = role.partition("/")
        found = self.tables.get(model, {}).get(whole)
        if not found:
            why = self.reasons.get(model) or self._why(model, whole)
            raise Unmeasured(why or f"{model} was not measured on {role}")
        tables = [found] if isinstance(found, Mapping) else list(found)
        if not part:
            return tables
        if not any("subsets" in table for table in tables) and self.parts(whole) == [whole]:
            raise Unmeasured(f"no record of {whole} is in the subset {part}")
        if (model, role) not in self._parts:
            self._parts[model, role] = [_part(table, part) for table in tables]
        return self._parts[model, role]

    def _why(self, model: str, attack: str) -> str:
        """Why an attack on a model was left out, if it was."""
        found = self.tables.get(model, {}).get(LEFT_OUT, ())
        for table in [found] if isinstance(found, Mapping) else found:
            if attack in table["ids"]:
                return str(table["why"][list(table["ids"]).index(attack)])
        return ""

    def parts(self, role: str) -> list[str]:
        """The role, or its subsets where its tables name any, sorted."""
        for roles in self.tables.values():
            if found := roles.get(role):
                table = found if isinstance(found, Mapping) else found[0]
                return [f"{role}/{subset}" for subset in sorted(set(table.get("subsets", ())))] or [role]
        return [role]

    def seeds(self, model: str) -> int:
        """Number of tables that a model has on a role."""
        return max((1 if isinstance(t, Mapping) else len(t) for t in self.tables.get(model, {}).values()), default=0)

    def subjects(self, role: str) -> list[str]:
        """The subject of each item, in the order of all values: that of the ids, sorted."""
        if role not in self._orders:
            whole = role.partition("/")[0]
            model = next((model for model, roles in self.tables.items() if roles.get(whole)), None)
            if model is None:
                why = next(filter(None, (self._why(name, whole) for name in self.tables)), "")
                raise Unmeasured(why or f"no model was measured on {role}")
            table = self.of(model, role)[0]
            pairs = zip(table["ids"], table["subjects"], strict=True)
            self._orders[role] = {str(key): str(subject or key) for key, subject in sorted(pairs)}
        return list(self._orders[role].values())

    def ids(self, role: str) -> list[str]:
        """The id of each item, in the same order."""
        self.subjects(role)
        return list(self._orders[role])

    def column(self, model: str, role: str, name: str, seed: int = 0) -> Any:
        """A column of one seed's table in the common order, None if it is not there."""
        tables = self.of(model, role)
        table = tables[min(seed, len(tables) - 1)]
        if name not in table:
            return None
        return _rows(table[name], self._positions(table, model, role))

    def values(self, model: str, role: str, name: str) -> np.ndarray:
        """A score, (seeds, items) in the common order; nan where an item has no value.

        Raises:
            Unmeasured: the tables lack what the score needs.
            EvidenceError: the tables of a role are not about the same records.
        """
        key = (model, role, name)
        if key not in self._values:
            rows = [self._score(table, model, role, name) for table in self.of(model, role)]
            self._values[key] = np.stack(rows)
        return self._values[key]

    def _positions(self, table: Table, model: str, role: str) -> list[int]:
        self.subjects(role)
        places = {str(key): i for i, key in enumerate(table["ids"])}
        if places.keys() != self._orders[role].keys() or len(places) != len(table["ids"]):
            other = sorted(places.keys() ^ self._orders[role].keys())[:3]
            why = f"for example {', '.join(other)}" if other else "an id occurs twice"
            raise EvidenceError(f"the tables of {role} are not about the same records for {model}", why=why)
        return [places[key] for key in self._orders[role]]

    def _score(self, table: Table, model: str, role: str, name: str) -> np.ndarray:
        order = self._positions(table, model, role)
        if name in table:
            return np.asarray(table[name], dtype=np.float64)[order]
        if name == MEMBER:
            raise Unmeasured(f"{model} is no shadow model")
        score: Score = metrics.get(name)
        absent = [need for need in score.needs if need not in table]
        if any(COLUMNS[split(need)[0]].source == "scorer" for need in absent):
            raise Unmeasured(f"no scorer was given for {', '.join(absent)}")
        if absent:
            lacks = f"needs {'+'.join(score.access.names)}, which the target does not grant"
            raise Unmeasured(self.reasons.get(model) or lacks)
        general = role.partition("/")[0] == "general"
        return np.asarray(score.of(own_for_paraphrase(table) if general else table), dtype=np.float64)[order]


def _rows(values: Any, order: Sequence[int]) -> Any:
    return values[list(order)] if isinstance(values, np.ndarray) else [values[i] for i in order]


def _part(table: Table, subset: str) -> Table:
    """The rows of a subset."""
    if "subsets" not in table:
        raise EvidenceError(f"a table has no subset {subset}", why="it names none where another model's does")
    order = [i for i, name in enumerate(table["subsets"]) if name == subset]
    return {name: _rows(values, order) for name, values in table.items()}


def outcomes(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows of an attack, one a record, as a table.

    >>> outcomes([{"record_id": "r1", "subject": "Ana", "probability": 0.25}])
    {'ids': ['r1'], 'subjects': ['Ana'], 'probability': array([0.25])}
    """
    numbers = [name for name in rows[0] if name not in ("record_id", "subject")] if rows else []
    return {
        "ids": [str(row["record_id"]) for row in rows],
        "subjects": [str(row["subject"]) for row in rows],
        **{name: np.array([float(row[name]) for row in rows]) for name in numbers},
    }


def left_out(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """Why attacks were not run, as a table.

    >>> left_out({"alias": "no question names a subject."})
    {'ids': ['alias'], 'subjects': ['alias'], 'why': ['no question names a subject.']}
    """
    return {"ids": list(reasons), "subjects": list(reasons), "why": list(reasons.values())}


def own_for_paraphrase(table: Table) -> Table:
    """The table with a fact's own answer in place of a paraphrase that it lacks, as TOFU scores its general facts."""
    columns = ("token_logp", "mask", "token_logp_paraphrase", "mask_paraphrase")
    if any(name not in table for name in columns):
        return table
    logp, mask, logp_other, mask_other = (np.asarray(table[name]) for name in columns)
    lacking = (mask_other > 0).sum(axis=1) == 0
    if not lacking.any():
        return table
    width = max(mask.shape[1], mask_other.shape[1])

    def merged(own: np.ndarray, other: np.ndarray) -> np.ndarray:
        wide = [np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in (own, other)]
        return np.where(lacking[:, None], *wide)

    return {
        **table,
        "token_logp_paraphrase": merged(logp, logp_other),
        "mask_paraphrase": merged(mask, mask_other),
    }
