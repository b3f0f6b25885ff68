"""What a learner that forgets rows must do. Run it on your own: ``check_learner(lambda: MyLearner(setting=2))``.

How equal an unlearned learner must be to one that never held the rows, its attribute ``exactness`` says:

* ``bitwise``: equal digest, state and outputs, byte for byte;
* ``1e-12``: statistics within 1e-12 of their size (``sizes()`` says it of sums whose terms cancel), outputs within 1e-9
  of theirs on the rows drawn here. What a linear model solves multiplies rounding by its condition number: with columns
  that are nearly collinear, outputs may be apart by 1e-15 times that while the statistics agree;
* ``distribution``: the same rows and forms of output; that the distributions agree needs a test of its own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import ExpungeError, StoreError, TargetError
from expunge.testing.contracts import hold

Make = Callable[[], Any]
VERBS = ("predict", "predict_proba", "transform", "score_samples", "decision_log")
CANARY, CANARY_WORD = 4321.0, "canarybird"
WORDS = ("red", "blue", "green", "cat", "dog", "owl", "house", "river", "stone", "cloud")


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows for a learner.

    Args:
        X: (n, d) numbers, or (n,) texts.
        y: (n,) labels or numbers.
        ids: n names.
    """

    X: NDArray[Any]
    y: NDArray[Any]
    ids: tuple[str, ...]

    def part(self, places: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
        """X, y and ids of some rows, in the order asked."""
        at = np.array(places, np.intp)
        # A row that is left out must not show in the width of the others' labels.
        y = np.array(self.y[at].tolist()) if self.y.dtype.kind == "U" and len(at) else self.y[at]
        return self.X[at], y, [self.ids[i] for i in places]

    def without(self, gone: Sequence[int]) -> list[int]:
        """Places of the other rows."""
        return [i for i in range(len(self.ids)) if i not in set(gone)]


def sample_rows(learner: Any, *, n: int, seed: int, width: int = 3) -> Sample:
    """Random rows of the kind that a learner reads: its attributes ``features`` and ``target`` say which.

    Args:
        learner: fitted or not.
        n: rows.
        seed: of the draw.
        width: features of a row, where it is not text.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    kind = getattr(learner, "features", "real")
    if kind == "text":
        X = np.array([" ".join(rng.choice(WORDS, 4)) for _ in range(n)], dtype=object)
    elif kind == "count":
        X = rng.poisson(1.0 + 2.0 * (y[:, None] == np.arange(width)), (n, width)).astype(np.float64)
    else:
        X = rng.standard_normal((n, width)) + y[:, None] * np.linspace(0.5, 1.5, width)
    targets = np.array(list("abc"))[y]
    if getattr(learner, "target", None) == "number":
        targets = y + rng.standard_normal(n)
    return Sample(X, targets, tuple(f"row-{i}" for i in rng.permutation(n)))


def outputs(learner: Any, X: Any) -> dict[str, Any]:
    """What a learner gives for rows by each verb that it has; the message where it cannot."""
    found: dict[str, Any] = {}
    for verb in VERBS:
        if callable(getattr(learner, verb, None)):
            try:
                found[verb] = np.asarray(getattr(learner, verb)(X))
            except TargetError as error:
                found[verb] = str(error)
    return found


def _same_bytes(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        return one.tolist() == other.tolist() if one.dtype.kind == "O" else one.tobytes() == other.tobytes()
    return type(one) is type(other) and one == other


def _close(one: Any, other: Any, tolerance: float, size: float = 0.0) -> bool:
    if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)) or one.dtype.kind not in "fc":
        return _same_bytes(one, other)
    scale = np.abs(other).max(initial=size)
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=0, atol=tolerance * scale))


def hold_equal(one: Any, other: Any, X: Any, what: str) -> None:
    """Two learners are equal as their ``exactness`` says.

    Args:
        one: of two learners.
        other: of two learners.
        X: rows that both are asked for.
        what: shown where they are not.

    Raises:
        AssertionError: they differ; says in what.
    """
    hold(frozenset(one.ids_) == frozenset(other.ids_), what, "they hold other rows")
    ours, theirs = outputs(one, X), outputs(other, X)
    hold(ours.keys() == theirs.keys(), what, "they have other verbs")
    if one.exactness == "distribution":
        same = [np.shape(ours[verb]) == np.shape(theirs[verb]) for verb in ours]
        hold(all(same), what, "their outputs have other shapes")
        return
    bitwise = one.exactness == "bitwise"
    state, expected = one.state(), other.state()
    hold(state.keys() == expected.keys(), what, f"states of {sorted(state)} and of {sorted(expected)}")
    sizes = other.sizes() if callable(getattr(other, "sizes", None)) else {}
    for name in state:
        size = sizes.get(name, 0.0)
        equal = _same_bytes if bitwise else lambda a, b, size=size: _close(a, b, 1e-12, size)
        hold(equal(state[name], expected[name]), what, f"{name} differs: {state[name]!r:.80}, {expected[name]!r:.80}")
    for verb in ours:
        equal = _same_bytes if bitwise else lambda a, b: _close(a, b, 1e-9)
        hold(equal(ours[verb], theirs[verb]), what, f"{verb} differs: {ours[verb]!r:.80}, {theirs[verb]!r:.80}")
    if bitwise:
        hold(one.digest() == other.digest(), what, "their digests differ")


def _fitted(make: Make, sample: Sample, places: Sequence[int]) -> Any:
    X, y, ids = sample.part(places)
    return make().fit(X, y, ids=ids)


def check_unlearning(make: Make, sample: Sample, gone: Sequence[int]) -> None:
    """Unlearning equals never having held: at once, one by one, in another order; the old learner stays as it was.

    Args:
        make: an unfitted learner.
        sample: rows.
        gone: places of those to unlearn.
    """
    everything = range(len(sample.ids))
    learner = _fitted(make, sample, everything)
    before, X, names = learner.digest(), sample.X, [sample.ids[i] for i in gone]
    said = outputs(learner, X)
    never = _fitted(make, sample, sample.without(gone))
    at_once = learner.unlearn(names)
    hold_equal(at_once, never, X, "unlearned at once and never held")
    for order in (names, names[::-1]):
        single = learner
        for name in order:
            single = single.unlearn([name])
        hold_equal(single, never, X, "unlearned one by one and never held")
    half = len(names) // 2
    hold_equal(learner.unlearn(names[half:]).unlearn(names[:half]), never, X, "unlearned in two batches")
    shuffled = _fitted(make, sample, list(everything)[::-1]).unlearn(names)
    hold_equal(shuffled, never, X, "fitted in another order, unlearned")
    hold(learner.digest() == before, "unlearning changed the learner that it was asked of")
    after = outputs(learner, X)
    hold(all(_same_bytes(said[verb], after[verb]) for verb in said), "unlearning changed what the old learner says")


def check_identity(make: Make, sample: Sample, later: Sequence[int]) -> None:
    """Learning rows and unlearning them again changes nothing; learning in batches is learning at once.

    Args:
        make: an unfitted learner.
        sample: rows.
        later: places of those learned after the rest.
    """
    first = sample.without(later)
    X, y, ids = sample.part(later)
    alone = _fitted(make, sample, first)
    grown = _fitted(make, sample, first).partial_fit(X, y, ids=ids)
    hold_equal(grown, _fitted(make, sample, range(len(sample.ids))), sample.X, "learned in two batches and at once")
    hold_equal(grown.unlearn(ids), alone, sample.X, "rows learned and unlearned again")
    hold_equal(grown.unlearn(ids).partial_fit(X, y, ids=ids), grown, sample.X, "rows unlearned and learned again")


def check_nothing_and_everything(make: Make, sample: Sample) -> None:
    """Unlearning no row changes nothing; unlearning every row gives what no row was ever shown to."""
    learner = _fitted(make, sample, range(len(sample.ids)))
    hold(learner.unlearn([]).digest() == learner.digest(), "unlearning nothing changes the digest")
    hold_equal(learner.unlearn([]), learner, sample.X, "nothing unlearned")
    empty = learner.unlearn(sample.ids)
    hold(not empty.ids_ and empty.digest() == make().digest(), "with every row unlearned something is left")
    for verb, said in outputs(empty, sample.X).items():
        hold(isinstance(said, str), f"{verb} answers where every row was unlearned")
    hold_equal(empty.partial_fit(sample.X, sample.y, ids=sample.ids), learner, sample.X, "learned again from nothing")


def _refused(kind: type[ExpungeError], learner: Any, what: str, act: Callable[[], Any]) -> None:
    before = learner.digest()
    try:
        act()
    except kind:
        hold(learner.digest() == before, f"{what}: refused, but the learner changed")
        return
    raise AssertionError(f"{what} is not refused with a {kind.__name__}")


def check_refusals(make: Make, sample: Sample) -> None:
    """Unknown ids, ids given twice, and rows that do not fit are refused, and then nothing has changed."""
    learner = _fitted(make, sample, range(len(sample.ids)))
    name, X, y = sample.ids[0], sample.X[:1], sample.y[:1]
    _refused(StoreError, learner, "an unknown id", lambda: learner.unlearn([sample.ids[1], "nobody"]))
    _refused(StoreError, learner, "an id twice at once", lambda: learner.unlearn([name, name]))
    less = learner.unlearn([name])
    _refused(StoreError, less, "an id unlearned before", lambda: less.unlearn([name]))
    _refused(StoreError, learner, "ids as one string", lambda: learner.unlearn(name))
    _refused(StoreError, learner, "a held id learned again", lambda: learner.partial_fit(X, y, ids=[name]))
    two = np.concatenate([X, X]), np.concatenate([y, y])
    _refused(StoreError, learner, "an id twice in a fit", lambda: learner.partial_fit(*two, ids=["new", "new"]))
    _refused(StoreError, learner, "fewer ids than rows", lambda: learner.partial_fit(*two, ids=["new"]))
    if X.dtype.kind == "f":
        _refused(ExpungeError, learner, "a row of nan", lambda: learner.partial_fit(X * np.nan, y, ids=["new"]))
        wide = np.concatenate([X, X], axis=1)
        _refused(ExpungeError, learner, "a wider row", lambda: learner.partial_fit(wide, y, ids=["new"]))


def check_duplicates(make: Make, sample: Sample) -> None:
    """Equal rows under several ids are several rows: of two, one stays."""
    n = len(sample.ids)
    twice = Sample(
        np.concatenate([sample.X, sample.X]),
        np.concatenate([sample.y, sample.y]),
        (*sample.ids, *(f"{name}-again" for name in sample.ids)),
    )
    learner = _fitted(make, twice, range(2 * n))
    gone = [0, n + 1]
    never = _fitted(make, twice, twice.without(gone))
    hold_equal(learner.unlearn([twice.ids[i] for i in gone]), never, sample.X, "one of two equal rows unlearned")


def check_numbering(make: Make, sample: Sample) -> None:
    """Rows without ids are numbered from 0, later ones by the next free numbers, which no unlearned row decides."""
    n = len(sample.ids)
    learner = make().fit(sample.X, sample.y)
    hold(set(learner.ids_) == {str(i) for i in range(n)}, "rows without ids are not numbered from 0")
    grown = learner.unlearn([str(n - 1)]).partial_fit(sample.X[-1:], sample.y[-1:])
    hold_equal(grown, learner, sample.X, "the last row unlearned and learned again without an id")


def check_state(make: Make, sample: Sample, gone: Sequence[int]) -> None:
    """A state is arrays and JSON, and the learner made of it says the same; so does a copy.

    Args:
        make: an unfitted learner.
        sample: rows.
        gone: places of those unlearned before.
    """
    learner = _fitted(make, sample, range(len(sample.ids))).unlearn([sample.ids[i] for i in gone])
    state = learner.state()
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    hold(all(value.dtype.kind in "biuf" for value in arrays.values()), "a state holds arrays that are no numbers")
    rest = json.loads(json.dumps({name: value for name, value in state.items() if name not in arrays}))
    for again, what in ((type(learner).from_state(arrays | rest), "state"), (copy.deepcopy(learner), "copy")):
        hold_equal(again, learner, sample.X, f"a learner and its {what}")
        hold(again.digest() == learner.digest(), f"the digest of a {what} differs")
    more = sample.without(gone)[:1]
    names = [sample.ids[i] for i in more]
    restored = type(learner).from_state(arrays | rest)
    hold_equal(restored.unlearn(names), learner.unlearn(names), sample.X, "unlearned after loading and before")


def _reachable(value: Any, seen: set[int]) -> Iterator[Any]:
    """All arrays and strings that an object holds."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        yield value
        yield from _reachable(value.base, seen)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in (*value.keys(), *value.values()):
            yield from _reachable(item, seen)
    elif isinstance(value, (list, tuple, set, frozenset, np.ndarray)):
        for item in list(value):
            yield from _reachable(item, seen)
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        yield from _reachable(vars(value), seen)


def _structure(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Where each plain value stands in what an object would be pickled as, and the value; arrays by their bytes."""
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        yield path, (value.dtype.str, value.shape, value.tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            yield from _structure(value[key], f"{path}.{key}")
    elif isinstance(value, (list, tuple, np.ndarray)):
        yield path, len(value)
        for at, item in enumerate(value):
            yield from _structure(item, f"{path}[{at}]")
    elif isinstance(value, (set, frozenset)):
        yield path, sorted(map(repr, value))
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        state = value.__getstate__()
        yield path, type(value).__qualname__
        yield from _structure(state[0] or state[1] if isinstance(state, tuple) else state, path)
    else:
        yield path, repr(value)


def check_same_pickle(make: Make, sample: Sample, gone: Sequence[int]) -> None:
    """A copy of an unlearned learner is made of the same things, to the last byte, as one of a learner that never held
    the rows; but for ``last_deletion_``, which says what was done. What is encoded has no other place to be in.

    Args:
        make: an unfitted learner; only of a ``bitwise`` one can this be asked.
        sample: rows.
        gone: places of those to unlearn.
    """
    learner = _fitted(make, sample, range(len(sample.ids))).unlearn([sample.ids[i] for i in gone])
    never = _fitted(make, sample, sample.without(gone))
    if learner.exactness != "bitwise":
        return
    ours, theirs = (dict(_structure(one.__getstate__(), "")) for one in (learner, never))
    differ = [key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)]
    odd = sorted(key for key in differ if ".last_deletion_" not in key)
    hold(not odd, "a copy shows that rows were unlearned", ", ".join(odd[:3]))


def with_outliers(sample: Sample) -> Sample:
    """The sample with its first rows ten, a hundred ... times as far out, the farthest first."""
    if sample.X.dtype.kind != "f":
        return sample
    X, y = sample.X.copy(), sample.y.copy()
    sizes = 10.0 ** np.arange(8, 0, -1)
    X[: len(sizes), 0] = sizes
    if y.dtype.kind == "f":
        y[: len(sizes)] = sizes
    return Sample(X, y, sample.ids)


def check_no_residue(make: Make, sample: Sample) -> None:
    """A copy and a state of a learner hold nothing of a row that it unlearned: no value, label, word or id."""
    X, y = sample.X[:1].copy(), sample.y[:1]
    X[:] = CANARY_WORD if X.dtype.kind == "O" else CANARY
    y = np.array([CANARY_WORD]) if y.dtype.kind == "U" else y * 0 + CANARY
    rows, targets = np.concatenate([sample.X, X]), np.concatenate([sample.y, y])
    learner = make().fit(rows, targets, ids=[*sample.ids, CANARY_WORD])
    held = list(_reachable(copy.deepcopy(learner), set()))
    hold(any(_tells(item) for item in held), "the search finds no row that is held, so it proves nothing")
    fresh = learner.unlearn([CANARY_WORD])
    outputs(fresh, sample.X)
    for what, holder in (("copy", copy.deepcopy(fresh)), ("state", fresh.state())):
        found = [item for item in _reachable(holder, set()) if _tells(item)]
        hold(not found, f"a {what} holds something of an unlearned row", f"{found[:1]!r:.200}")


def _tells(item: Any) -> bool:
    """Whether an array or a string holds the canary."""
    if isinstance(item, str):
        return CANARY_WORD in item
    return bool((item == CANARY).any()) if item.dtype.kind in "iuf" else CANARY_WORD in item.ravel().tolist()


def check_settings(make: Make) -> None:
    """Settings are read and set by name, and a clone has the same, as scikit-learn wants it."""
    from sklearn.base import clone

    learner = make()
    settings = learner.get_params(deep=False)
    again: Any = clone(learner)
    hold(again.digest() == learner.digest(), "a clone differs")
    hold(learner.set_params(**settings).get_params(deep=False).keys() == settings.keys(), "settings get lost")
    hold(learner.exactness in ("bitwise", "1e-12", "distribution"), f"unknown exactness {learner.exactness!r}")


def check_learner(make: Make, *, seed: int = 0) -> None:
    """All of the above, on random rows.

    Args:
        make: gives an unfitted learner with its settings.
        seed: of the rows.

    Raises:
        AssertionError: the learner breaks the contract; says how.
    """
    sample = sample_rows(make(), n=30, seed=seed)
    check_settings(make)
    check_unlearning(make, sample, [3, 17, 4, 29, 0])
    check_unlearning(make, sample, range(25))
    check_identity(make, sample, [5, 6, 21])
    check_nothing_and_everything(make, sample)
    check_refusals(make, sample)
    check_duplicates(make, sample)
    check_numbering(make, sample)
    check_state(make, sample, [2, 9])
    check_no_residue(make, sample)
    lonely = np.array([*sample.y[:-1], "labelofonerow"]) if sample.y.dtype.kind == "U" else sample.y
    for gone in ([0, 7, 13, 21, 29], list(range(1, 30))):
        check_same_pickle(make, Sample(sample.X, lonely, sample.ids), gone)
    if make().exactness == "1e-12":
        check_unlearning(make, with_outliers(sample), range(8))
