"""Linear models whose rows leave by a Newton step under an (ε, δ). Source: Guo et al. 2020 (ICML), algorithm 2."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from expunge.core.errors import ConfigError, TargetError
from expunge.core.guarantee import Certified, Unproven
from expunge.targets.convex.budget import CertifyOn, Ledger, budget
from expunge.targets.convex.head import Head, trained
from expunge.targets.convex.losses import Loss, OneVsRest, loss_named
from expunge.targets.convex.objective import Objective
from expunge.targets.convex.scaled import double_rows
from expunge.targets.learners import _checks
from expunge.targets.learners._rows import Rows, rows_of
from expunge.targets.noisy.noise import System, source

F = NDArray[np.float64]
TAIL = 1e-12
"""Probability that |b| exceeds what the bound that knows nothing of b takes it to be; to be added to δ."""
ROUNDING = 1e-12
UNSOUND = (
    "the count looks at rows and noise, and decides by them whether a step or a training is published: this makes some "
    "models likelier than epsilon and delta allow"
)


@dataclass(frozen=True)
class Answered:
    """What a request cost.

    Args:
        removed: rows that left in it.
        spent: share of the budget that is spent after it, of the head that spent most; of what it would have been,
            where the model was trained again.
        retrained: empty, or ``fresh noise``, or ``same noise``.
    """

    removed: int
    spent: float
    retrained: str = ""


class ConvexModel:
    """argmin sum_i l(w.x_i, y_i) + (lam n / 2) |w|^2 + b.w, with b ~ N(0, sigma^2).

    Rows leave by one Newton step for all of a request. What it leaves of the gradient counts against the budget
    e' = sigma ε / c. Once that is spent the model is trained again, to rounding. It then draws fresh noise where the
    decision knew nothing of the old (``worst``), and keeps the noise where the decision depended on it. Only the first
    is certified: a decision that looked at the noise shows in what is published, whichever noise follows.

    The scale of rows, the set of classes and the settings are taken to be public. There is no intercept: give the rows
    a constant column, which counts in their norm and is penalised.

    Args:
        loss: ``logistic`` (two classes), ``one_vs_rest``, ``multinomial``, ``squared``, or a ``Loss`` of one's own.
        lam: penalty per row.
        sigma: standard deviation of each number of b.
        epsilon: ε of the whole model; one against the rest spends ε/K and δ/K on each of K heads.
        delta: δ of the whole model.
        certify_on: ``worst`` knows m, n and constants alone; ``bound`` sums the data-dependent bounds; ``residual``
            computes the gradient, one pass over the rows. These two tell how close it came and certify nothing.
        polish: chord steps after each request, each a pass over the rows.
        norms: ``refuse`` rows of norm above 1, or ``clip`` them to 1.
        classes: every label there may be; None to read them off the rows, which then tell that some row had each.
        seed: keys the noise, so that runs repeat; whoever knows it can take the noise off. None for a key from the
            operating system that nobody keeps.
        secure: every number from the operating system's cryptographic generator instead; refuses a seed.

    >>> model = ConvexModel(loss="squared", lam=0.25, sigma=2.0, seed=3)
    >>> model = model.fit([[0.5], [0.25], [1.0]], [3.0, 5.0, 9.0]).unlearn(["2"])
    >>> b = model.noise_[0].item()
    >>> round(model.coef_.item() * (0.5**2 + 0.25**2 + 2 * 0.25) + b, 6)  # x'y of the rows that stay
    2.75
    """

    _rows: Rows = Rows()
    _heads: tuple[Head, ...] = ()
    _classes: NDArray[Any] | None = None
    _draws: int = 0
    _log: tuple[Answered, ...] = ()

    def __init__(
        self,
        *,
        loss: str | Loss | OneVsRest = "logistic",
        lam: float = 1e-3,
        sigma: float = 10.0,
        epsilon: float = 1.0,
        delta: float = 1e-4,
        certify_on: CertifyOn = "worst",
        polish: int = 0,
        norms: str = "refuse",
        classes: Sequence[Any] | None = None,
        seed: int | None = 0,
        secure: bool = False,
    ) -> None:
        self.loss, self.lam, self.sigma, self.epsilon, self.delta = loss, lam, sigma, epsilon, delta
        self.certify_on: CertifyOn = certify_on
        self.polish, self.norms = polish, norms
        self.classes = classes
        self.seed, self.secure = seed, secure

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Settings by name."""
        first = ("loss", "lam", "sigma", "epsilon", "delta", "certify_on", "polish", "norms")
        return {name: getattr(self, name) for name in (*first, "classes", "seed", "secure")}

    def fit(self, X: Any, y: Any, ids: Iterable[str] | None = None) -> Self:
        """Learn rows, and nothing else, with a fresh draw of the noise.

        Args:
            X: (n, d) rows, of norm at most 1.
            y: (n,) labels or numbers.
            ids: n names; "0" to "n-1" where none are given.

        Returns:
            Itself; unchanged where it raises.

        Raises:
            ConfigError: a setting is wrong, or a user's loss is not what it states.
            TargetError: rows or targets that it does not take, or a training that float64 cannot finish.
            StoreError: an id is given twice.
        """
        loss = self._settled()
        rows = self._within(double_rows(X, None))
        if not len(rows):
            raise TargetError("there are no rows")
        classes, kept = self._targets(loss, y, len(rows))
        named = rows_of(_checks.names_for(ids, len(rows), Rows()), rows, kept)
        heads = self._trained(named, loss, classes, self._draws)
        self._rows, self._heads, self._classes, self._log = named, heads, classes, ()
        self._draws += 1
        self._learned_with = self.get_params()
        return self

    def unlearn(self, ids: Iterable[str]) -> Self:
        """A new model without these rows; this one stays valid.

        Raises:
            StoreError: an id is not held (any more), or given twice.
            ConfigError: a setting was changed since rows were learned.
            TargetError: no row is held, or the model cannot be trained again on what is left.
        """
        self._require_rows()
        if self.get_params() != self._learned_with:
            raise ConfigError("a setting was changed after rows were learned", next="Set it back, or fit again")
        found = self._rows.find(_checks.listed(ids))
        fresh = self._copied()
        if not found:
            return fresh
        rows = self._rows.without(found)
        if not len(rows):
            empty = type(self)(**self.get_params())
            empty._draws = self._draws
            return empty
        X, kept = self._rows.take(found)
        heads = tuple(self._stepped(head, rows, X, kept) for head in self._heads)
        spent = max(head.ledger.spent(self.certify_on) / head.ledger.budget for head in heads)
        how = ""
        if not spent <= 1:
            how = "fresh noise" if self.certify_on == "worst" else "same noise"
            heads = self._again(heads, fresh=self.certify_on == "worst")
            fresh._draws += self.certify_on == "worst"
        fresh._rows, fresh._heads = rows, heads
        fresh._log = (*self._log, Answered(len(X), spent, how))
        return fresh

    def redrawn(self) -> Self:
        """A new model on the same rows, trained with fresh noise, with a new ledger.

        When to call it must be decided without looking at the model.
        """
        self._require_rows()
        fresh = self._copied()
        fresh._heads = self._again(self._heads, fresh=True)
        fresh._draws += 1
        return fresh

    def _stepped(self, head: Head, rows: Rows, X: F, kept: Any) -> Head:
        objective = replace(head.objective, rows=rows)
        after = head.removed(objective, X, objective.targets(kept), self._noise_at_most(head))
        weigh = self.certify_on == "residual"
        if self.polish:
            return after.polished(self.polish, weigh=weigh)
        return after.weighed() if weigh else after

    def _noise_at_most(self, head: Head) -> float:
        return self.sigma * math.sqrt(float(chi2.isf(TAIL, head.W.size)))

    def _again(self, heads: tuple[Head, ...], *, fresh: bool) -> tuple[Head, ...]:
        if not fresh:
            return tuple(head.retrained() for head in heads)
        made: list[Head] = []
        for k, head in enumerate(heads):
            b = self._noise(head.W.shape, self._draws, k)
            made.append(trained(replace(head.objective, b=b), head.ledger.budget))
        return tuple(made)

    def _trained(self, rows: Rows, loss: Loss | OneVsRest, classes: Any, draw: int) -> tuple[Head, ...]:
        like = rows.like
        d = like.X.shape[1] if like else 0
        several = isinstance(loss, OneVsRest)
        one = loss.of if isinstance(loss, OneVsRest) else loss
        places: list[int | None] = list(range(len(classes))) if several else [1 if one.reads == "sign" else None]
        width = len(classes) if one.reads == "class" else 1
        limit = budget(self.sigma, self.epsilon / len(places), self.delta / len(places))
        gram: F | None = None
        heads: list[Head] = []
        for k, place in enumerate(places):
            objective = Objective(one, rows, self.lam, self._noise((d, width), draw, k), place)
            gram = objective.gram() if gram is None else gram
            heads.append(trained(objective, limit, gram=gram))
        return tuple(heads)

    def _noise(self, shape: tuple[int, ...], draw: int, head: int) -> F:
        rng = System() if self.secure else source(self.seed, "objective perturbation", draw, head)
        return self.sigma * rng.standard_normal(shape)

    def _settled(self) -> Loss | OneVsRest:
        """The loss, after all settings were checked."""
        for name in ("lam", "sigma"):
            _checks.positive(name, getattr(self, name))
        budget(self.sigma, self.epsilon, self.delta)
        if self.certify_on not in get_args(CertifyOn):
            raise ConfigError(f"certify_on cannot be {self.certify_on!r}", next="Give worst, bound or residual")
        if self.norms not in ("refuse", "clip"):
            raise ConfigError(f"norms cannot be {self.norms!r}", next="Give refuse or clip")
        if isinstance(self.polish, bool) or not isinstance(self.polish, int) or self.polish < 0:
            raise ConfigError(f"polish must be a number of steps, not {self.polish!r}")
        if self.polish and self.certify_on == "worst":
            why = "its bound is one of Newton steps alone"
            raise ConfigError("worst does not go with chord steps", why=why, next="Leave polish out")
        if self.secure and self.seed is not None:
            source(self.seed, secure=True)
        return loss_named(self.loss)

    def _within(self, rows: F) -> F:
        """Rows of norm at most 1, as is declared."""
        norms = np.sqrt((rows * rows).sum(axis=1))
        if (norms <= 1 + ROUNDING).all():
            return rows
        if self.norms == "refuse":
            what = f"row {int(norms.argmax())} has norm {norms.max():.6g}, above 1"
            why = "one row could move the model further than the noise covers"
            raise TargetError(what, why=why, next="Scale the rows by a bound that does not depend on them, or clip")
        return rows / np.maximum(norms, 1.0)[:, None]

    def _targets(self, loss: Loss | OneVsRest, y: Any, n: int) -> tuple[Any, Any]:
        """Classes or None, and what is kept of the targets."""
        if not isinstance(loss, OneVsRest) and loss.reads == "number":
            kept = _checks.numbers(y, n, None)
            if kept.ndim != 1:
                raise TargetError("one target a row is taken", why=f"the targets' shape is {kept.shape}")
            return None, kept
        labels = _checks.labels(y, n, None)
        classes = np.unique(labels)
        if self.classes is not None:
            known = np.unique(_checks.labels(self.classes, len(self.classes), labels))
            if not np.isin(classes, known).all():
                strange = classes[~np.isin(classes, known)][0]
                raise TargetError(f"the label {str(strange)!r} is not among the classes", next="Name every class")
            classes = known
        least = 2 if isinstance(loss, OneVsRest) or loss.reads == "class" else None
        if len(classes) != 2 and (least is None or len(classes) < least):
            why = f"{len(classes)} classes were given"
            raise TargetError(f"the loss {loss.name} does not take them", why=why, next="one_vs_rest takes two or more")
        return classes, np.searchsorted(classes, labels).astype(np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: no row that was unlearned."""
        rows = self._rows.compact()
        heads = tuple(replace(head, objective=replace(head.objective, rows=rows)) for head in self._heads)
        return {**self.__dict__, "_rows": rows, "_heads": heads}

    def _copied(self) -> Self:
        fresh = object.__new__(type(self))
        fresh.__dict__.update(self.__dict__)
        return fresh

    def _require_rows(self) -> None:
        if not self._heads:
            why = "nothing was fitted, or all of it was unlearned"
            raise TargetError(f"this {type(self).__name__} holds no rows", why=why, next="Fit it on some")

    @property
    def coef_(self) -> F:
        """(d, k) parameters: all of the model that may be published."""
        self._require_rows()
        return np.concatenate([head.W for head in self._heads], axis=1)

    @property
    def noise_(self) -> tuple[F, ...]:
        """(d, k) b of each head: secret, like the Hessian, and within what an erasure has to reach."""
        return tuple(head.objective.b for head in self._heads)

    @property
    def classes_(self) -> NDArray[Any]:
        """Labels of the rows of the first training, sorted."""
        if self._classes is None:
            raise AttributeError("classes_ is known once labels were fitted")
        return self._classes

    @property
    def ids_(self) -> frozenset[str]:
        """Names of the rows that are in it."""
        return frozenset(self._rows.names)

    @property
    def n_features_in_(self) -> int:
        """Features of a row."""
        self._require_rows()
        return len(self._heads[0].W)

    @property
    def ledgers_(self) -> tuple[Ledger, ...]:
        """What each head has spent since its last training."""
        return tuple(head.ledger for head in self._heads)

    @property
    def requests_(self) -> tuple[Answered, ...]:
        """What each request since ``fit`` cost, and whether it trained again."""
        return self._log

    def residuals(self) -> tuple[float, ...]:
        """|grad L_b| of each head on the rows that are held, computed now: one pass over the rows each."""
        self._require_rows()
        return tuple(float(np.linalg.norm(head.residual())) for head in self._heads)

    def assumptions(self) -> tuple[str, ...]:
        """What the stated (ε, δ) rests on."""
        drawn = "by a key, and whoever has the seed can draw it again"
        if self.seed is None:
            drawn = f"from {'the operating system' if self.secure else 'Philox under a secret key that nobody keeps'}"
        return (
            "the loss is convex and every row has norm at most 1 (enforced)",
            f"b is normal with standard deviation {self.sigma:g}, in float64, drawn {drawn}",
            "requests do not depend on any published model (oblivious)",
            "given the residual, the noise is distributed as before (Guo et al. 2020, proof of theorem 1): that a step "
            "changes volumes of the noise is left out",
            "each published model is looked at by itself; noise and Hessian stay secret",
            "classes, scale of rows, features and settings do not depend on the data",
        )

    @property
    def claim(self) -> Certified | Unproven:
        """(ε, δ) of all deletions so far together, against who chose them without looking at a model."""
        if self.certify_on != "worst":
            return Unproven(UNSOUND)
        return Certified(self.epsilon, self.delta + self.tail, "oblivious")

    @property
    def heads(self) -> int:
        """Models with a noise and a budget of their own."""
        if not isinstance(loss_named(self.loss), OneVsRest):
            return 1
        return len(self.classes_ if self.classes is None else set(self.classes))

    @property
    def tail(self) -> float:
        """Probability that a residual is larger than what ``worst`` counts."""
        return self.heads * TAIL

    @property
    def residual(self) -> float:
        """What no head's residual exceeds, counted without rows and noise."""
        return max((ledger.spent("worst") for ledger in self.ledgers_), default=0.0)

    def lasts(self) -> int:
        """How many records may leave in one request before ``worst`` trains again, whatever rows and noise are."""
        self._require_rows()
        found: list[int] = []
        for head in self._heads:
            loss = head.objective.loss
            found.append(head.ledger.lasts(loss.gamma, loss.C, self.lam, len(self._rows), self._noise_at_most(head)))
        return min(found)

    def scores(self, X: Any) -> F:
        """(n, k) W'x."""
        self._require_rows()
        rows = _checks.real_rows(X, self.n_features_in_)
        return (self._within(rows) if self.norms == "clip" else rows) @ self.coef_

    def predict(self, X: Any) -> NDArray[Any]:
        """(n,) labels, or numbers."""
        Z = self.scores(X)
        if self._classes is None:
            return Z[:, 0]
        return self._classes[(Z[:, 0] > 0).astype(np.intp) if Z.shape[1] == 1 else Z.argmax(axis=1)]

    def predict_proba(self, X: Any) -> F:
        """(n, classes) probabilities; of one against the rest, each head's, scaled to a sum of 1.

        Raises:
            ConfigError: the loss has none.
        """
        loss = loss_named(self.loss)
        one = loss.of if isinstance(loss, OneVsRest) else loss
        probability = getattr(one, "probability", None)
        if probability is None:
            raise ConfigError(f"the loss {one.name} has no probabilities")
        Z = self.scores(X)
        if not isinstance(loss, OneVsRest):
            return probability(Z)
        each = np.stack([probability(Z[:, k : k + 1])[:, 1] for k in range(Z.shape[1])], axis=1)
        return each / each.sum(axis=1, keepdims=True)
