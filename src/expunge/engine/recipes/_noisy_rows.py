"""What the recipes of noisy training share: rows within their norm, classes, and what is settled at first."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from expunge.accounting.given import positive
from expunge.accounting.strongly_convex import ROUNDING
from expunge.core.canonical import digest
from expunge.core.counting import tell
from expunge.core.errors import ConfigError, StoreError
from expunge.core.protocols import Store
from expunge.data.table import Table
from expunge.execution.pool import Pool
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, Normal, Randomness, drawn_from
from expunge.targets.noisy.target import Label, NoisyModel, Plan, Promise, Setup, class_places, signs_of


class NoisyRecipe(Protocol):
    """What each of them states, and does."""

    @property
    def loss(self) -> Logistic: ...
    @property
    def scale(self) -> float: ...
    @property
    def classes(self) -> tuple[Label, ...]: ...
    @property
    def rows(self) -> int: ...
    @property
    def randomness(self) -> Randomness: ...
    @property
    def salt(self) -> str: ...
    def settled(self) -> tuple[Plan, Promise]: ...
    def fit(self, plan: Any, X: F, y: F, rng: Normal) -> tuple[F, dict[str, F], int]: ...


class NoisyTraining:
    """What these recipes do alike; each states its settings, its plan, and how one head is fitted."""

    name: ClassVar[str]
    kind = "classifier"
    hides_records = True
    randomness: Randomness

    def digest(self) -> str:
        """Digest of all but the salt."""
        own: Any = self
        settings = {field.name: getattr(self, field.name) for field in fields(own) if field.name != "salt"}
        return digest({"recipe": self.name, **settings})

    @property
    def repeats(self) -> bool:
        """Whether the same seed gives the same noise."""
        return self.randomness == "seed"

    def pinned(self, store: Store, *, seed: int) -> Self:
        """The recipe with what follows from the rows of a first training."""
        return pin(self, store)

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Raises:
            ConfigError: settings that do not fit, or no table with labels.
            StoreError: a label that is no class, or a row that is too long.
        """
        check_rows(self, store)

    def train(
        self,
        store: Store,
        *,
        seed: int,
        stage: str = "noisy training",
        workdir: Path | None = None,
        pool: Pool | None = None,
    ) -> NoisyModel:
        """Train on all rows of a table. It repeats only with ``randomness="seed"``.

        Args:
            store: a table with labels.
            seed: of the noise, where the recipe says so.
            stage: not used.
            workdir: not used: a checkpoint would be one more secret, and a killed training starts again.
            pool: not used.

        Raises:
            TargetError: the minimum that a mechanism asks for is not reached, or lies outside the ball.
            ExpungeError: what ``check`` raises, or a loss that breaks its constants.
        """
        return noisy_model(self, store, seed=seed, name=self.name)


def pin(recipe: Any, store: Store) -> Any:
    """The recipe with the number of rows and the classes of a first training, unless it states them.

    Raises:
        ConfigError: no table, or none with one label a row, or a scale that is none.
    """
    positive("the scale", recipe.scale)
    if not isinstance(store, Table):
        raise ConfigError("this recipe trains on a table", next="Give a csv, parquet or npz file and its label")
    if store.y is None or store.y.ndim != 1:
        raise ConfigError("the rows need one label each", next="Name its column: --label, or label= of open_table")
    classes = recipe.classes or tuple(np.unique(store.y).tolist())
    if len(classes) < 2:
        raise ConfigError("the rows are all of one class", next="Name all classes that there may be")
    return replace(recipe, rows=recipe.rows or len(store), classes=classes)


def check_rows(recipe: Any, store: Store) -> None:
    """Raise what would be found wrong in the training.

    Raises:
        ConfigError: settings that do not fit one another, or no table with labels.
        StoreError: a label that is no class, or a row beyond the norm that is to be refused.
    """
    pinned, table = pin(recipe, store), store
    _, promise = pinned.settled()
    if not 0 <= pinned.rows - len(store.ids()) <= promise.most:
        least = pinned.rows - promise.most
        raise ConfigError(
            f"the plan holds for {least} to {pinned.rows} rows, not {len(store.ids())}", next="Leave rows out"
        )
    if isinstance(table, Table) and table.y is not None:
        class_places(pinned.classes, table.y.tolist())
        _scaled(pinned, table)


def _scaled(recipe: NoisyRecipe, table: Table) -> F:
    """Rows (n, d) divided by the scale; raises where one is to be refused for its norm, and says whose it is."""
    X = np.asarray(table.X, np.float64) / recipe.scale
    norms = np.linalg.norm(X, axis=1)
    if recipe.loss.beyond == "refuse" and (long := np.flatnonzero(~(norms <= 1 + ROUNDING))).size:
        raise StoreError(
            f"record {table.ids()[long[0]]!r} has norm {norms[long[0]]:.6g} after division by the scale, above 1",
            why=f"{long.size} of {len(norms)} do; one could then move the model further than the noise covers",
            next="Give a larger scale that does not depend on the records, or beyond: clip in the loss",
        )
    return X


def noisy_model(recipe: Any, store: Store, *, seed: int, name: str) -> NoisyModel:
    """Train every head on all rows, in the order of their ids, so that the order of a file changes nothing.

    Args:
        recipe: as stated, or pinned.
        store: a table.
        seed: of the noise, where the recipe says so.
        name: of the recipe.

    Raises:
        ExpungeError: what ``check_rows`` and the training raise.
    """
    since, own = time.perf_counter(), pin(recipe, store)
    made: NoisyRecipe = own
    ids = tuple(sorted(store.ids()))
    table: Any = store.rows(ids) if isinstance(store, Table) else store
    places = class_places(made.classes, table.y.tolist())
    plan, promise = made.settled()
    setup = Setup(plan, made.loss, made.classes, made.scale, promise, made.randomness)
    X, rng = _scaled(made, table), drawn_from(made.randomness, seed, name, "training")
    found = [made.fit(plan, X, y, rng) for y in signs_of(places, made.classes)]
    weights = np.stack([weights for weights, _, _ in found])
    secret = {key: np.stack([kept[key] for _, kept, _ in found]) for key in found[0][1]}
    tell(seconds=time.perf_counter() - since, steps=sum(steps for _, _, steps in found), tokens=0)
    return NoisyModel(setup, ids, np.array(table.X), places, weights, secret, salt=made.salt)
