"""A learner as a target: a fitted estimator that can be asked to unlearn ids. Source: Cao & Yang 2015, section 3."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest, digest_file, read_json
from expunge.core.errors import ConfigError, ExpungeError, MissingExtra, TargetError
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Provenance, Statistics
from expunge.core.registry import learners

CARD, ARRAYS, REST = "target.json", "state.safetensors", "state.json"
LOADER = "learner"
OWN = {"Pipeline": "exact_pipeline", "LinearRegression": "ridge", "KMeans": "quantised_k_means"}
"""Classes of scikit-learn whose counterpart here has another name."""


def name_of(estimator: Any) -> str:
    """The name under which the registry knows an estimator's class.

    Raises:
        TargetError: it does not, so that the estimator could not be made again from a file.
    """
    name = getattr(type(estimator), "__module__", "").rpartition(".")[2]
    if name not in learners.names() or learners.get(name) is not type(estimator):
        raise TargetError(
            f"{type(estimator).__name__} is no learner that forgets",
            why="no registry knows it",
            next=f"Known are {', '.join(learners.names())}",
        )
    return name


def make(name: str, settings: Mapping[str, Any]) -> Any:
    """An unfitted learner by its name.

    Args:
        name: in the registry of learners.
        settings: arguments of its class; a value ``{"learner": name, "settings": {...}}``, also within a list, is
            made first.

    Raises:
        UnknownName: no such learner.
        ConfigError: it takes no such settings.
    """
    kind = learners.get(name)
    try:
        return kind(**{key: _made(value) for key, value in settings.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the settings of {name} do not fit", why=str(error)) from error


def instead_of(estimator: Any) -> str:
    """What to use in the place of an estimator that cannot forget, in one sentence.

    Args:
        estimator: an object or a class, of scikit-learn for instance.
    """
    kind = estimator if isinstance(estimator, type) else type(estimator)
    own = OWN.get(kind.__name__) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__).lower()
    if own in learners.names():
        return f"Use {own} of expunge.targets.learners, fitted on the same rows"
    return f"Use one of expunge.targets.learners: {', '.join(learners.names())}"


def _kept_by(estimator: Any, salt: str) -> Iterator[str]:
    yield name_of(estimator)
    for part in getattr(estimator, "named_steps", {}).values():
        yield from _kept_by(part, salt)
    if hasattr(estimator, "used_"):
        yield from _kept_by(estimator.learner, salt)
        yield f"used {digest([salt, estimator.used_])}"


def _made(value: Any) -> Any:
    if isinstance(value, Mapping) and set(value) <= {"learner", "settings"} and "learner" in value:
        return make(value["learner"], value.get("settings", {}))
    return [_made(item) for item in value] if isinstance(value, (list, tuple)) else value


@dataclass(frozen=True)
class Learner:
    """A fitted estimator of the registry, with a salt.

    Args:
        estimator: fitted; offers ``unlearn(ids)``, ``ids_``, ``digest()`` and ``state()``.
        salt: hex; keeps the digest from telling who is in it.
    """

    estimator: Any
    salt: str = ""
    kind: Literal["learner"] = "learner"

    @property
    def ids(self) -> Collection[str]:
        """Records that it holds."""
        return self.estimator.ids_

    @property
    def exactness(self) -> str:
        """``bitwise`` where unlearning gives the bytes of a fit without the rows, else what the estimator says."""
        return str(getattr(self.estimator, "exactness", ""))

    @property
    def provenance(self) -> Provenance:
        """Whose statistics it keeps: names of the learner and of those inside it; of a coreset, a salted digest of
        the rows that selection gave to its learner: no other was used."""
        return Statistics(tuple(_kept_by(self.estimator, self.salt)))

    def unlearn(self, ids: Iterable[str]) -> Learner:
        """A learner without these records; this one stays valid.

        Raises:
            StoreError: a record is not in it.
        """
        return Learner(self.estimator.unlearn(tuple(ids)), self.salt)

    def digest(self) -> str:
        """Salted digest over its class, its state and its ids."""
        ids = getattr(self.estimator, "sorted_ids_", None)
        held = sorted(self.ids) if ids is None else ids
        return digest([self.salt, name_of(self.estimator), self.estimator.digest(), held])

    def oracle(self, access: Access) -> Oracle:
        """A handle that grants the weights."""
        return Oracle(self, access & Access.WEIGHTS)

    def save(self, path: Path) -> Manifest:
        """Write a folder: arrays as safetensors, everything else as JSON; whole or not at all."""
        state = self.estimator.state()
        arrays = {name: np.asarray(value, order="C") for name, value in state.items() if isinstance(value, np.ndarray)}
        rest = {name: value for name, value in state.items() if name not in arrays}
        odd = [name for name, value in arrays.items() if value.dtype.kind not in "biuf"]
        if odd:
            raise TargetError(
                f"{odd[0]!r} of {name_of(self.estimator)} cannot be saved", why="it is no array of numbers"
            )
        card = {
            "kind": self.kind,
            "loader": LOADER,
            "learner": name_of(self.estimator),
            "digest": self.digest(),
            "salt": self.salt,
        }
        with replace_folder(Path(path)) as folder:
            _tensors().save_file(arrays, folder / ARRAYS)
            write_json(folder / REST, rest)
            write_json(folder / CARD, card | {"files": {name: digest_file(folder / name) for name in (ARRAYS, REST)}})
        files = sorted(p for p in Path(path).rglob("*") if p.is_file())
        return Manifest(tuple(entry(Path(path), p, personal=True) for p in files))


def load_learner(path: Path) -> Learner:
    """The learner that a folder holds.

    Raises:
        TargetError: the folder holds none, or it changed since it was saved.
    """
    card = read_json(path / CARD)
    try:
        if card["loader"] != LOADER:
            raise TargetError(f"{path} holds no learner", why=f"its card names the loader {card['loader']!r}")
        # The target's own digest leaves out the rows that are kept for a later deletion.
        changed = [name for name in (ARRAYS, REST) if digest_file(path / name) != card["files"][name]]
        if changed:
            raise TargetError(
                f"{path / changed[0]} changed since it was saved", why="its digest differs from its card's"
            )
        state = {**read_json(path / REST), **_tensors().load_file(path / ARRAYS)}
        found = Learner(learners.get(card["learner"]).from_state(state), card["salt"])
        stated = card["digest"]
    except ExpungeError:
        raise
    except Exception as error:
        # Whatever a damaged file makes of a state: the classes behind the registry raise as numpy does.
        raise TargetError(f"cannot load a learner from {path}", why=str(error).partition("\n")[0]) from error
    if found.digest() != stated:
        raise TargetError(f"the learner in {path} changed since it was saved", why="its digest differs from its card's")
    return found


def _tensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise MissingExtra("saving a learner", "hf", "safetensors") from error
    return safetensors.numpy
