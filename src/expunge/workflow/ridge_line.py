"""The line below the table: exact deletion from a ridge regression, measured against a refit."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from expunge.core.evidence import Replay
from expunge.core.example import Examples
from expunge.core.outcome import Outcome
from expunge.core.selection import Selection

PENALTY = 1.0
ROUNDS = 5


def features_for(corpus: Examples, vocabulary: tuple[str, ...]) -> Any:
    """Question words against relation. The words are the vocabulary's, so that no feature depends on who is there."""
    from expunge.targets.ridge import BagOfWords

    return BagOfWords(tuple(word.lower() for word in vocabulary), tuple(sorted({e.relation for e in corpus})))


def ridge_line(
    learned: Examples, selection: Selection, features: Any, out: Path, *, salt: str
) -> tuple[Outcome[Any], dict[str, Any]]:
    """Delete the forget set from a ridge classifier of relations, and compare with a refit on the rest.

    Args:
        learned: what the learner was fitted on.
        selection: what is forgotten; all of it must have been learned.
        features: made by ``features_for``.
        out: folder for the learner after deletion.
        salt: hex; keeps digests from telling who was in the sums.

    Returns:
        The outcome, whose replay holds the refit's digest and the largest coefficient difference to it, and the line
        as the evidence file holds it.
    """
    from expunge.core.earning import earn
    from expunge.methods.exact.ridge import ridge
    from expunge.targets.ridge import RidgeLearner

    learner = RidgeLearner.fit(features, learned.items, penalty=PENALTY, salt=salt)
    rest = [e for e in learned if e.record_id not in set(selection.forget.ids)]
    outcome = ridge.unlearn(learner, selection, seed=0)
    refit = RidgeLearner.fit(features, rest, penalty=PENALTY, salt=salt)
    distance = float(abs(outcome.target.coefficients - refit.coefficients).max())
    delete, again = [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        _ = learner.unlearn(selection.forget.items).coefficients
        middle = time.perf_counter()
        _ = RidgeLearner.fit(features, rest, penalty=PENALTY).coefficients
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
    return outcome, line
