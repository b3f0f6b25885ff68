"""The abstract learner: named rows in, statistics kept, rows out again by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from expunge.core.canonical import digest, digest_bytes
from expunge.core.errors import ConfigError, TargetError
from expunge.targets.learners import _checks
from expunge.targets.learners._rows import Rows, rows_of

State = dict[str, Any]
T = TypeVar("T")


def _saved(array: NDArray[Any] | None) -> Any:
    """Numbers as an array, words as a list."""
    return array.tolist() if array is not None and array.dtype.kind in "OU" else array


def digest_of(value: Any) -> Any:
    """What stands for a statistic in a digest: an array by its kind, shape and bytes."""
    if isinstance(value, np.ndarray):
        return [value.dtype.str, list(value.shape), digest_bytes(np.ascontiguousarray(value).tobytes())]
    return value


def frozen(state: State) -> State:
    """A state whose arrays, which a learner shares, nobody can write to."""
    for value in state.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return state


def sizes_of(learner: Any) -> dict[str, float]:
    """What a learner says of the sizes of its sums; nothing where it says none."""
    return learner.sizes() if callable(getattr(learner, "sizes", None)) else {}


class Learner(BaseEstimator):
    """What all learners share. A kind of learner adds how rows enter and leave its statistics.

    ``unlearn`` of every row gives the state before any row, in which nothing can be predicted.

    Attributes:
        exactness: how an unlearned learner equals one that never held the rows.
        features: what a row is: ``real`` numbers, ``count``s (not negative) or ``text``.
        target: what ``y`` is: a ``label``, a ``number`` (or several), or None where none is read.
    """

    exactness: str = "bitwise"
    features: ClassVar[Literal["real", "count", "text"]] = "real"
    target: ClassVar[Literal["label", "number"] | None] = None

    _rows: Rows = Rows()
    _learned_with: Mapping[str, Any] | None = None

    def _unchanged(self) -> None:
        """Refuse settings that were changed after rows were learned: what is kept of the rows was made with others.

        Raises:
            ConfigError: names one.
        """
        for name, value in (self._learned_with or {}).items():
            now = getattr(self, name)
            if now is not value and (type(now) is not type(value) or now != value):
                what, why = f"{name} was changed after rows were learned", f"from {value!r:.80} to {now!r:.80}"
                raise ConfigError(what, why=why, next="Set it back, or fit again")

    def _taken(self, X: Any, *, new: bool) -> NDArray[Any]:
        """Rows as they are kept, checked; ``new`` ones may be the first."""
        rows = _checks.real_rows(X, self.n_features_in_ if self._rows.parts else None)
        if self.features == "count" and (rows < 0).any():
            raise TargetError("a count is below 0")
        return rows

    def _check_settings(self) -> None:
        """Refuse settings that are wrong, before the first row."""

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        """Add rows to the statistics; ``self._rows`` holds them already."""

    def _drop(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        """Take rows out of the statistics; ``self._rows`` does not hold them any more."""

    def _statistics(self) -> State:
        """What it predicts from, beside its settings; never empty where rows are held."""
        rows = self._rows.ordered
        return {"X": _saved(rows.X)} | ({} if rows.y is None else {"y": _saved(rows.y)})

    def sizes(self) -> dict[str, float]:
        """Of sums in ``state`` whose terms may cancel, the sum of their absolute values, which rounding goes by."""
        return {}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Take the statistics from a state; ``self._rows`` is set."""

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """Compute something that follows from the statistics, and keep it until they change."""
        cache = self.__dict__.setdefault("_cache", {})
        if name not in cache:
            cache[name] = made = make()
            for array in made if isinstance(made, (tuple, list)) else (made,):
                if isinstance(array, np.ndarray):
                    array.setflags(write=False)
        return cache[name]

    def _require_rows(self) -> None:
        if not self._rows.parts:
            why = "nothing was fitted, or all of it was unlearned"
            raise TargetError(f"this {type(self).__name__} holds no rows", why=why, next="Fit it on some")

    def _asked(self, X: Any) -> NDArray[Any]:
        """Rows to predict for."""
        self._require_rows()
        return self._taken(X, new=False)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether any row is held."""
        return bool(self._rows.parts)

    @property
    def n_features_in_(self) -> int:
        """Features of a row."""
        block = self._rows.like
        if block is None:
            raise AttributeError("n_features_in_ is known once rows are held")
        return block.X.shape[1]

    @property
    def ids_(self) -> frozenset[str]:
        """Names of the rows that are in it."""
        return self._once("ids", lambda: frozenset(self._rows.names))

    @property
    def sorted_ids_(self) -> tuple[str, ...]:
        """Names of the rows that are in it, sorted."""
        return self._rows.names

    def fit(self, X: Any, y: Any = None, ids: Iterable[str] | None = None) -> Self:
        """Learn rows, and nothing else.

        Args:
            X: (n, d) one row each.
            y: (n,) or (n, m), where the learner reads targets.
            ids: n names; "0" to "n-1" where none are given.

        Returns:
            Itself; unchanged where it raises.

        Raises:
            ConfigError: a setting is wrong.
            TargetError: rows or targets that it does not take.
            StoreError: an id is given twice.
        """
        fresh = type(self)(**self.get_params(deep=False)).partial_fit(X, y, ids)
        kept = set(fresh.get_params(deep=False))
        for name in set(vars(self)) - kept:
            del self.__dict__[name]
        self.__dict__.update(fresh.__dict__)
        return self

    def partial_fit(self, X: Any, y: Any = None, ids: Iterable[str] | None = None) -> Self:
        """Learn further rows; as ``fit``, with the next free numbers where no ids are given."""
        self._unchanged()
        self._check_settings()
        kept = self._taken(X, new=True)
        like = self._rows.like
        targets: NDArray[Any] | None = None
        if self.target is not None:
            check = _checks.labels if self.target == "label" else _checks.numbers
            targets = check(y, len(kept), like.y if like else None)
        rows = self._rows.plus(_checks.names_for(ids, len(kept), self._rows), kept, targets)
        if len(kept):
            grown = self._copied(rows)
            grown._learn(kept, targets)
            grown._learned_with = self.get_params(deep=False)
            self.__dict__.update(grown.__dict__)
        return self

    def unlearn(self, ids: Iterable[str]) -> Self:
        """A new learner that holds all rows but these; this one stays valid.

        Raises:
            StoreError: an id is not held (any more), or given twice; nothing is changed.
            ConfigError: a setting was changed since rows were learned.
        """
        self._unchanged()
        found = self._rows.find(_checks.listed(ids))
        if sum(len(at) for at in found.values()) == len(self._rows):
            return self._emptied()
        fresh = self._copied(self._rows.without(found))
        if found:
            fresh._drop(*self._rows.take(found))
        return fresh

    def rows(self, ids: Iterable[str]) -> tuple[list[str], NDArray[Any], NDArray[Any] | None]:
        """Rows as they are kept: their names in the order of the rows, X, and y or None.

        Raises:
            StoreError: an id is not held (any more), or given twice.
        """
        found = sorted(self._rows.find(_checks.listed(ids)).items())
        names = [str(self._rows.parts[b].block.ids[i]) for b, at in found for i in at.tolist()]
        X, y = self._rows.take(dict(found))
        return names, X, y

    def as_kept(self, X: Any) -> NDArray[Any]:
        """What would be kept of further rows, such as the words of a text."""
        return self._taken(X, new=False)

    def _emptied(self) -> Self:
        """A learner with the same settings and no row."""
        return type(self)(**self.get_params(deep=False))

    def refitted(self) -> Self:
        """A learner fitted anew on the rows that this one holds, by which its statistics can be checked."""
        if not self._rows.parts:
            return self._emptied()
        fresh, rows = self._emptied(), self._rows.compact()
        fresh._rows = rows
        fresh._learn(rows.ordered.X, rows.ordered.y)
        fresh._learned_with = fresh.get_params(deep=False)
        return fresh

    def _copied(self, rows: Rows) -> Self:
        """A learner with these rows and the same statistics, which are never changed in place."""
        fresh = object.__new__(type(self))
        fresh.__dict__.update(self.__dict__)
        fresh.__dict__["_rows"] = rows
        fresh.__dict__["_cache"] = {}
        return fresh

    def __getstate__(self) -> State:
        """What a copy or a pickle holds: nothing of rows that were unlearned."""
        self._unchanged()
        state = {**self.__dict__, "_rows": self._rows.compact(), "_cache": {}}
        state.pop("_learned_with", None)
        return state

    def __setstate__(self, state: State) -> None:
        self.__dict__.update(state)
        if self._rows.parts:
            self._learned_with = self.get_params(deep=False)

    def digest(self, salt: str = "") -> str:
        """Digest over settings, ids and what it predicts from. Which row has which id it does not tell, except where
        rows are what it predicts from; a saved learner's file of rows has a digest of its own.

        Args:
            salt: keeps a stranger from confirming a guess of the rows.
        """
        statistics = {name: digest_of(value) for name, value in self._statistics().items()} if self._rows.parts else {}
        return digest([salt, type(self).__name__, self.get_params(deep=False), self._rows.names, statistics])

    def state(self) -> State:
        """All that it holds, as arrays and JSON: settings, rows (sorted by id) and statistics.

        Raises:
            ConfigError: a setting was changed since rows were learned.
        """
        self._unchanged()
        state: State = {
            "learner": type(self).__module__.rpartition(".")[2],
            "params": self.get_params(deep=False),
            "ids": list(self._rows.names),
        }
        if self._rows.parts:
            rows = self._rows.ordered
            state |= {"X": _saved(rows.X)} | ({} if rows.y is None else {"y": _saved(rows.y)}) | self._statistics()
        return frozen(state)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The learner that gave this state."""
        learner = cls(**state["params"])
        if state["ids"]:
            y = state.get("y")
            learner._rows = rows_of(state["ids"], cls._loaded(state["X"]), None if y is None else np.asarray(y))
            learner._restore(state)
            learner._learned_with = learner.get_params(deep=False)
        return learner

    @staticmethod
    def _loaded(X: Any) -> NDArray[Any]:
        return np.asarray(X)


class Labelled:
    """What learners of labels share: classes, and predictions from the most probable one."""

    def decision_log(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) nats. Log of a number proportional to each class's probability."""
        raise NotImplementedError

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the rows that are held, sorted."""
        raise NotImplementedError

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) the most probable label of each row; of equal ones the first."""
        scores = self.decision_log(X)
        return self.classes_[np.argmax(scores, axis=1)]

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """(n, classes) probability of each of ``classes_``."""
        scores = self.decision_log(X)
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        return raised / raised.sum(axis=1, keepdims=True)
