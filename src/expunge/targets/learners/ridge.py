"""Ridge regression and least squares that forget rows. Source: Hoerl & Kennard 1970; Cao & Yang 2015, section 3."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from expunge.core.errors import ConfigError, TargetError
from expunge.targets.learners._checks import positive
from expunge.targets.learners._downdate import NormalEquations, equations, solved
from expunge.targets.learners._learner import Learner, State
from expunge.targets.learners._sums import STEP, GridSums, check_arithmetic, check_grid, restored

F = NDArray[np.float64]


class Ridge(RegressorMixin, Learner):
    """min |X W + b - Y|^2 + p |W|^2, with p the penalty, or the penalty times the number of rows.

    ``bitwise``: X'X and X'Y are integers on a grid, and solving starts from them. ``1e-12``: few rows that leave are
    kept aside, and the solution is corrected for them (Woodbury). They are subtracted from the sums once they are many,
    once the correction converges badly, and in every copy and state. The sums are added up anew once half of the rows
    are gone, or where subtracting leaves so little that rounding would show.

    Args:
        penalty: squared units of X. Of the coefficients, not of the intercept; 0 gives least squares.
        per_row: whether the penalty is multiplied by the number of rows that are held.
        intercept: whether there is one.
        exactness: ``bitwise`` or ``1e-12``.
        step: of the grid, a power of two.

    >>> ridge = Ridge(penalty=2.0, intercept=False).fit([[1.0], [2.0], [5.0]], [3.0, 4.0, 90.0]).unlearn(["2"])
    >>> ridge.coef_.round(4).tolist()  # (1*3 + 2*4) / (1 + 4 + 2)
    [1.5714]
    >>> per_row = Ridge(penalty=2.0, per_row=True, intercept=False).fit([[1.0], [2.0]], [3.0, 4.0])
    >>> per_row.coef_.round(4).tolist()  # 11 / (5 + 2*2)
    [1.2222]
    """

    target = "number"

    _sums: GridSums | None = None
    _base: NormalEquations | None = None
    _gone: tuple[F, F] | None = None

    def __init__(
        self,
        *,
        penalty: float = 1.0,
        per_row: bool = False,
        intercept: bool = True,
        exactness: str = "bitwise",
        step: float = STEP,
    ) -> None:
        self.penalty, self.per_row, self.intercept = penalty, per_row, intercept
        self.exactness, self.step = exactness, step

    def _check_settings(self) -> None:
        check_arithmetic(self.exactness, self.step)
        positive("penalty", self.penalty, zero=True)
        for name in ("per_row", "intercept"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false", why=f"it is {getattr(self, name)!r}")
        if self.intercept and self.step > 1:
            why = f"the constant 1 is no multiple of {self.step:g}"
            raise ConfigError("the grid is too coarse for an intercept", why=why, next="Scale the rows, or fit none")

    @property
    def n_features_in_(self) -> int:
        """Features of a row, without the constant."""
        return super().n_features_in_ - self.intercept

    def _taken(self, X: Any, *, new: bool) -> F:
        """Rows, with a constant 1 last where there is an intercept."""
        rows = super()._taken(X, new=new)
        if not self.intercept:
            return rows
        rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
        rows.setflags(write=False)
        return rows

    def _diagonal(self, width: int) -> F:
        """(width,) the penalty of each coefficient."""
        penalty = np.full(width, self.penalty * (len(self._rows) if self.per_row else 1))
        if self.intercept:
            penalty[-1] = 0.0
        return penalty

    def _judge(self, X: F, Y: F) -> None:
        """Refuse rows and targets that the grid would flatten, these and all that are held."""
        try:
            check_grid(X, self.step)
            check_grid(Y, self.step, "target")
        except TargetError:
            rows = self._rows.ordered
            check_grid(rows.X, self.step)
            check_grid(np.asarray(rows.y).reshape(len(rows.X), -1), self.step, "target")

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        Y = np.asarray(y).reshape(len(X), -1)
        if self.exactness == "bitwise":
            self._judge(X, Y)
            sums = GridSums.of(np.concatenate([X, Y], axis=1), "full", self.step)
            self._sums = self._sums.plus(sums) if self._sums else sums
            return
        base, penalty = self._folded(), self._diagonal(X.shape[1])
        self._base = base.plus(X, Y, penalty) if base else equations(X, Y, penalty)
        self._gone = None

    def _drop(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        Y = np.asarray(y).reshape(len(X), -1)
        if self._sums is not None:
            self._sums = self._sums.minus(GridSums.of(np.concatenate([X, Y], axis=1), "full", self.step))
            return
        if self._base is None:
            return
        aside = 0 if self._gone is None else len(self._gone[0])
        if self._gone is not None:
            X, Y = np.concatenate([self._gone[0], X]), np.concatenate([self._gone[1], Y])
        if 2 * len(self._rows) <= self._base.summed or self._base.outlives(Y):
            self._base, self._gone = self._anew(), None
            return
        self._gone = X, Y
        if self.per_row or Y.size > X.shape[1] or 4 * aside > X.shape[1]:
            self._base, self._gone = self._folded(), None

    def _anew(self) -> NormalEquations:
        """The equations, added up from the rows that are held."""
        rows = self._rows.ordered
        return equations(rows.X, np.asarray(rows.y).reshape(len(rows.X), -1), self._diagonal(rows.X.shape[1]))

    def _folded(self) -> NormalEquations | None:
        """The equations of the rows that are held, and of no others."""
        if self._base is None or self._gone is None:
            return self._base
        return self._base.folded(*self._gone, self._diagonal(len(self._base.products))) or self._anew()

    def _solve(self) -> F:
        """(d, m), the intercept last."""
        self._require_rows()
        block = self._rows.like
        width = block.X.shape[1] if block else 0
        if self._sums is not None:
            gram = self._sums.gram()
            return solved(gram[:width, :width], gram[:width, width:], self._diagonal(width))
        if self._base is not None and self._gone is not None:
            with contextlib.suppress(TargetError):
                solution = self._base.solution_without(*self._gone)
                if solution is not None:
                    return solution
            self._base, self._gone = self._folded(), None
        return self._base.solution if self._base is not None else np.empty((0, 0))

    def _coefficients(self) -> F:
        return self._once("solved", self._solve)

    @property
    def _single(self) -> bool:
        block = self._rows.like
        return block is not None and np.asarray(block.y).ndim == 1

    @property
    def coef_(self) -> F:
        """(d,) or (m, d) coefficients."""
        W = self._coefficients()[: self.n_features_in_].T
        return W[0] if self._single else W

    @property
    def intercept_(self) -> Any:
        """() or (m,) intercept."""
        W = self._coefficients()
        b = W[-1] if self.intercept else np.zeros(W.shape[1])
        return float(b[0]) if self._single else b

    def predict(self, X: Any) -> F:
        """(n,) or (n, m) predictions."""
        predicted = self._asked(X) @ self._coefficients()
        return predicted[:, 0] if self._single else predicted

    def _statistics(self) -> State:
        if self._sums is not None:
            return self._sums.arrays()
        folded = self._folded()
        return {} if folded is None else {"products": folded.products, "cross": folded.cross}

    def sizes(self) -> dict[str, float]:
        """Of X'Y, whose terms may cancel, what they come to at most (Cauchy & Schwarz)."""
        base = self._folded()
        if base is None:
            return {}
        return {"cross": float(np.sqrt(np.diagonal(base.products).max() * base.squares.max()))}

    def _restore(self, state: Mapping[str, Any]) -> None:
        if self.exactness == "bitwise":
            self._sums = restored({name: state[name] for name in ("n", "first", "second")}, "bitwise", self.step)  # type: ignore[assignment]
            return
        products, cross = state["products"], state["cross"]
        squares = np.zeros(cross.shape[1])
        self._base = NormalEquations(products, cross, squares, self._diagonal(len(products)), 0).bare()

    def __getstate__(self) -> State:
        """What a copy holds: the sums of the rows that are held."""
        folded = self._folded()
        return super().__getstate__() | {"_base": folded and folded.bare(), "_gone": None}


ridge = Ridge
