"""Train a convex head whose records leave by a Newton step, on rows or on frozen features. Source: Guo et al. 2020.

What would follow from the records is a setting: scale, divisors of columns, classes. Nothing follows from their count
but the weight of the penalty, lam n / 2, which every training on as many records has.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expunge.core.canonical import digest
from expunge.core.counting import tell
from expunge.core.errors import ConfigError
from expunge.core.launch import started
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.data.rows import FIELDS
from expunge.data.table import Table
from expunge.execution.pool import Pool
from expunge.targets.convex.budget import CertifyOn, budget
from expunge.targets.convex.model import ConvexModel
from expunge.targets.convex.scaled import Scaled, divisors_of
from expunge.targets.convex.target import ConvexTarget

Label = int | str
LossName = Literal["logistic", "one_vs_rest", "multinomial", "squared"]


@record
class ConvexTraining:
    """Train by objective perturbation on every record of a store.

    Args:
        loss: ``logistic`` (two classes), ``one_vs_rest``, ``multinomial`` or ``squared``; a loss of one's own goes
            into a ``ConvexModel``.
        lam: penalty per row.
        sigma: standard deviation of each number of the noise.
        epsilon: of the whole model, nats.
        delta: of the whole model.
        certify_on: ``worst``; ``bound`` and ``residual`` tell how close a step came, and certify nothing.
        polish: chord steps after each request; not with ``worst``.
        norms: ``refuse`` rows beyond the scale, or ``clip`` them to it.
        scale: public bound of a row's norm, by which it is divided.
        divisors: column of a table -> what it is divided by before.
        intercept: whether a constant column is added, which counts in the norm.
        classes: every label there may be; where a label of texts has its values named with the data, those.
        randomness: ``secret``: noise from a key of the operating system that is thrown away; ``secure``: from its
            cryptographic generator; ``seed``: from the training's seed, so that it repeats, and proves nothing.
        features: folder of a frozen model that records go through first; empty for rows as they are.
        inputs: field of a text record that is read, where the store is no table.
        labels: field of it that is to be told.
        salt: hex; keeps the target's digest from telling who is in it; drawn where there is none, unless the training
            is to repeat. No part of the recipe's digest.
    """

    loss: LossName = "logistic"
    lam: float = 1e-3
    sigma: float = 10.0
    epsilon: float = 1.0
    delta: float = 1e-4
    certify_on: CertifyOn = "worst"
    polish: int = 0
    norms: Literal["refuse", "clip"] = "refuse"
    scale: float = 1.0
    divisors: Mapping[str, float] = field(default_factory=dict[str, float])
    intercept: bool = False
    classes: tuple[Label, ...] = ()
    randomness: Literal["secret", "seed", "secure"] = "secret"
    features: str = ""
    inputs: str = "question"
    labels: str = "relation"
    salt: str = ""

    kind = "learner"
    hides_records = True

    def __post_init__(self) -> None:
        if self.loss == "squared" and self.classes:
            raise ConfigError("the loss squared tells numbers and has no classes", next="Leave classes out")
        if len(set(self.classes)) != len(self.classes):
            raise ConfigError("a class is named twice")
        if self.features and self.divisors:
            raise ConfigError("features have no columns by name", next="Leave divisors out, and set scale")
        heads = len(self.classes) or 2 if self.loss == "one_vs_rest" else 1
        self._model(seed=0)._settled()
        budget(self.sigma, self.epsilon / heads, self.delta / heads)
        Scaled(scale=self.scale, divisors=tuple(self.divisors.values()))

    def digest(self) -> str:
        """Digest of all but the salt; of a features' model, by its own digest and not by its place."""
        names = [name for name in self.__dataclass_fields__ if name not in ("salt", "features")]
        body = {"recipe": "convex", **{name: getattr(self, name) for name in names}}
        return digest({**body, "features": self._frozen().digest if self.features else ""})

    @property
    def repeats(self) -> bool:
        """Whether a second training comes to the same."""
        return self.randomness == "seed"

    def _frozen(self) -> Any:
        from expunge.engine.frozen import frozen

        return frozen(self.features)

    def _model(self, *, seed: int) -> ConvexModel:
        names = ("loss", "lam", "sigma", "epsilon", "delta", "certify_on", "polish", "norms")
        keyed = {"seed": seed if self.randomness == "seed" else None, "secure": self.randomness == "secure"}
        return ConvexModel(**{name: getattr(self, name) for name in names}, classes=self.classes or None, **keyed)

    def start(self, *, seed: int) -> ConvexModel:
        """The model before any record.

        Args:
            seed: of the noise, where it comes from a seed.
        """
        return self._model(seed=seed)

    def pinned(self, store: Store, *, seed: int) -> ConvexTraining:
        """The recipe with its classes: as given, or of a label of texts the positions of its values.

        Raises:
            ConfigError: nothing names the classes, or they are not those of the data.
        """
        if self.loss == "squared":
            return self
        known = store.encoding.classes if isinstance(store, Table) else ()
        places = tuple(range(len(known)))
        if known and self.classes not in ((), known, places):
            why = f"given are {', '.join(map(str, self.classes))}; the label has {', '.join(known)}"
            raise ConfigError("the classes are not those of the label", why=why, next="Leave them out")
        found = places if known else self.classes
        if not found:
            raise ConfigError(
                "the classes are not named",
                why="read off the records they would tell that some record had each",
                next="Name every class there may be: classes: [0, 1]",
            )
        if self.loss == "logistic" and len(found) != 2:
            why, hint = f"{len(found)} are named", "Use one_vs_rest or multinomial"
            raise ConfigError("the loss logistic tells two classes apart", why=why, next=hint)
        return replace(self, classes=found)

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Raises:
            ConfigError: nothing is to be told of a record, or classes or columns do not fit; several processes.
            TargetError: a row beyond the bound, or a features' model that cannot be opened.
            ClaimError: the features' model says that it was trained on these records.
        """
        if started() > 1:
            raise ConfigError("a convex training runs in one process", why=f"{started()} were started together")
        recipe = self.pinned(store, seed=seed)
        if self.features:
            from expunge.engine.frozen import require_apart

            source = self._frozen()
            require_apart(source, store.ids())
            if (source.form == "module") != isinstance(store, Table):
                what = "the features' model does not read these records"
                why = f"a {source.form} reads {'rows of a table' if source.form == 'module' else 'texts'}"
                raise ConfigError(what, why=why, next="Give a model that does")
            source.account_with()
        elif not isinstance(store, Table):
            why = "a convex model learns from numbers"
            raise ConfigError("the records are texts", why=why, next="Name a language model with features:")
        inputs, labels = recipe._read(store)
        if not self.features:
            recipe._scaled(store).rows(inputs)
        recipe.start(seed=0)._targets(recipe.start(seed=0)._settled(), labels, len(labels))

    def _scaled(self, store: Store) -> Scaled:
        columns = store.encoding.columns if isinstance(store, Table) and not self.features else ()
        return Scaled(self.scale, divisors_of(columns, dict(self.divisors)), self.intercept, self.norms)

    def _read(self, store: Store) -> tuple[Any, Any]:
        """What is learned from, and what is to be told of it.

        Raises:
            ConfigError: rows without labels, or no such field.
        """
        if isinstance(store, Table):
            if store.y is None:
                raise ConfigError("the rows have no label", next="Name its column: --label, or label= of open_table")
            return store.X, store.y
        for name in (self.inputs, self.labels):
            if name not in FIELDS or name == "perturbed_answer":
                raise ConfigError(f"a record has no text called {name!r}", next="Name a field such as question")
        examples = [example for shard in store.shards() for example in shard]
        told: Sequence[Any] = [getattr(example, self.labels) for example in examples]
        if self.loss == "squared":
            raise ConfigError("texts have no numbers to be told", next="Use a loss of classes")
        return [getattr(example, self.inputs) for example in examples], np.array(told)

    def train(
        self, store: Store, *, seed: int, stage: str = "training", workdir: Path | None = None, pool: Pool | None = None
    ) -> ConvexTarget:
        """Train on all of a store. It repeats only with ``randomness="seed"``.

        Args:
            store: a table, or texts for a language model's features.
            seed: of the noise where the recipe says so.
            stage: not used.
            workdir: not used: nothing is kept on the way, and a killed training starts again.
            pool: not used.

        Raises:
            ConfigError: what ``check`` raises.
            TargetError: rows that are not taken, or a training that float64 cannot finish.
            ClaimError: the features' model says that it was trained on these records.
        """
        since = time.perf_counter()
        self.check(store, seed=seed)
        recipe = self.pinned(store, seed=seed)
        inputs, labels = recipe._read(store)
        source, scaled = (self._frozen() if self.features else None), recipe._scaled(store)
        salt = self.salt or ("" if self.randomness == "seed" else secrets.token_hex(32))
        rows = scaled.rows(inputs if source is None else source.rows(inputs))
        model = recipe.start(seed=seed).fit(rows, labels, ids=store.ids())
        tell(seconds=time.perf_counter() - since, steps=0, tokens=0)
        return ConvexTarget(model, scaled, source, salt)


convex = ConvexTraining
