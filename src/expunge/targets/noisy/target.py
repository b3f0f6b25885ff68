"""A linear classifier that was trained under a noisy plan, with the rows and the state that its deletions need."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from expunge.accounting.given import count, positive, probability
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest, read_json
from expunge.core.errors import ConfigError, ExpungeError, MissingExtra, StoreError, TargetError
from expunge.core.example import Example
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Convex
from expunge.core.record import record
from expunge.data.table import row_hashes
from expunge.targets.noisy.descent_to_delete import DescentToDelete
from expunge.targets.noisy.langevin import Langevin
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, Randomness
from expunge.targets.noisy.one_shot_removal import OneShotRemoval

LOADER, CARD, STATE = "noisy", "target.json", "state.json"
WEIGHTS, SECRET, ROWS = "weights.safetensors", "unpublished.safetensors", "rows.safetensors"
PLANS = {"descent_to_delete": DescentToDelete, "one_shot_removal": OneShotRemoval, "langevin": Langevin}
Plan = DescentToDelete | OneShotRemoval | Langevin
Label = int | float | str


@record
class Promise:
    """What the noise was made for.

    Args:
        epsilon: nats; what it is of, the plan says.
        delta: probability.
        most: rows that may go in all.
    """

    epsilon: float
    delta: float
    most: int

    def __post_init__(self) -> None:
        positive("epsilon", self.epsilon)
        probability("delta", self.delta)
        count("most", self.most, least=1)


@record
class Setup:
    """What the first training settled; no request changes it but for the steps of a ``Langevin`` plan.

    Args:
        plan: with its noise.
        loss: of the rows.
        classes: one a head, or two for a single head whose positive class is the second.
        scale: by which rows are divided, so that their norm is at most 1; public.
        promise: what the noise was made for.
        randomness: of all noise.
    """

    plan: Plan
    loss: Logistic
    classes: tuple[Label, ...]
    scale: float
    promise: Promise
    randomness: Randomness = "secret"

    def __post_init__(self) -> None:
        positive("the scale", self.scale)
        if len(set(self.classes)) < max(2, len(self.classes)) or self.heads != self.plan.heads:
            raise ConfigError(f"{len(self.classes)} classes for {self.plan.heads} heads", next="Name each class once")
        if self.loss.constants != self.plan.constants:
            raise ConfigError("the plan was made for another loss")

    @property
    def heads(self) -> int:
        """Models, each of which sees every row."""
        return heads_of(self.classes)

    @property
    def mechanism(self) -> str:
        """Name of its plan."""
        return next(name for name, kind in PLANS.items() if type(self.plan) is kind)


def heads_of(classes: Sequence[Label]) -> int:
    """Models that tell so many classes apart, one against the rest; one for two.

    >>> heads_of("ab"), heads_of("abc")
    (1, 3)
    """
    return 1 if len(classes) == 2 else len(classes)


def class_places(classes: Sequence[Label], labels: Iterable[Any]) -> NDArray[np.int64]:
    """The place (n,) of each label among the classes; numbers are compared by value.

    Raises:
        StoreError: a label is none of them.

    >>> class_places((3, 7), ["7.0", 3]).tolist()
    [1, 0]
    """
    kind: Any = str if any(isinstance(value, str) for value in classes) else float
    known = {kind(value): at for at, value in enumerate(classes)}
    try:
        return np.array([known[kind(label)] for label in labels], np.int64)
    except (KeyError, ValueError) as error:
        what = f"a label is none of the classes {', '.join(map(str, classes))}"
        raise StoreError(what, why=str(error), next="Name all classes that there may be") from error


@dataclass(frozen=True, eq=False)
class Published:
    """What is given out: the weights, and how they are read.

    Args:
        weights: (K, d), one row a head.
        classes: as in the setup.
        scale: by which rows are divided.
    """

    weights: F
    classes: tuple[Label, ...]
    scale: float

    def scores(self, X: Any) -> F:
        """Scores (n, K) of rows X (n, d)."""
        return (np.asarray(X, np.float64) / self.scale) @ self.weights.T

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels (n,) of rows X (n, d); of equal scores the first class."""
        found = self.scores(X)
        return np.asarray(self.classes)[(found[:, 0] > 0).astype(int) if len(self.weights) == 1 else found.argmax(1)]


@dataclass(frozen=True, eq=False)
class NoisyModel:
    """A classifier under a noisy plan. Nothing in it is changed in place.

    Args:
        setup: what the first training settled.
        ids: (n) records that it holds.
        X: (n, d) their rows, as they were read.
        y: (n,) places of their labels among the classes.
        weights: (K, d) as published.
        secret: (K, ...) arrays that are kept and never published; empty where the weights are the whole state.
        requests: that took rows, so far.
        taken: rows that they took.
        salt: hex; keeps the digest from telling who is in it.
    """

    setup: Setup
    ids: tuple[str, ...]
    X: NDArray[Any]
    y: NDArray[np.int64]
    weights: F
    secret: dict[str, F]
    requests: int = 0
    taken: int = 0
    salt: str = ""
    kind: Literal["classifier"] = "classifier"
    unlisted = (SECRET, ROWS, STATE)
    """Files whose digests no certificate states: a guess at a record makes them anew."""

    @property
    def provenance(self) -> Convex:
        """The plan by name, its noise, and the epsilon that it was made for."""
        return Convex(self.setup.mechanism, self.setup.plan.sigma, self.setup.promise.epsilon)

    @property
    def published(self) -> Published:
        """All that anybody else may see."""
        return Published(self.weights, self.setup.classes, self.setup.scale)

    @property
    def units(self) -> int:
        """Rows that were forgotten so far."""
        return self.taken

    @property
    def absent(self) -> int:
        """Rows of the plan that were never in it."""
        return self.setup.plan.rows - len(self.ids) - self.taken

    def predict(self, X: Any) -> NDArray[Any]:
        """Labels (n,) of rows X (n, d), by the published weights."""
        return self.published.predict(X)

    def scaled(self) -> F:
        """Rows (n, d) in float64, divided by the scale."""
        return np.asarray(self.X, np.float64) / self.setup.scale

    def signs(self) -> F:
        """Labels (K, n) of each head, 1 for its class and -1 for all else."""
        return signs_of(self.y, self.setup.classes)

    def places(self, ids: Iterable[str]) -> NDArray[np.intp]:
        """Where those of the records are that it holds, in the order of its rows."""
        wanted = set(ids)
        return np.flatnonzero([name in wanted for name in self.ids])

    def without(self, places: NDArray[np.intp]) -> NoisyModel:
        """A request later, without the rows of some places and under a new salt; weights and state as they were."""
        left = np.setdiff1d(np.arange(len(self.ids)), places)
        ids, salt = tuple(self.ids[i] for i in left), secrets.token_hex(32) if self.salt else ""
        counts = {"requests": self.requests + 1, "taken": self.taken + len(places)}
        return replace(self, ids=ids, X=self.X[left], y=self.y[left], salt=salt, **counts)

    def require_same(self, given: Iterable[Example]) -> None:
        """Raise unless records are the rows that it holds under their ids; those that it lacks are passed over.

        Raises:
            StoreError: one is another.
        """
        at = {name: place for place, name in enumerate(self.ids)}
        known = [example for example in given if example.record_id in at]
        places = [at[example.record_id] for example in known]
        hashes = row_hashes([example.record_id for example in known], self.X[places])
        labels = class_places(self.setup.classes, (example.answer for example in known))
        told = zip(known, hashes, labels == self.y[places], strict=True)
        other = next((e.record_id for e, found, same in told if e.question != found or not same), None)
        if other is not None:
            raise StoreError(
                f"record {other!r} is not what was trained on",
                why="another row stands under its id",
                next="Give the data as it was",
            )

    def digest(self) -> str:
        """Salted digest of everything in it."""
        arrays = [_hashed(array) for array in (self.X, self.y, self.weights)]
        secret = {name: _hashed(array) for name, array in self.secret.items()}
        return digest([self.salt, self.setup, list(self.ids), arrays, secret, self.requests, self.taken])

    def oracle(self, access: Access) -> Oracle:
        """A handle on the published weights, and nothing else of it."""
        return Oracle(self.published, access & Access.WEIGHTS)

    def save(self, path: Path) -> Manifest:
        """Write a folder: published weights, secret state and rows in files of their own; whole or not at all."""
        path, tensors = Path(path), _tensors()
        files = {WEIGHTS: {"weights": self.weights}, ROWS: {"X": self.X, "y": self.y}}
        files |= {SECRET: self.secret} if self.secret else {}
        told = TypeAdapter(Setup).dump_python(self.setup)
        # They follow from the loss, and one may be infinite, which JSON is not.
        del told["plan"]["constants"]
        card = {"kind": self.kind, "loader": LOADER, "digest": self.digest(), "salt": self.salt}
        with replace_folder(path) as folder:
            for name, arrays in files.items():
                tensors.save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / name)
            write_json(folder / STATE, {"ids": list(self.ids), "requests": self.requests, "taken": self.taken})
            write_json(
                folder / CARD, {**card, "provenance": "Convex", "mechanism": self.setup.mechanism, "setup": told}
            )
        found = sorted(p for p in path.rglob("*") if p.is_file())
        return Manifest(tuple(entry(path, p, personal=True) for p in found))


def signs_of(y: NDArray[np.int64], classes: Sequence[Label]) -> F:
    """Labels (K, n) of each head, 1 for its class and -1 for all else; one head for two classes.

    >>> signs_of(np.array([0, 2, 1]), "abc")[2].tolist(), signs_of(np.array([0, 1]), "ab").tolist()
    ([-1.0, 1.0, -1.0], [[-1.0, 1.0]])
    """
    told = [1] if len(classes) == 2 else range(len(classes))
    return np.array([np.where(y == place, 1.0, -1.0) for place in told])


def load_noisy(path: Path) -> NoisyModel:
    """The model that a folder holds.

    Raises:
        TargetError: the folder holds none, or it changed since it was saved.
    """
    path, card = Path(path), read_json(Path(path) / CARD)
    tensors = _tensors()
    try:
        if card["loader"] != LOADER:
            raise TargetError(f"{path} holds no noisy model", why=f"its card names the loader {card['loader']!r}")
        told = dict(card["setup"])
        loss = TypeAdapter(Logistic).validate_python(told["loss"])
        plan = TypeAdapter(PLANS[card["mechanism"]]).validate_python({**told["plan"], "constants": loss.constants})
        setup = TypeAdapter(Setup).validate_python({**told, "loss": loss, "plan": plan})
        rows, state = tensors.load_file(path / ROWS), read_json(path / STATE)
        secret = tensors.load_file(path / SECRET) if (path / SECRET).is_file() else {}
        weights = tensors.load_file(path / WEIGHTS)["weights"]
        arrays = (rows["X"], rows["y"], weights, secret)
        counts = (state["requests"], state["taken"])
        found, stated = NoisyModel(setup, tuple(state["ids"]), *arrays, *counts, card["salt"]), card["digest"]
    except ExpungeError:
        raise
    except Exception as error:
        # Whatever a damaged file makes of arrays and settings.
        raise TargetError(f"cannot load a model from {path}", why=str(error).partition("\n")[0]) from error
    if found.digest() != stated:
        raise TargetError(f"the model in {path} changed since it was saved", why="its digest differs from its card's")
    return found


def _hashed(array: NDArray[Any]) -> str:
    kept = np.ascontiguousarray(array)
    return hashlib.sha256(f"{kept.dtype.str}{kept.shape}".encode() + kept.tobytes()).hexdigest()


def _tensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise MissingExtra("saving a noisy model", "hf", "safetensors") from error
    return safetensors.numpy
