"""The abstract learner that keeps sums: one set for all rows, or one for each label. Source: Cao & Yang 2015."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import TargetError
from expunge.targets.learners._learner import Labelled, Learner, State
from expunge.targets.learners._sums import STEP, FloatSums, Order, check_arithmetic, check_grid, restored, sums_of

Label = int | bool | str | None


class SumLearner(Learner):
    """Rows enter and leave sums; a label whose last row leaves is not known any more.

    Attributes:
        order: which products of features are summed.
        step: of the grid, where the exactness is ``bitwise``.
        counted: whether it sums zeros and ones that it makes of the rows, which are on every grid.
    """

    order: ClassVar[Order] = "first"
    counted: ClassVar[bool] = False
    step: float = STEP

    _parts: Mapping[Label, Any] = {}

    def _summed(self, X: NDArray[Any], y: NDArray[Any] | None) -> Any:
        """Sums over rows, all of one label where there are labels."""
        return sums_of(X, self.order, self.exactness, self.step)

    def _check_settings(self) -> None:
        check_arithmetic(self.exactness, self.step)

    def _split(self, X: NDArray[Any], y: NDArray[Any] | None) -> Iterator[tuple[Label, Any]]:
        if self.target != "label" or y is None:
            yield None, self._summed(X, y)
            return
        for label in np.unique(y):
            chosen = y == label
            yield label.item(), self._summed(X[chosen], y[chosen])

    def _judge(self, X: NDArray[Any]) -> None:
        """Refuse rows that the grid would flatten, these and all that are held."""
        if self.exactness == "bitwise" and not self.counted:
            try:
                check_grid(X, self.step)
            except TargetError:
                check_grid(self._rows.ordered.X, self.step)

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        self._judge(X)
        parts = dict(self._parts)
        for label, part in self._split(X, y):
            parts[label] = parts[label].plus(part) if label in parts else part
        self._parts = parts

    def _drop(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        parts = dict(self._parts)
        for label, part in self._split(X, y):
            parts[label] = parts[label].minus(part)
            if not parts[label].n:
                del parts[label]
            elif parts[label].stale:
                parts[label] = self._anew(label)
        self._parts = parts

    def _anew(self, label: Label) -> Any:
        """A label's sums, added up from its rows."""
        rows = self._rows.ordered
        if label is None or rows.y is None:
            return self._summed(rows.X, rows.y)
        chosen = rows.y == label
        return self._summed(rows.X[chosen], rows.y[chosen])

    @property
    def _whole(self) -> Any:
        """The sums over all rows, where there are no labels."""
        self._require_rows()
        return self._parts[None]

    @property
    def _labels(self) -> list[Any]:
        return sorted(label for label in self._parts if label is not None)

    def _statistics(self) -> State:
        order = self._labels or [None]
        state: State = {"labels": self._labels}
        for i, label in enumerate(order):
            state |= {f"sums.{i}.{name}": array for name, array in self._parts[label].arrays().items()}
        return state

    def sizes(self) -> dict[str, float]:
        """Of sums in ``state`` whose terms may cancel, the sum of their absolute values."""
        found: dict[str, float] = {}
        for i, label in enumerate((self._labels or [None]) if self._parts else []):
            if isinstance(part := self._parts[label], FloatSums):
                found |= {f"sums.{i}.{name}": size for name, size in part.sizes().items()}
        return found

    def __getstate__(self) -> State:
        """What a copy or a pickle holds: nothing of rows that were unlearned."""
        parts = {label: part.bare() if isinstance(part, FloatSums) else part for label, part in self._parts.items()}
        return {**super().__getstate__(), "_parts": parts}

    def _restore(self, state: Mapping[str, Any]) -> None:
        parts: dict[Label, Any] = {}
        for i, label in enumerate(state["labels"] or [None]):
            prefix = f"sums.{i}."
            arrays = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            parts[label] = restored(arrays, self.exactness, self.step)
        self._parts = parts


class LabelledSums(Labelled, SumLearner):
    """Sums for each label."""

    target = "label"

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the rows that are held, sorted."""
        self._require_rows()
        return np.array(self._labels)

    @property
    def class_count_(self) -> NDArray[np.int64]:
        """(classes,) rows of each label."""
        self._require_rows()
        return np.array([self._parts[label].n for label in self._labels])

    def _log_prior(self) -> NDArray[np.float64]:
        return np.log(self.class_count_ / self.class_count_.sum())

    def _of_each(self, what: str) -> NDArray[np.float64]:
        """(classes, ...) a statistic of each label: ``total``, ``mean`` or ``scatter``."""
        return np.stack([getattr(self._parts[label], what)() for label in self._labels])
