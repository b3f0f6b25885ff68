"""What a tree and a forest that forget share: rows in, trees over them, rows out of the trees by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from expunge.core.canonical import digest, digest_bytes
from expunge.core.errors import ConfigError, TargetError
from expunge.core.seeds import derive
from expunge.targets.forest.forget import Effort, forget
from expunge.targets.forest.kept import arrays, checksum, compact, restored, shape_digest
from expunge.targets.forest.keys import U32, U64, codes_of
from expunge.targets.forest.pool import Forest, Rule
from expunge.targets.forest.whole import holders, plant, probabilities
from expunge.targets.learners import _checks
from expunge.targets.learners._learner import Labelled, Learner, State

_MOST_CLASSES = 256


def _codes(X: NDArray[Any]) -> U32:
    with np.errstate(over="ignore"):
        values = X.astype(np.float32)
    if not np.isfinite(values).all():
        raise TargetError("a value is too large", why="trees read rows as 32-bit floats, as those of scikit-learn do")
    return codes_of(values)


class Dare(Labelled, Learner):
    """The abstract learner over trees; a kind of it says its settings.

    Rows are read as float32. Every draw is keyed by the seed, the tree, the path to the node and what is drawn, so
    that ``unlearn`` gives, bit for bit, what ``fit`` gives of the rows that are left, with the same seed.
    A choice of rows that looked at the trees looked at their draws too, which no deletion undoes; nor does a fit with
    that seed. ``partial_fit`` grows all trees anew. What is saved or copied holds nothing of rows that were unlearned;
    in memory, learners that came from one another share arrays until most of these are of no more use.

    Attributes:
        last_deletion_: what ``unlearn`` did.
    """

    exactness = "bitwise"
    last_deletion_: str = ""
    features: ClassVar[Any] = "real"
    target: ClassVar[Any] = "label"

    max_depth: int
    max_features: int | str | None
    thresholds: int | None
    random_levels: int
    criterion: Any
    seed: int

    def _trees(self) -> tuple[int, int | None]:
        """How many trees, and how many hold a row (None: all)."""
        raise NotImplementedError

    def _taken(self, X: Any, *, new: bool) -> NDArray[Any]:
        rows = super()._taken(X, new=new)
        _codes(rows)
        return rows

    def _check_settings(self) -> None:
        wanted: dict[str, tuple[Any, int, bool]] = {
            "max_depth": (self.max_depth, 1, False),
            "thresholds": (self.thresholds, 1, True),
            "random_levels": (self.random_levels, 0, False),
            "seed": (self.seed, 0, False),
        }
        trees, each = self._trees()
        wanted |= {"n_trees": (trees, 1, False), "trees_per_row": (each, 1, True)}
        if self.max_features != "sqrt":
            wanted["max_features"] = (self.max_features, 1, True)
        for name, (value, least, may_miss) in wanted.items():
            if (value is None and may_miss) or (type(value) is int and value >= least):
                continue
            raise ConfigError(f"{name} must be a whole number of at least {least}", why=f"it is {value!r}")
        if self.criterion not in ("gini", "entropy"):
            raise ConfigError(f"no criterion {self.criterion!r}", next="There are gini and entropy")

    def _rule(self, d: int) -> Rule:
        attributes = max(1, int(d**0.5)) if self.max_features == "sqrt" else self.max_features
        return Rule(self.max_depth, attributes, self.thresholds, self.random_levels, self.criterion)  # type: ignore[arg-type]

    def _row_keys(self, ids: Iterable[str]) -> U64:
        seed = derive(self.seed, "rows").to_bytes(8, "big")
        marks = b"".join(hashlib.sha256(seed + name.encode()).digest()[:8] for name in ids)
        return np.frombuffer(marks, ">u8").astype(np.uint64)

    def _held(self, ids: Iterable[str], n: int) -> NDArray[np.bool_]:
        """(n, trees) which of them hold a row."""
        trees, each = self._trees()
        return holders(np.zeros(n, np.uint64) if each is None else self._row_keys(ids), trees, each)

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        block = self._rows.ordered
        labels, number = np.unique(np.asarray(block.y), return_inverse=True)
        if len(labels) > _MOST_CLASSES:
            raise TargetError(f"{len(labels)} classes are too many", why=f"trees count up to {_MOST_CLASSES} a node")
        trees, _ = self._trees()
        key = np.array([derive(self.seed, "tree", t) for t in range(trees)], np.uint64)
        held = self._held(block.ids, len(block.ids))
        rows = [np.flatnonzero(held[:, t]) for t in range(trees)]
        grown = plant(self._rule(X.shape[1]), _codes(block.X), number, len(labels), key, rows)
        self._grown = grown, labels, block.place

    def _places(self, ids: list[str]) -> tuple[Forest, NDArray[np.int64]]:
        """The forest, in a pool that is not mostly waste, and where its rows of these ids are."""
        forest, _, place = self._grown
        if forest.pool.stale:
            forest, _, place = self._grown = self._compacted()
        return forest, np.array([place[name] for name in ids], np.int64)

    def _compacted(self) -> tuple[Forest, NDArray[Any], dict[str, int]]:
        """All that is grown, without anything of rows that are gone."""
        forest, labels, place = self._grown
        names = [name for name, at in place.items() if forest.alive[at]]
        kept = _checks.narrow(labels[np.unique(forest.labels[forest.alive])])
        return compact(forest), kept, {n: i for i, n in enumerate(names)}

    def _without(self, ids: list[str], *, dry: bool) -> tuple[Forest, Effort]:
        forest, at = self._places(ids)
        item, tree = np.nonzero(self._held(ids, len(ids)))
        return forget(forest, at, tree, at[item], dry=dry)

    def unlearn(self, ids: Iterable[str]) -> Self:
        """A new learner, as fitted without these rows; this one stays valid.

        Raises:
            StoreError: an id is not held (any more), or given twice; nothing is changed.
            ConfigError: a setting was changed since rows were learned.
        """
        self._unchanged()
        names = _checks.listed(ids)
        found = self._rows.find(names)
        if len(names) == len(self._rows):
            return self._emptied()
        fresh = self._copied(self._rows.without(found))
        effort = Effort(0, 0, 0, 0)
        if names:
            forest, effort = self._without(names, dry=False)
            fresh._grown = forest, *self._grown[1:]
        fresh.last_deletion_ = str(effort)
        return fresh

    def effort(self, ids: Iterable[str]) -> Effort:
        """What it would take to unlearn these rows; nothing is changed.

        Raises:
            StoreError: an id is not held, or given twice.
        """
        names = _checks.listed(ids)
        self._rows.find(names)
        return self._without(names, dry=True)[1] if names else Effort(0, 0, 0, 0)

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the rows that are held, sorted."""
        self._require_rows()
        return self._once("classes", lambda: _checks.narrow(self._grown[1][self._present()]))

    def _present(self) -> NDArray[np.integer]:
        forest = self._grown[0]
        return np.unique(forest.labels[forest.alive])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) mean over the trees of the shares of ``classes_`` in a row's leaf."""
        rows = self._asked(X)
        return probabilities(self._grown[0], _codes(rows))[:, self._present()]

    def decision_log(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) nats. Log of the probabilities."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def digest(self, salt: str = "") -> str:
        """Digest over settings, ids, splits and class counts.

        Args:
            salt: keeps a stranger from confirming a guess of the rows.
        """
        ids = sorted(self._rows)
        grown = [digest_bytes(shape_digest(self._grown[0])), self.classes_.tolist()] if ids else []
        return digest([salt, type(self).__name__, self.get_params(deep=False), ids, grown])

    def _statistics(self) -> State:
        kept = arrays(self._grown[0])
        return {**kept, "checksum": checksum(kept)}

    def _restore(self, state: Mapping[str, Any]) -> None:
        kept = {name: value for name, value in state.items() if name.startswith(("nodes_", "cuts_", "rows_"))}
        if checksum(kept) != state["checksum"]:
            raise TargetError("the trees changed since they were saved", why="their checksum differs")
        block = self._rows.ordered
        labels, number = np.unique(np.asarray(block.y), return_inverse=True)
        rule, trees = self._rule(block.X.shape[1]), self._trees()[0]
        self._grown = restored(kept, rule, trees, _codes(block.X), number), labels, block.place

    def __getstate__(self) -> State:
        """What a copy or a pickle holds: nothing of rows that were unlearned."""
        if not self._rows.parts:
            return super().__getstate__()
        forest, labels, place = self._compacted()
        names = list(place)
        return {**super().__getstate__(), "_grown": (arrays(forest), labels, names, forest.codes, forest.labels)}

    def __setstate__(self, state: State) -> None:
        super().__setstate__(state)
        if "_grown" in state:
            kept, labels, names, codes, numbers = state["_grown"]
            forest = restored(kept, self._rule(codes.shape[1]), self._trees()[0], codes, numbers)
            self._grown = forest, labels, {name: i for i, name in enumerate(names)}
