"""A learner trained on few rows that stand for all. Source: Mirzasoleiman et al. 2020 (arXiv 1906.01827), algorithm 1.

A row that was never chosen has still decided which others were, and how much each counts. So it needs no unlearning
only where selection and weights without it are the same, which is checked, never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from expunge.core.canonical import digest
from expunge.core.errors import ConfigError, TargetError
from expunge.core.registry import learners
from expunge.targets.learner import instead_of, name_of
from expunge.targets.learners._craig import Chosen, bare, choose, without
from expunge.targets.learners._k_means import gridded
from expunge.targets.learners._learner import Learner, State, frozen, sizes_of
from expunge.targets.learners._rows import Block, rows_of
from expunge.targets.learners._sums import check_arithmetic

F = NDArray[np.float64]
UNTOUCHED = "selection and weights are the same without the rows; the learner never used them and was not touched"


class Coreset(Learner):
    """Of each class the rows that lower the summed distance of all to the nearest of them, greedily; then a learner.

    With ``weighted``, the learner is given a chosen row once for each row that it stands for, under ids of its own:
    any deletion then changes at least one weight, and the learner unlearns that copy. Without, each counts once, and
    a deleted row that was never chosen leaves the learner untouched if the log of gains shows that the same rows are
    chosen without it. In every case the result is that of a fit without the rows; where those that are chosen then are
    too few for the learner, it is left unfitted, and predicting raises.

    Args:
        learner: unfitted; of the registry. Cloned when rows are first learned.
        per_class: rows to choose of each class; of all rows where the learner reads no labels.
        weighted: whether a chosen row counts for those that it stands for.
        step: unit of X. Of the grid on which distances are measured; a power of two.

    Attributes:
        last_deletion_: what ``unlearn`` had to do.

    >>> from expunge.targets.learners.nearest_centroid import NearestCentroid
    >>> rows, labels = [[0.0], [1.0], [2.0], [9.0]], ["low", "low", "low", "high"]
    >>> fitted = Coreset(NearestCentroid(), per_class=1, weighted=False).fit(rows, labels, ids=["a", "b", "c", "d"])
    >>> fitted.chosen_, fitted.unlearn(["a"]).chosen_  # of b and c, as far from each other, the first
    (('b', 'd'), ('b', 'd'))
    """

    last_deletion_: str = ""
    _chosen: dict[Any, Chosen]
    _inner: Any
    _own: Any = None

    def __init__(self, learner: Any, *, per_class: int = 32, weighted: bool = True, step: float = 2.0**-12) -> None:
        self.learner, self.per_class, self.weighted, self.step = learner, per_class, weighted, step
        self._check_learner()

    def _check_learner(self) -> None:
        if not callable(getattr(self.learner, "unlearn", None)):
            what = f"a coreset cannot train a {type(self.learner).__name__}"
            raise ConfigError(what, why="it has no unlearn(ids)", next=instead_of(self.learner))
        if getattr(self.learner, "ids_", ()):
            what = f"the {name_of(self.learner)} of a coreset is fitted already"
            raise ConfigError(what, why="it holds rows", next="Give an unfitted one")

    @property
    def exactness(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the learner."""
        return str(getattr(self._own or self.learner, "exactness", "distribution"))

    @property
    def target(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the learner reads."""
        return getattr(self._own or self.learner, "target", None)

    def _emptied(self) -> Self:
        own: Any = clone(self._own or self.learner)
        return type(self)(own, per_class=self.per_class, weighted=self.weighted, step=self.step)

    def _check_settings(self) -> None:
        if not self._rows.parts:
            self._check_learner()
        check_arithmetic("bitwise", self.step)
        if not isinstance(self.per_class, int) or self.per_class < 1 or not isinstance(self.weighted, bool):
            what = f"per_class cannot be {self.per_class!r}, or weighted {self.weighted!r}"
            raise ConfigError(what, next="Give a whole number above 0, and true or false")

    def _taken(self, X: Any, *, new: bool) -> F:
        rows = super()._taken(X, new=new)
        gridded(rows, self.step, 0)
        return rows

    @property
    def chosen_(self) -> tuple[str, ...]:
        """Ids of the chosen rows, sorted."""
        self._require_rows()
        return tuple(sorted(name for one in self._chosen.values() for name in one.ids))

    @property
    def used_(self) -> dict[str, int]:
        """Id of each row that the learner was given -> how often it counts; no other row was used."""
        if not self._rows.parts:
            return {}
        return self.weights_ if self.weighted else dict.fromkeys(self.chosen_, 1)

    @property
    def weights_(self) -> dict[str, int]:
        """Id of a chosen row -> rows of its class for which it stands, itself among them."""
        self._require_rows()
        pairs = (pair for one in self._chosen.values() for pair in zip(one.ids, one.counts.tolist(), strict=True))
        return dict(sorted(pairs))

    def _classes(self, block: Block) -> NDArray[Any]:
        """(n,) label of each row; one and the same where none are read."""
        return block.y if self.target == "label" and block.y is not None else np.zeros(len(block.ids), np.int64)

    def _chosen_of(self, block: Block, label: Any) -> Chosen:
        of = np.flatnonzero(self._classes(block) == label)
        X = gridded(block.X[of], self.step, 0)
        return choose(X, [block.ids[at] for at in of.tolist()], self.per_class)

    def _copies(self) -> dict[str, str]:
        """Name under which the learner holds a row -> the row's id."""
        if not self.weighted:
            return {name: name for name in self.chosen_}
        return {f"{name}#{copy}": name for name, count in self.weights_.items() for copy in range(count)}

    def _fit_inner(self) -> None:
        rows, copies = self._rows.ordered, self._copies()
        at = rows.places(list(copies.values()))
        y = None if rows.y is None else rows.y[at]
        inner: Any = clone(self._own)
        self._inner = inner.fit(rows.X[at], y, ids=list(copies))

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        self._own = self._own or clone(self.learner)
        self._select()
        self._fit_inner()
        self.last_deletion_ = ""

    def unlearn(self, ids: Any) -> Self:
        """A new learner that holds all rows but these; this one stays valid.

        Raises:
            StoreError: an id is not held (any more), or given twice; nothing is changed.
        """
        fresh = super().unlearn(ids)
        if fresh._rows.parts and len(fresh._rows) < len(self._rows):
            fresh._delete(self)
        return fresh

    def _delete(self, old: Self) -> None:
        before, rows = old._rows.ordered, self._rows.ordered
        stays = np.fromiter(map(self.ids_.__contains__, before.ids), bool)
        classes, anew = old._classes(before), 0
        self._chosen = dict(old._chosen)
        for label in np.unique(classes[~stays]).tolist():
            of = np.flatnonzero(classes == label)
            if not stays[of].any():
                del self._chosen[label]
                continue
            names, X = [before.ids[at] for at in of.tolist()], gridded(before.X[of], self.step, 0)
            logged = old._chosen[label] if len(old._chosen[label].sums) else choose(X, names, self.per_class)
            found = without(logged, X, names, stays[of], self.per_class)
            anew += found is None
            self._chosen[label] = found or self._chosen_of(rows, label)
        self._carry(old, anew)

    def _carry(self, old: Self, anew: int) -> None:
        """Bring the learner to the new selection."""
        had, has = set(old._inner.ids_), set(self._copies())
        how = f"classes whose rows were chosen anew: {anew}" if anew else "the log of gains shows it"
        if had == has:
            self._inner, self.last_deletion_ = old._inner, f"{UNTOUCHED}: {how}"
        elif has < had:
            self._inner = old._inner.unlearn(sorted(had - has))
            self.last_deletion_ = f"the learner unlearned {len(had - has)} of {len(had)} weighted rows: {how}"
        else:
            try:
                self._fit_inner()
            except TargetError as error:
                # A deletion is never refused for what is left.
                self._inner, self.last_deletion_ = clone(self._own), f"the learner is left unfitted: {error.what}"
                return
            self.last_deletion_ = f"other rows are chosen; the learner was fitted anew on {len(has)}: {how}"

    def _asked_of(self, verb: str, X: Any) -> Any:
        rows = self._asked(X)
        if not hasattr(self._inner, verb):
            raise TargetError(f"the learner of this coreset has no {verb}", why=f"it is {self._inner!r:.80}")
        return getattr(self._inner, verb)(rows)

    def predict(self, X: Any) -> Any:
        """What the learner predicts."""
        return self._asked_of("predict", X)

    def predict_proba(self, X: Any) -> Any:
        """(n, classes) of the learner."""
        return self._asked_of("predict_proba", X)

    def transform(self, X: Any) -> Any:
        """Rows through the learner."""
        return self._asked_of("transform", X)

    def digest(self, salt: str = "") -> str:
        """Digest over the settings, the ids, the selection with its weights, and the learner."""
        inner: Any = self._inner if self._rows.parts else clone(self.learner)
        weights = self.weights_ if self._rows.parts else {}
        body = [self.per_class, self.weighted, self.step, name_of(inner), inner.digest(salt), weights]
        return digest([salt, type(self).__name__, sorted(self._rows), *body])

    def state(self) -> State:
        """All that it holds but the log: settings, rows, selection, and the state of the learner.

        Raises:
            ConfigError: a setting was changed since rows were learned.
        """
        self._unchanged()
        inner: Any = self._inner if self._rows.parts else clone(self.learner)
        params = {"per_class": self.per_class, "weighted": self.weighted, "step": self.step}
        state: State = {"learner": name_of(self), "inner": name_of(inner), "params": params, "ids": sorted(self._rows)}
        if self._rows.parts:
            rows = self._rows.ordered
            kept = None if rows.y is None else rows.y.tolist() if rows.y.dtype.kind == "U" else rows.y
            state |= {"X": rows.X} | ({} if kept is None else {"y": kept})
            state["chosen"] = [[label, list(one.ids), one.counts.tolist()] for label, one in self._chosen.items()]
        return frozen(state | {f"inner.{key}": value for key, value in inner.state().items()})

    def sizes(self) -> dict[str, float]:
        """Those of the learner."""
        return {f"inner.{name}": size for name, size in sizes_of(self._inner).items()} if self._rows.parts else {}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The learner that gave this state. It has no log of gains, so that its first deletion makes one."""
        own = {key.removeprefix("inner."): value for key, value in state.items() if key.startswith("inner.")}
        inner = learners.get(state["inner"]).from_state(own)
        fresh = cls(clone(inner), **state["params"])
        if state["ids"]:
            y = state.get("y")
            fresh._rows = rows_of(state["ids"], np.asarray(state["X"]), None if y is None else np.asarray(y))
            fresh._chosen = {label: bare(ids, counts) for label, ids, counts in state["chosen"]}
            fresh._inner, fresh._own = inner, clone(inner)
            fresh._learned_with = fresh.get_params(deep=False)
        return fresh

    def __getstate__(self) -> State:
        """What a copy or a pickle holds: no rows that were unlearned, and no log."""
        held = super().__getstate__()
        if self._rows.parts:
            held["_chosen"] = {label: bare(one.ids, one.counts) for label, one in self._chosen.items()}
            held["_own"] = clone(self._own)
        return {**held, "learner": clone(self._own or self.learner)}

    def _select(self) -> None:
        rows = self._rows.ordered
        self._chosen = {label: self._chosen_of(rows, label) for label in np.unique(self._classes(rows)).tolist()}


coreset = Coreset
