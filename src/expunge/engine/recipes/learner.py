"""Fit a learner of the registry on every row of a store. Source: Cao & Yang 2015 (IEEE S&P), section 3."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.counting import tell
from expunge.core.errors import ConfigError
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.core.registry import learners
from expunge.core.seeds import derive
from expunge.data.rows import FIELDS
from expunge.data.table import Table
from expunge.execution.pool import Pool
from expunge.targets.learner import Learner, make

SEEDS = ("random_state", "seed")


@record
class LearnerRecipe:
    """A learner by its name, fitted on a table, or on the texts of a store.

    Args:
        name: in the registry of learners.
        settings: of the learner; ``{"learner": name, "settings": {...}}`` within them stands for another learner.
        inputs: field of a text record that is learned from, where the store is no table.
        labels: field that is to be told; empty for none.
        salt: hex; keeps the target's digest from telling who is in it. No part of the recipe's digest.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inputs: str = "question"
    labels: str = "relation"
    salt: str = ""

    kind = "learner"

    def digest(self) -> str:
        """Digest of all but the salt."""
        return digest({"name": self.name, "settings": self.settings, "inputs": self.inputs, "labels": self.labels})

    def start(self, *, seed: int) -> Any:
        """The learner before any row. If it draws at random it gets a seed, unless the settings give one; learners
        within its settings have only what is set for them.

        Raises:
            UnknownName: no such learner.
            ConfigError: the settings do not fit.
        """
        takes = inspect.signature(learners.get(self.name)).parameters
        drawn = {name: derive(seed, "learner") % 2**32 for name in SEEDS if name in takes and name not in self.settings}
        return make(self.name, {**self.settings, **drawn})

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Args:
            store: that will be learned from.
            seed: of the run.

        Raises:
            UnknownName: no such learner.
            ConfigError: the settings do not fit, or nothing says what is to be told of a row.
        """
        reads = getattr(self.start(seed=seed), "target", None)
        if reads and isinstance(store, Table) and store.y is None:
            what = f"{self.name} learns to tell a {reads} of each row, and the rows have none"
            raise ConfigError(what, next="Name its column: --label, or label= of open_table")

    def train(
        self, store: Store, *, seed: int, stage: str = "training", workdir: Path | None = None, pool: Pool | None = None
    ) -> Learner:
        """Fit on all of a store, in one pass; it needs neither a folder nor workers.

        Raises:
            ConfigError: a record has no such field.
            TargetError: the learner cannot be fitted on these rows.
        """
        started = time.perf_counter()
        ids, X, y = self._rows(store)
        fitted = self.start(seed=seed).fit(X, y, ids=ids)
        tell(seconds=time.perf_counter() - started, steps=0, tokens=0)
        return Learner(fitted, self.salt)

    def _rows(self, store: Store) -> tuple[list[str], Any, Any]:
        if isinstance(store, Table):
            return list(store.ids()), store.X, store.y
        for name in filter(None, (self.inputs, self.labels)):
            if name not in FIELDS or name == "perturbed_answer":
                raise ConfigError(f"a record has no text called {name!r}", next="Name a field such as question")
        examples = [example for shard in store.shards() for example in shard]
        X = [getattr(example, self.inputs) for example in examples]
        y = [getattr(example, self.labels) for example in examples] if self.labels else None
        return [example.record_id for example in examples], X, y


learner = LearnerRecipe
