"""The line below the table: exact deletion from a ridge regression, measured against a refit."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.canonical import digest
from expunge.core.errors import StoreError
from expunge.core.evidence import Replay
from expunge.core.example import Example, Examples
from expunge.core.outcome import Outcome
from expunge.core.selection import Selection

PENALTY = 1.0
ROUNDS = 5
F = NDArray[np.float64]


@dataclass(frozen=True)
class BagOfWords:
    """Features and targets of a record: which words its question has, and which relation it is about.

    Args:
        words: fixed beforehand, so that no feature depends on who is in the corpus.
        relations: fixed beforehand.
    """

    words: tuple[str, ...]
    relations: tuple[str, ...]

    def rows(self, examples: Iterable[Example]) -> tuple[F, F]:
        """X (n, d) word counts with a constant last, Y (n, m) one-hot relations.

        Raises:
            StoreError: a relation is not in the list.
        """
        items = tuple(examples)
        column = {word: i for i, word in enumerate(self.words)}
        X = np.zeros((len(items), len(self.words) + 1))
        Y = np.zeros((len(items), len(self.relations)))
        X[:, -1] = 1.0
        for row, example in enumerate(items):
            if example.relation not in self.relations:
                raise StoreError(f"record {example.record_id!r} has the unknown relation {example.relation!r}")
            Y[row, self.relations.index(example.relation)] = 1.0
            for word in example.question.lower().replace("?", " ").split():
                if word in column:
                    X[row, column[word]] += 1.0
        return X, Y


def features_for(corpus: Examples, vocabulary: tuple[str, ...]) -> BagOfWords:
    """Question words against relation. The words are the vocabulary's, so that no feature depends on who is there."""
    return BagOfWords(tuple(word.lower() for word in vocabulary), tuple(sorted({e.relation for e in corpus})))


def fitted(features: BagOfWords, examples: Iterable[Example], *, salt: str) -> Any:
    """A ridge learner of examples. Its sums are of counts, hence integers: no order of adding changes a bit."""
    from expunge.targets.learner import Learner, make

    items = tuple(examples)
    X, Y = features.rows(items)
    learner = make("ridge", {"penalty": PENALTY, "intercept": False})
    return Learner(learner.fit(X, Y, ids=[e.record_id for e in items]), salt)


def ridge_line(
    learned: Examples, selection: Selection, features: BagOfWords, out: Path, *, salt: str
) -> tuple[Outcome[Any], dict[str, Any]]:
    """Delete the forget set from a ridge classifier of relations, and compare with a refit on the rest.

    Args:
        learned: what the learner was fitted on.
        selection: what is forgotten; all of it must have been learned.
        features: made by ``features_for``.
        out: folder for the learner after deletion.
        salt: hex, of the request; one that follows from it keeps digests from telling who was in the sums.

    Returns:
        The outcome, whose replay holds the refit's digest and the largest coefficient difference to it, and the line
        as the evidence file holds it.
    """
    from expunge.core.earning import earn
    from expunge.methods.exact.statistics import statistics as method

    # The learner's card states its salt; that of the request must go when the request is purged.
    salt = digest(["ridge", salt]).removeprefix("sha256:")
    learner = fitted(features, learned, salt=salt)
    gone = selection.forget.ids
    rest = [e for e in learned if e.record_id not in set(gone)]
    outcome = method.unlearn(learner, selection, seed=0)
    refit = fitted(features, rest, salt=salt)
    distance = float(abs(outcome.target.estimator.coef_ - refit.estimator.coef_).max())
    delete, again = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        _ = learner.unlearn(gone).estimator.coef_
        middle = time.perf_counter()
        _ = fitted(features, rest, salt=salt).estimator.coef_
        delete.append(middle - started)
        again.append(time.perf_counter() - middle)
    after = outcome.target.digest()
    replay = Replay(outcome.before, after, outcome.replay.data if outcome.replay else "", refit.digest(), distance)
    outcome.target.save(out)
    earned = earn(outcome.claim, evidence=(replay,), before=outcome.before, after=after)
    line = {
        "records": len(learned),
        "deleted": len(selection.forget),
        "largest_coefficient_difference": distance,
        "guarantee": type(earned).__name__,
        "seconds": statistics.median(delete),
        "ratio_to_retraining": statistics.median(a / b for a, b in zip(delete, again, strict=True)),
        "before": outcome.before,
        "refit": refit.digest(),
    }
    return replace(outcome, replay=replay), line
