"""Two further ways, and what all are held against: noisy fine-tuning, a private vote of shards, retraining.

Noisy fine-tuning begins at a model of all rows and covers any number of deleted rows at once. Its noise-free steps
afterwards, on retained rows, cost nothing more; so do those of a model that begins at zero, which never saw anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.certified_data import Rows, Task
from benchmarks.certified_ways import DELTA, Made, Setting, Way
from expunge.accounting.adaptive import vote_probabilities, votes_information
from expunge.targets.noisy.fine_tuning import GradientClipping, ModelClipping, fine_tune
from expunge.targets.noisy.noise import F, source

PLAIN = 1e-4
"""Penalty of models without privacy."""
AFTERWARDS = 20
SHARDS, VOTERS = 20, 2
RATE = 4.0
"""Learning rate of all steps here; rows have norm 1, so that the loss is smooth by 1/2 at most."""


def fitted(rows: Rows) -> LogisticRegression:
    """The minimiser without noise."""
    model = LogisticRegression(C=1 / (PLAIN * len(rows)), fit_intercept=False, max_iter=500, tol=1e-5)
    return model.fit(rows.X, rows.y)


def plain(rows: Rows) -> F:
    """(d, k) its weights, one column for two classes."""
    return fitted(rows).coef_.T.astype(np.float64)


class Softmax:
    """Mean cross-entropy of some rows as a function of flat weights (d * k,)."""

    def __init__(self, rows: Rows, classes: int) -> None:
        self.rows, self.k = rows, classes
        self.own = np.eye(classes)[rows.y]

    def gradient(self, weights: F, step: int = 0) -> F:
        """(d * k,) of the mean."""
        scores = self.rows.X @ weights.reshape(-1, self.k)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        return (self.rows.X.T @ (scores - self.own)).ravel() / len(self.rows)

    def descended(self, weights: F, steps: int) -> F:
        """After gradient steps without noise."""
        for _ in range(steps):
            weights = weights - RATE * self.gradient(weights)
        return weights


def _first(task: Task) -> F:
    """(d * k,) weights of a model of all rows, as two or more columns."""
    found = plain(task.train)
    return (np.concatenate([-found / 2, found / 2], axis=1) if found.shape[1] == 1 else found).ravel()


def fine_tuned(clips: Literal["gradient", "model"], afterwards: int) -> Way:
    """Noisy steps on what is left, from a model of all rows, and steps without noise after them."""

    def way(task: Task, setting: Setting, epsilons: Sequence[float], m: int, seeds: Sequence[int]) -> dict[float, Made]:
        left, first, made = Softmax(task.train.without(task.forgotten(m)), task.classes), _first(task), {}
        clip, steps = setting["clip"], int(setting["steps"])
        for epsilon in epsilons:
            plan: Any = ModelClipping(clip=clip, lr=RATE, sigma=1.0, steps=steps)
            if clips == "gradient":
                plan = GradientClipping(
                    start_clip=clip, gradient_clip=setting["gradient"], lr=RATE, decay=0.0, sigma=1.0, steps=steps
                )
            plan = plan.calibrated(epsilon, DELTA)
            each: list[F] = []
            for seed in seeds:
                noisy = fine_tune(plan, first, left.gradient, source(seed, "fine-tuning", clips, repr(epsilon)))
                each.append(left.descended(noisy, afterwards).reshape(-1, task.classes))
            made[epsilon] = Made(np.array(each), plan.sigma)
        return made

    return way


def from_zero(task: Task, m: int) -> F:
    """(1, d, k) the same steps without noise from a model that knows nothing."""
    left = Softmax(task.train.without(task.forgotten(m)), task.classes)
    start = np.zeros(task.train.X.shape[1] * task.classes)
    return left.descended(start, AFTERWARDS).reshape(1, -1, task.classes)


def votes(task: Task, m: int, seed: int) -> np.ndarray:
    """(n, classes) how many of the shards choose each class, for test rows; the request was answered."""
    draw = np.random.default_rng([seed, SHARDS])
    shard = draw.integers(0, SHARDS, len(task.train))
    gone = np.zeros(len(task.train), bool)
    gone[task.forgotten(m)] = True
    counts = np.zeros((len(task.test), task.classes))
    for part in range(SHARDS):
        told = fitted(task.train.at(np.flatnonzero((shard == part) & ~gone))).predict(task.test.X)
        counts[np.arange(len(told)), told] += 1
    return counts


def voted(counts: np.ndarray, y: np.ndarray, epsilon: float) -> np.ndarray:
    """(n,) probability that the private vote answers rightly.

    >>> voted(np.array([[5, 3]]), np.array([1]), 4 * np.log(3) / 2).round(3).tolist()  # 3^3/2 beside 3^5/2
    [0.25]
    """
    return vote_probabilities(counts, epsilon=epsilon, voters=VOTERS)[np.arange(len(y)), y]


def per_answer(epsilon: float, answers: int, rows: int) -> float:
    """The largest epsilon of one answer with which all answers together are held to an epsilon, rounded down.

    >>> round(per_answer(2.0, 10, 5000), 3)  # 10 answers, 20 shards, 2 voters: 10 * 20 / 4 times epsilon is 2
    0.04
    """

    def told(each: float) -> float:
        more = {"voters": VOTERS, "shards": SHARDS, "coordinates": rows + SHARDS}
        return votes_information(answers, epsilon=each, slack=DELTA, **more)[0]

    low, high = 0.0, 8.0 * epsilon
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if told(middle) <= epsilon else (low, middle)
    return low
