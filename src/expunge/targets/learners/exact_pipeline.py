"""Steps one after another, each of which can forget. Source: Cao & Yang 2015 (IEEE S&P), section 3.

Deleting a row from a model but not from the scaler before it is the commonest leak: here no part can be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from expunge.core.canonical import digest
from expunge.core.errors import ConfigError, TargetError
from expunge.core.registry import learners
from expunge.targets.learner import instead_of, name_of
from expunge.targets.learners import _checks
from expunge.targets.learners._learner import Learner, State, frozen, sizes_of
from expunge.targets.learners._rows import rows_of

WEAKER = ("bitwise", "1e-12", "distribution")
"""What a part may say of its exactness, the strongest first; the pipeline says the weakest."""
UNLEARNED, ANEW = "unlearned", "fitted anew on the kept rows, since a transform before it changed"


class ExactPipeline(Learner):
    """Transformers and a last learner, as scikit-learn's ``Pipeline``, all of which unlearn.

    ``unlearn`` deletes from each part. Where the transformed kept rows are the same, bit for bit, as those that the
    next part holds, that part unlearns; where they changed, it and all after it are fitted anew on them. Either way
    the result is that of a fit on the kept rows. Where the kept rows are too few for a part, they go all the same:
    that part and all after it are left unfitted, and predicting raises until further rows are learned.

    Args:
        steps: (name, unfitted learner) pairs, or [name, learner] lists; all but the last transform. Cloned when rows
            are first learned: what happens to these objects later changes nothing here.

    Attributes:
        last_deletion_: what ``unlearn`` did to each part.

    Raises:
        ConfigError: a part cannot unlearn, cannot transform, is fitted already, or shares its name.
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        self.steps = steps
        _check(steps)
        self.last_deletion_: dict[str, str] = {}
        self._parts: tuple[Any, ...] = ()
        self._between: tuple[NDArray[Any], ...] = ()
        self._own: tuple[tuple[str, Any], ...] = ()
        self._blocked = ""

    @property
    def exactness(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The weakest that a part says of its own."""
        return _weakest(list(self.named_steps.values()))

    @property
    def _steps(self) -> Sequence[Any]:
        """(name, unfitted part) pairs: what was cloned at the first rows, else what was given."""
        return self._own or self.steps

    @property
    def features(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What a row is: what the first part reads."""
        return getattr(self._steps[0][1], "features", "real")

    @property
    def target(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What ``y`` is: what the last part reads."""
        return getattr(self._steps[-1][1], "target", None)

    @property
    def named_steps(self) -> dict[str, Any]:
        """The parts by name, fitted where any row is held."""
        names, parts = zip(*self._steps, strict=True)
        return dict(zip(names, self._parts or parts, strict=True))

    def _taken(self, X: Any, *, new: bool) -> NDArray[Any]:
        given = np.asarray(X)
        if given.dtype.kind not in "OU":
            like = self._rows.like
            return _checks.real_rows(given, None if like is None else like.X.shape[1])
        if given.ndim != 1 or not all(isinstance(text, str) for text in given.tolist()):
            raise TargetError("the rows are neither numbers nor texts", next="Encode categories as columns of numbers")
        # Not as numpy's texts, each of which takes the room of the longest.
        return given.astype(object)

    def _targets(self, y: Any, n: int) -> NDArray[Any] | None:
        """Targets, checked as the last part will; as they are where it reads none."""
        like = self._rows.like
        known = like.y if like else None
        if self.target == "label":
            return _checks.labels(y, n, known)
        if self.target == "number":
            return _checks.numbers(y, n, known)
        targets = None if y is None else np.array(y)
        if targets is not None and len(targets) != n:
            raise TargetError(f"{n} rows came with {len(targets)} targets")
        if targets is not None and targets.dtype.kind in "OU":
            return _checks.labels(y, n, known)
        return targets

    def partial_fit(self, X: Any, y: Any = None, ids: Iterable[str] | None = None) -> Self:
        """Learn further rows: all parts are fitted anew on all rows, since a transform may change for the old ones."""
        self._unchanged()
        if not self._rows.parts:
            _check(self.steps)
        kept = self._taken(X, new=True)
        targets = self._targets(y, len(kept))
        rows = self._rows.plus(_checks.names_for(ids, len(kept), self._rows), kept, targets)
        if not len(kept):
            return self
        fresh = self._copied(rows)
        fresh._own = self._own or tuple((name, clone(part)) for name, part in self.steps)
        fresh._learn(kept, targets)
        fresh._learned_with = self.get_params(deep=False)
        self.__dict__.update(fresh.__dict__)
        return self

    def _learn(self, X: NDArray[Any], y: NDArray[Any] | None) -> None:
        self._own = self._own or tuple((name, clone(part)) for name, part in self.steps)
        self._carry((), (), frozenset())

    def _templates(self) -> list[Any]:
        return [clone(part) for _, part in self._steps]

    def _emptied(self) -> Self:
        """A pipeline of the same parts and no row."""
        return type(self)([(name, clone(part)) for name, part in self._steps])

    def unlearn(self, ids: Iterable[str]) -> Self:
        """A new pipeline that holds all rows but these, in no part; this one stays valid.

        Raises:
            StoreError: an id is not held (any more), or given twice; nothing is changed.
            ConfigError: the steps were changed since rows were learned.
        """
        self._unchanged()
        names = _checks.listed(ids)
        found = self._rows.find(names)
        if len(names) == len(self._rows):
            return self._emptied()
        fresh = self._copied(self._rows.without(found))
        if names:
            gone = frozenset(names)
            stays = np.array([name not in gone for name in self._rows.ordered.ids])
            fresh._carry([part.unlearn(names) for part in self._parts[:1]], [z[stays] for z in self._between], gone)
        return fresh

    def _carry(self, first: Sequence[Any], held: Sequence[NDArray[Any]], gone: frozenset[str]) -> None:
        """Fit or unlearn part after part.

        Args:
            first: of a deletion, the first part, unlearned.
            held: of a deletion, what each later part holds of the kept rows.
            gone: of a deletion, the ids.
        """
        old, templates, story = self._parts, self._templates(), dict[str, str]()
        Z, parts, between, same = self._rows.ordered.X, list[Any](), list[NDArray[Any]](), bool(gone)
        self._blocked = ""
        for at, (name, _) in enumerate(self._steps):
            try:
                if same and old[at].ids_:
                    part = first[0] if at == 0 else old[at].unlearn(sorted(gone))
                else:
                    same = False
                    part = templates[at].fit(Z, self._rows.ordered.y, ids=self._rows.ordered.ids)
                Z = _dense(part.transform(Z)) if at + 1 < len(templates) else Z
            except TargetError as error:
                if not gone:
                    raise
                # A deletion is never refused for what is left: these parts know nothing until further rows come.
                self._blocked = f"{name}: {error.what}"
                parts += templates[at:]
                break
            story[name] = UNLEARNED if same else ANEW
            parts.append(part)
            if at + 1 < len(templates):
                same = same and at < len(held) and np.array_equal(Z, held[at])
                between.append(Z)
        self._parts, self._between = tuple(parts), tuple(between)
        self.last_deletion_ = story | ({"left unfitted": self._blocked} if self._blocked else {}) if gone else {}

    def _last(self, X: Any, verb: str, *more: Any) -> Any:
        self._require_rows()
        if self._blocked:
            what = "a part of this pipeline is left unfitted since rows were unlearned"
            raise TargetError(what, why=self._blocked, next="Learn further rows")
        Z: Any = self._taken(X, new=False)
        for part in self._parts[:-1]:
            Z = _dense(part.transform(Z))
        if not hasattr(self._parts[-1], verb):
            raise TargetError(f"the last part of this pipeline has no {verb}", why=f"it is {self._parts[-1]!r:.80}")
        return getattr(self._parts[-1], verb)(Z, *more)

    def predict(self, X: Any) -> Any:
        """What the last part predicts for transformed rows."""
        return self._last(X, "predict")

    def predict_proba(self, X: Any) -> Any:
        """(n, classes) of the last part."""
        return self._last(X, "predict_proba")

    def transform(self, X: Any) -> Any:
        """Rows through all parts."""
        return self._last(X, "transform")

    def score_samples(self, X: Any) -> Any:
        """(n,) of the last part."""
        return self._last(X, "score_samples")

    def score(self, X: Any, y: Any = None) -> float:
        """Score of the last part for transformed rows: share of labels or of variance that it tells."""
        return self._last(X, "score", y)

    def digest(self, salt: str = "") -> str:
        """Digest over all parts and the ids."""
        parts = [[name, name_of(part), part.digest(salt)] for name, part in self.named_steps.items()]
        return digest([salt, type(self).__name__, parts, sorted(self._rows), self._blocked])

    def state(self) -> State:
        """All that it holds: its own rows, and the state of each part under the part's number.

        Raises:
            ConfigError: the steps were changed since rows were learned.
        """
        self._unchanged()
        steps = [[name, name_of(part)] for name, part in self.named_steps.items()]
        state: State = {"learner": name_of(self), "steps": steps, "ids": sorted(self._rows)}
        state["blocked"] = self._blocked
        if self._rows.parts:
            rows = self._rows.ordered
            state |= {"X": _plain(rows.X)} | ({} if rows.y is None else {"y": _plain(rows.y)})
            state |= {f"between.{at}": Z for at, Z in enumerate(self._between)}
        for at, part in enumerate(self.named_steps.values()):
            state |= {f"{at}.{key}": value for key, value in part.state().items()}
        return frozen(state)

    def sizes(self) -> dict[str, float]:
        """Those of each part, under the part's number."""
        parts = enumerate(self._parts)
        return {f"{at}.{name}": size for at, part in parts for name, size in sizes_of(part).items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The pipeline that gave this state."""
        parts: list[Any] = []
        for at, (_, name) in enumerate(state["steps"]):
            own = {key.partition(".")[2]: value for key, value in state.items() if key.startswith(f"{at}.")}
            parts.append(learners.get(name).from_state(own))
        names = [name for name, _ in state["steps"]]
        fresh = cls([(name, clone(part)) for name, part in zip(names, parts, strict=True)])
        if state["ids"]:
            y = state.get("y")
            X = np.array(state["X"], dtype=object) if isinstance(state["X"], list) else state["X"]
            fresh._rows = rows_of(state["ids"], X, None if y is None else np.asarray(y))
            fresh._parts, fresh._blocked = tuple(parts), state.get("blocked", "")
            known = (state.get(f"between.{at}") for at in range(len(parts) - 1))
            fresh._between = tuple(Z for Z in known if Z is not None)
            fresh._own = tuple((name, clone(part)) for name, part in zip(names, parts, strict=True))
            fresh._learned_with = fresh.get_params(deep=False)
        return fresh

    def __getstate__(self) -> State:
        """What a copy or a pickle holds: no row that was unlearned, nor any that a step was given elsewhere."""
        held = super().__getstate__()
        own = tuple((name, clone(part)) for name, part in self._steps)
        # What has been replaced since by other objects of the same settings would otherwise be kept alongside.
        return {**held, "steps": list(own), "_own": own if self._rows.parts else ()}


def _plain(array: NDArray[Any]) -> Any:
    return array.tolist() if array.dtype.kind in "OU" else array


def _dense(found: Any) -> NDArray[Any]:
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found)


def _weakest(parts: Sequence[Any]) -> str:
    said = [str(getattr(part, "exactness", WEAKER[-1])) for part in parts]
    return max(said, key=lambda one: WEAKER.index(one) if one in WEAKER else len(WEAKER))


def _check(steps: Sequence[Any]) -> None:
    """Refuse what could not forget.

    Raises:
        ConfigError: says which part does not fit, and why.
    """
    if not steps or any(not isinstance(step, (tuple, list)) or len(step) != 2 for step in steps):
        raise ConfigError("a pipeline needs (name, learner) pairs", why=f"got {steps!r:.120}")
    for at, (name, part) in enumerate(steps):
        if not isinstance(name, str) or name in (other for other, _ in steps[:at]):
            raise ConfigError(f"two parts of the pipeline are called {name!r}", next="Give each a name of its own")
        if isinstance(part, type) or not callable(getattr(part, "unlearn", None)):
            kind = part.__name__ if isinstance(part, type) else type(part).__name__
            why = "it is a class, not an object" if isinstance(part, type) else f"{kind} has no unlearn(ids)"
            why += "; what it learned of a deleted row would stay in the pipeline"
            raise ConfigError(f"the part {name!r} cannot unlearn", why=why, next=instead_of(part))
        if at + 1 < len(steps) and not callable(getattr(part, "transform", None)):
            why = f"{type(part).__name__} has no transform"
            raise ConfigError(f"the part {name!r} cannot stand before another", why=why, next="Put it last")
        if getattr(part, "ids_", ()):
            raise ConfigError(f"the part {name!r} is fitted already", why="it holds rows", next="Give an unfitted one")
        name_of(part)


exact_pipeline = ExactPipeline
