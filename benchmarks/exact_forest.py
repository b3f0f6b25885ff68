"""What deleting a row from a forest costs beside growing scikit-learn's anew; and how both grow.

Called by ``benchmarks.exact``. Rows of ``sklearn.datasets.make_classification``; deletions are of random rows, one
after the other, each from the forest that the one before left, with all that is grown anew. The refit is on the rows
that are left. One thread on both sides, CPU seconds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier

from benchmarks.exact_sisa import difference
from benchmarks.steps import clocked
from benchmarks.trust_splits import wilson
from expunge.engine.trainers.estimator import Estimator, Fitted
from expunge.targets.learners.dare_forest import DareForest

Say = Callable[[str], None]
PEERS = {"random forest": RandomForestClassifier, "extra trees": ExtraTreesClassifier}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "3 random levels": {"random_levels": 3},
    "a row in 20 trees of 100": {"trees_per_row": 20},
}
"""Beside the root of the number of attributes at each node, as scikit-learn has it, and these:"""
TOLD = (
    "n_trees",
    "n_estimators",
    "max_depth",
    "max_features",
    "thresholds",
    "criterion",
    "bootstrap",
    "min_samples_leaf",
)
"""Parameters that are printed."""
THRESHOLDS = 2
"""For an attribute; so many make the forest as accurate as scikit-learn's random forest, more make it more so."""
NEAR = 0.005
"""How far accuracies may be apart."""


@dataclass(frozen=True)
class World:
    """Rows to learn and rows to judge by."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any

    def without(self, gone: Any) -> tuple[Any, Any]:
        """Rows that are left."""
        return np.delete(self.X, gone, axis=0), np.delete(self.y, gone)


def world(n: int, d: int, test: int, seed: int = 0) -> World:
    """Two classes; half of the attributes tell of them, a quarter mixes those."""
    X, y = make_classification(n + test, d, n_informative=d // 2, n_redundant=d // 4, random_state=seed)
    return World(X[:n], y[:n], X[n:], y[n:])


class Deletions:
    """A forest from which random rows go, one request after the other.

    Args:
        settings: of the forest.
        data: what it learns.
        order: rows, as they are to go.
    """

    def __init__(self, settings: dict[str, Any], data: World, order: Any) -> None:
        self.forest = DareForest(thresholds=THRESHOLDS, **settings)
        self.order, self.next, self.seconds = order, 0, []
        self.fit_seconds = clocked(lambda: self.forest.fit(data.X, data.y))[0]
        self.right = self.forest.predict(data.X_test) == data.y_test
        self.accuracy = float(self.right.mean())

    def go(self, requests: int, each: int = 1) -> None:
        """Take requests of some rows each, and note the seconds of each."""
        for _ in range(requests):
            names = [str(i) for i in self.order[self.next : self.next + each]]
            self.next += each

            def act(names: list[str] = names) -> None:
                self.forest = self.forest.unlearn(names)

            self.seconds.append(clocked(act)[0])

    @property
    def mean(self) -> float:
        """CPU seconds of a request."""
        return statistics.fmean(self.seconds)


def headline(n: int, trees: int, requests: int, rounds: int, say: Say) -> dict[str, float]:
    """A refit, then some deletions, and again: ratios of the refit's median to the mean deletion.

    Raises:
        SystemExit: a forest with rows deleted is not the one that is fitted without them.
    """
    data = world(n, 20, n)
    order = np.random.default_rng(1).permutation(n)
    ours = {name: Deletions({"n_trees": trees, **more}, data, order) for name, more in SETTINGS.items()}
    refits: dict[str, list[float]] = {name: [] for name in PEERS}
    right: dict[str, Any] = {}
    held: dict[str, int] = {}
    for number in range(rounds):
        for name, kind in PEERS.items():
            peer = kind(trees, max_depth=10, n_jobs=1, random_state=number)
            X, y = data.without(order[: ours["plain"].next])
            refits[name].append(clocked(lambda peer=peer, X=X, y=y: peer.fit(X, y))[0])
            right.setdefault(name, peer.predict(data.X_test) == data.y_test)
            held[name] = sum(_nodes(tree) for tree in peer.estimators_)
        for each in ours.values():
            each.go(requests // rounds)
    plain = ours["plain"]
    say(f"{n} rows x 20, {trees} trees of depth 10, {len(plain.seconds)} deletions, {rounds} rounds, {n} test rows")
    say(f"ours: {_told(plain.forest.get_params())}")
    for name, kind in PEERS.items():
        say(f"scikit-learn's {name}: {_told(kind(trees, max_depth=10, n_jobs=1).get_params())}")
    say(f"\n{'accuracy, first round, 90 % intervals over test rows':54} fit s   MB of nodes")
    for name in PEERS:
        seconds = statistics.median(refits[name])
        say(f"scikit-learn's {name:13} {_share(right[name])} {seconds:6.2f} {held[name] / 1e6:13.1f}")
    apart, low, high = (100 * value for value in difference(plain.right * 1.0, right["random forest"] * 1.0))
    say(f"{'ours, plain':28} {_share(plain.right)}, {apart:+.2f} [{low:+.2f}, {high:+.2f}] points beside random forest")
    say(f"\n{'deletion':26} accuracy  fit s  mean ms  median ms  most ms  over random forest  over extra trees")
    ratios: dict[str, float] = {}
    for name, each in ours.items():
        over = {peer: statistics.median(seconds) / each.mean for peer, seconds in refits.items()}
        ms = [1000 * value for value in (each.mean, statistics.median(each.seconds), max(each.seconds))]
        say(
            f"{name:26} {each.accuracy:8.4f} {each.fit_seconds:6.2f} {ms[0]:8.2f} {ms[1]:10.2f} {ms[2]:8.2f}"
            f" {over['random forest']:19.1f} {over['extra trees']:17.1f}"
        )
        ratios |= {f"{name} over {peer}": value for peer, value in over.items()}
    efforts = [plain.forest.effort([str(i)]) for i in order[plain.next : plain.next + 20]]
    nodes, rows = (statistics.fmean(getattr(e, field) for e in efforts) for field in ("nodes", "rows"))
    floor = _sorting(int(rows))
    say(
        f"\nFloor: a deletion lowers counts of {nodes:.0f} nodes and grows anew what {rows:.0f} rows are in;"
        f" sorting their values once takes {1000 * floor:.2f} ms, {floor / plain.mean:.0%} of a plain deletion"
    )
    kept = sum(array.nbytes for array in plain.forest.state().values() if isinstance(array, np.ndarray))
    say(
        f"Arrays of the plain forest are {kept / 1e6:.1f} MB in memory, {data.X.nbytes / 1e6:.1f} MB of them its rows;"
        f" on disk it is {_filed(plain.forest) / 1e6:.1f} MB, names included"
    )
    X, y = data.without(order[: plain.next])
    names = [str(i) for i in range(n) if i not in set(order[: plain.next].tolist())]
    if DareForest(trees, thresholds=THRESHOLDS).fit(X, y, names).digest() != plain.forest.digest():
        sys.exit("the forest after the deletions is not the one that is fitted without the rows")
    say("After all deletions the plain forest is, by its digest, the one that is fitted without the rows")
    accuracies = {f"accuracy {name}": float(each.mean()) for name, each in right.items()}
    return ratios | accuracies | {"accuracy": plain.accuracy}


def _told(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {parameters[name]}" for name in TOLD if name in parameters)


def _share(right: Any) -> str:
    low, high = (100 * end for end in wilson(float(right.mean()), len(right)))
    return f"{100 * right.mean():6.2f} [{low:.2f}, {high:.2f}] %"


def _nodes(tree: Any) -> int:
    state = tree.tree_.__getstate__()
    return state["nodes"].nbytes + state["values"].nbytes


def _filed(forest: DareForest) -> int:
    """Bytes of a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        Estimator("expunge.targets.learners.dare_forest:DareForest").save(Fitted(forest), Path(folder))
        return sum(file.stat().st_size for file in Path(folder).iterdir())


def _sorting(rows: int) -> float:
    """CPU seconds of sorting the values of so many rows in four attributes."""
    values = np.random.default_rng(0).integers(0, 1 << 63, 4 * rows, dtype=np.uint64)
    return statistics.median(clocked(values.copy().sort)[0] for _ in range(9))


def growth(trees: int, largest: int, say: Say) -> list[dict[str, float | str]]:
    """How deleting and refitting grow with rows, attributes and the size of a request: data for a plot."""
    rows: list[dict[str, float | str]] = []
    say(f"\n{trees} trees\n{'':12} {'':>7} request ms  a row ms  random forest s     ratio")
    for what, value, n, d, each in _grid(largest):
        data = world(n, d, 100)
        ours = Deletions({"n_trees": trees}, data, np.random.default_rng(1).permutation(n))
        ours.go(min(max(2, 100 // each), n // (2 * each)), each)
        X, y = data.without(ours.order[: ours.next])
        peer = RandomForestClassifier(trees, max_depth=10, n_jobs=1, random_state=0)
        refit = clocked(lambda peer=peer, X=X, y=y: peer.fit(X, y))[0]
        rows.append({"what": what, "value": value, "request_s": ours.mean, "refit_s": refit})
        say(
            f"{what:12} {value:7d} {1000 * ours.mean:10.2f} {1000 * ours.mean / each:9.3f} {refit:16.3f}"
            f" {refit / ours.mean:9.1f}"
        )
    return rows


def _grid(largest: int) -> Iterator[tuple[str, int, int, int, int]]:
    for n in (largest // 16, largest // 8, largest // 4, largest // 2, largest):
        yield "rows", n, n, 20, 1
    for d in (8, 16, 32, 64):
        yield "attributes", d, largest // 2, d, 1
    for each in (1, 10, 100, 1000):
        yield "at once", min(each, largest // 8), largest, 20, min(each, largest // 8)
