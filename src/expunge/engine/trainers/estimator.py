"""Parts that are estimators of scikit-learn's conventions, ours or others', by class. Source: arXiv 1912.03817.

An estimator that steps (it has ``partial_fit`` and ``max_iter``, as SGDClassifier, Perceptron and MLPClassifier have)
goes on from slice to slice: one call an epoch, rows in keyed order. Any other is fitted anew on slices 0..r, whatever
the epochs say: a second call of ``partial_fit`` would count a row twice in naive Bayes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from expunge.core.canonical import digest, read_json
from expunge.core.errors import ConfigError, TargetError
from expunge.core.files import write_json
from expunge.core.record import record
from expunge.core.seeds import derive, keyed_order
from expunge.data.table import Table
from expunge.engine.parts.rows import Rows
from expunge.engine.trainers._fitted import Encoder, decode, found

STATE, ARRAYS = "estimator.json", "estimator.safetensors"
Label = int | str


@dataclass
class Fitted:
    """An estimator, or the only class of the rows that it was to be fitted on; neither before the first row."""

    estimator: Any
    only: Label | None = None


@record
class Estimator:
    """Train a part with an estimator.

    Args:
        path: of its class, ``module:name``, such as ``sklearn.linear_model:SGDClassifier``. The module is imported,
            also where a target on file names it: open only targets whose recipe you would run.
        classes: labels, in the order of the outputs; fixed beforehand, since a part may not have a row of each. Empty
            for what predicts numbers.
        settings: of the estimator. ``random_state`` comes from the run's seed where it is not given.
    """

    path: str
    classes: tuple[Label, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    name = "estimator"
    kind = "learner"

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) == 1:
            raise ConfigError("classes must be two or more different labels, or none for numbers")

    def digest(self) -> str:
        """Digest of the class path, the classes and the settings."""
        return digest({"trainer": self.name, "path": self.path, "classes": self.classes, "settings": self.settings})

    @property
    def _packages(self) -> frozenset[str]:
        return frozenset((self.path.partition(".")[0].partition(":")[0], "sklearn"))

    def _kind(self) -> Any:
        kind = found(self.path)
        if not (isinstance(kind, type) and hasattr(kind, "fit") and hasattr(kind, "get_params")):
            raise TargetError(f"{self.path} is no estimator", why="it is not a class with fit and get_params")
        return kind

    def _new(self) -> Any:
        kind = self._kind()
        try:
            return kind(**self.settings)
        except TypeError as error:
            raise ConfigError(f"a setting of {self.path} does not fit", why=str(error)) from error

    def start(self, *, seed: int) -> Fitted:
        """The estimator before any row.

        Raises:
            TargetError: the path names no estimator.
            ConfigError: it does not take the settings.
        """
        estimator = self._new()
        known = estimator.get_params(deep=False)
        given: dict[str, Any] = {}
        if "random_state" in known and "random_state" not in self.settings:
            given["random_state"] = derive(seed, "random_state") % 2**32
        if "shuffle" in known and "shuffle" not in self.settings and _steps(estimator):
            given["shuffle"] = False
        return Fitted(estimator.set_params(**given) if given else estimator)

    def train(
        self,
        model: Fitted,
        rows: Rows,
        *,
        epochs: int,
        seed: int,
        names: tuple[str | int, ...],
        workdir: Path | None = None,
    ) -> Fitted:
        """Step over the rows once an epoch, or fit anew on them. Rows of one class alone give that class.

        Raises:
            TargetError: the rows are no table with labels, a label is not among the classes, or fitting failed.
        """
        if not isinstance(rows, Table) or rows.y is None:
            raise TargetError("an estimator is trained on tables with labels", next="Open the data with open_table")
        labels = np.unique(rows.y).tolist() if self.classes else []
        self._check(labels)
        estimator = model.estimator
        try:
            if not _steps(estimator):
                only = labels[0] if len(labels) == 1 else None
                place = keyed_order(rows.ids(), seed, *names, "epoch", 0)
                fresh = self._new().set_params(**estimator.get_params(deep=False))
                return Fitted(fresh if only is not None else _fitted(fresh, rows.rows(_at(rows, place))), only)
            extra = {"classes": np.asarray(self.classes)} if self.classes else {}
            for epoch in range(epochs):
                place = keyed_order(rows.ids(), seed, *names, "epoch", epoch)
                estimator.partial_fit(rows.X[place], rows.y[place], **extra)
        except ValueError as error:
            raise TargetError(f"{self.path} cannot be trained on {len(rows)} of these rows", why=str(error)) from error
        return Fitted(estimator)

    def _check(self, labels: Sequence[Label]) -> None:
        strange = sorted(set(labels) - set(self.classes), key=str)
        if strange:
            raise TargetError(
                f"the label {strange[0]!r} is not among the classes",
                why=f"they are {', '.join(map(repr, self.classes))}",
                next="Name every class that a row may have",
            )

    def save(self, model: Fitted, folder: Path) -> None:
        """Write what the estimator holds: its ``state()`` where it has one, else its attributes.

        Raises:
            TargetError: it holds what cannot be kept.
        """
        from safetensors.numpy import save_file

        encoder = Encoder(self._packages)
        own = hasattr(type(model.estimator), "from_state")
        state = encoder.encode(model.estimator.state() if own else vars(model.estimator))
        body = {"state": state, "only": model.only}
        save_file(encoder.arrays, folder / ARRAYS)
        write_json(folder / STATE, body)

    def load(self, folder: Path) -> Fitted:
        """The estimator that ``save`` wrote.

        Raises:
            TargetError: the path names no estimator, or the file holds what is no part of one.
        """
        from safetensors.numpy import load_file

        kind, body = self._kind(), read_json(folder / STATE)
        arrays = {name: np.array(value) for name, value in load_file(folder / ARRAYS).items()}
        state = decode(body["state"], arrays, self._packages)
        if hasattr(kind, "from_state"):
            return Fitted(kind.from_state(state), body["only"])
        estimator = kind.__new__(kind)
        estimator.__dict__.update(state)
        return Fitted(estimator, body["only"])

    def outputs(self, model: Fitted, inputs: Any) -> np.ndarray:
        """Probabilities (n, K), or one for the predicted class and zeros where there are none; or values (n, m)."""
        X = np.asarray(inputs)
        if not self.classes:
            return np.asarray(model.estimator.predict(X), dtype=np.float64).reshape(len(X), -1)
        column = {label: at for at, label in enumerate(self.classes)}
        told = np.zeros((len(X), len(column)))
        if model.only is not None:
            told[:, column[model.only]] = 1.0
        elif hasattr(model.estimator, "predict_proba"):
            places = [column[label] for label in np.asarray(model.estimator.classes_).tolist()]
            told[:, places] = model.estimator.predict_proba(X)
        else:
            said = np.asarray(model.estimator.predict(X)).tolist()
            told[np.arange(len(X)), [column[label] for label in said]] = 1.0
        return told


def _at(rows: Table, place: Sequence[int]) -> list[str]:
    ids = rows.ids()
    return [ids[at] for at in place]


def _fitted(estimator: Any, rows: Table) -> Any:
    takes_ids = "ids" in inspect.signature(estimator.fit).parameters
    return estimator.fit(rows.X, rows.y, **({"ids": list(rows.ids())} if takes_ids else {}))


def _steps(estimator: Any) -> bool:
    """Whether a further call of ``partial_fit`` is a further step, and does not add the rows once more."""
    if not hasattr(estimator, "partial_fit") or "max_iter" not in estimator.get_params(deep=False):
        return False
    return "ids" not in inspect.signature(estimator.partial_fit).parameters


estimator = Estimator
