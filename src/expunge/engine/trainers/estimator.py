"""Parts that are estimators of scikit-learn's conventions, ours or others', by class. Source: arXiv 1912.03817.

An estimator that steps (it has ``partial_fit`` and ``max_iter``, as SGDClassifier, Perceptron and MLPClassifier have)
goes on from slice to slice: one call an epoch, rows in keyed order. Any other is fitted anew on slices 0..r, whatever
the epochs say: a second call of ``partial_fit`` would count a row twice in naive Bayes.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
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
FEW = 64
"""Rows of each class, on which is tried beforehand what could only be found out after hours of training."""
Label = int | str


@dataclass
class Fitted:
    """An estimator, or the only class of the rows that it was to be fitted on; neither before the first row.

    ``silent`` says why there is neither, although there are rows: they are too few for it.
    """

    estimator: Any
    only: Label | None = None
    silent: str = ""


@record
class Estimator:
    """Train a part with an estimator.

    Args:
        path: of its class, ``module:name``, such as ``sklearn.linear_model:SGDClassifier``. The module is imported,
            also where a target on file names it: open only targets whose recipe you would run.
        classes: labels, in the order of the outputs; fixed beforehand, since a part may not have a row of each. Empty
            for what predicts numbers.
        settings: of the estimator. ``random_state`` comes from the run's seed where it is not given, or None.
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
        if not (isinstance(kind, type) and all(hasattr(kind, verb) for verb in ("fit", "predict", "get_params"))):
            raise TargetError(f"{self.path} is no estimator", why="it is not a class with fit, predict and get_params")
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
        if "random_state" in known and self.settings.get("random_state") is None:
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

        Rows that it cannot be fitted on, or asked after, as too few are, give a model that is silent: a deletion is
        never refused for what it leaves of a part, and training from scratch on as many comes to the same.

        Raises:
            TargetError: the rows are no table with labels, or a label is not among the classes.
        """
        if not isinstance(rows, Table) or rows.y is None:
            raise TargetError("an estimator is trained on tables with labels", next="Open the data with open_table")
        return self._made(
            model.estimator, rows, [keyed_order(rows.ids(), seed, *names, "epoch", e) for e in range(epochs)]
        )

    def _made(self, estimator: Any, rows: Table, orders: Sequence[Sequence[int]]) -> Fitted:
        labels = np.unique(np.asarray(rows.y)).tolist() if self.classes else []
        self._check(labels)
        try:
            made = self._trained(estimator, rows, orders, labels)
            self.outputs(made, rows.X[:1])
        except (ValueError, TargetError) as error:
            return Fitted(self._like(estimator), silent=str(error).partition("\n")[0])
        return made

    def _like(self, estimator: Any) -> Any:
        return self._new().set_params(**estimator.get_params(deep=False))

    def _trained(self, estimator: Any, rows: Table, orders: Sequence[Sequence[int]], labels: Sequence[Label]) -> Fitted:
        if not _steps(estimator):
            fresh = self._like(estimator)
            if len(labels) == 1:
                return Fitted(fresh, labels[0])
            return Fitted(_fitted(fresh, rows.rows(_at(rows, orders[0]))))
        extra = {"classes": np.asarray(self.classes)} if self.classes else {}
        for place in orders:
            estimator.partial_fit(rows.X[place], np.asarray(rows.y)[place], **extra)
        return Fitted(estimator)

    def silent(self, model: Fitted) -> str:
        """Why a model does not vote; empty where it does."""
        return model.silent

    def rehearse(self, rows: Rows, *, seed: int, strict: bool = True) -> None:
        """Train on a few rows of each class, and keep nothing: what cannot be kept on file is refused beforehand.

        Args:
            rows: of the whole training.
            seed: of the run.
            strict: refuse also what cannot be trained on them. Else one that steps is taken at its word: what it holds
                is there after its first step.

        Raises:
            TargetError: it holds what is no number, text or array, or cannot be trained.
        """
        if not isinstance(rows, Table) or rows.y is None or not len(rows):
            return
        model = self.start(seed=seed)
        if _steps(model.estimator) and not strict:
            return
        alike = (
            [np.flatnonzero(rows.y == label)[:FEW] for label in np.unique(rows.y)]
            if rows.y.ndim == 1 and self.classes
            else []
        )
        few = rows.rows(_at(rows, np.concatenate(alike) if alike else np.arange(len(rows))[: 2 * FEW]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = self._made(model.estimator, few, [range(len(few))])
        if model.silent and strict:
            raise TargetError(
                f"{self.path} cannot be trained on {len(few)} of these rows",
                why=model.silent,
                next="Change its settings, or choose another estimator",
            )
        self._told(model)

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

        state, arrays = self._told(model)
        body = {"state": state, "only": model.only} | ({"silent": model.silent} if model.silent else {})
        save_file(arrays, folder / ARRAYS)
        write_json(folder / STATE, body)

    def _told(self, model: Fitted) -> tuple[Any, dict[str, np.ndarray]]:
        """What an estimator holds, as JSON and arrays."""
        encoder = Encoder(self._packages)
        own = hasattr(type(model.estimator), "from_state")
        return encoder.encode(model.estimator.state() if own else vars(model.estimator)), encoder.arrays

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
            return Fitted(kind.from_state(state), body["only"], body.get("silent", ""))
        estimator = kind.__new__(kind)
        estimator.__dict__.update(state)
        return Fitted(estimator, body["only"], body.get("silent", ""))

    def outputs(self, model: Fitted, inputs: Any) -> np.ndarray:
        """Probabilities (n, K), or one for the predicted class and zeros where there are none; or values (n, m).

        Raises:
            TargetError: the model is silent.
        """
        if model.silent:
            raise TargetError("this part cannot answer", why=model.silent, next="Train it on more rows")
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


def _at(rows: Table, place: Iterable[int]) -> list[str]:
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
