"""Who pays: accuracy by sex and race at every epsilon, and how well forgotten rows are still told apart, by group.

Each row of a group stands for all seeds of the noise: it is resampled with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import certified_tuning as tuning
from benchmarks import certified_ways as made
from benchmarks.certified_data import Rows, Task
from expunge.evaluation.by_group import Answers, Pair, by_group
from expunge.targets.noisy.noise import F

SHARE, DRAWS = 10, 300
"""One row in so many is forgotten where forgetting is told by group."""
PRIVATE = {"lr": 2.0}
CONVEX: dict[str, Any] = {"loss": "logistic", "lam": 1e-4, "sigma": 5.0, "epsilon": 1.0, "delta": made.DELTA}


def answers(rows: Rows, weights: F) -> Answers:
    """What models (seeds, d, 1 or 2) say of rows, one after another; a row is one person at every seed."""
    scores = np.einsum("nd,sdk->snk", rows.X, weights)
    margin = scores[:, :, 0] if scores.shape[2] == 1 else scores[:, :, 1] - scores[:, :, 0]
    y = np.tile(rows.y, len(weights))
    signed = np.where(y == 1, 1.0, -1.0) * margin.ravel()
    groups = {name: np.tile(found, len(weights)).tolist() for name, found in rows.who.items()}
    people = np.tile(np.arange(len(rows)).astype(str), len(weights)).tolist()
    return Answers((margin.ravel() > 0).astype(int), y, np.logaddexp(0.0, -signed), groups, people)


def told(score: str, models: F, plain: F, members: Rows, unseen: Rows) -> list[dict[str, Any]]:
    """One score by group, with the differences to a model without privacy."""
    members = members if score == "membership_auc" else members.at(slice(0, 1000))
    against: Pair = (answers(members, plain), answers(unseen, plain))
    found = by_group(answers(members, models), answers(unseen, models), against=against, draws=DRAWS)
    return [one for one in found if one["score"] == score]


def groups(task: Task, epsilons: Sequence[float], seeds: Sequence[int]) -> dict[str, Any]:
    """Accuracy by group of DP-SGD beside a model without privacy; the loss attack before and after a deletion.

    Returns:
        Empty where rows have no groups. ``accuracy``: a list of ``model, epsilon, cells``; ``forgetting``: a list of
        ``model, cells``, whose members are the rows that were asked for.
    """
    if not task.train.who:
        return {}
    every = [str(at) for at in range(len(task.train))]
    gone = task.forgotten(len(task.train) // SHARE)
    names = [every[at] for at in gone]
    kept, asked = task.train.without(gone), task.train.at(gone)
    whole = np.repeat(tuning.plain(task.train)[None], len(seeds), axis=0)
    retrained = np.repeat(tuning.plain(kept)[None], len(seeds), axis=0)
    accuracy: list[dict[str, Any]] = [
        {"model": "without privacy", "epsilon": None, "cells": told("accuracy", whole, whole, asked, task.test)}
    ]
    private: dict[float, F] = {}
    for epsilon, found in made.dp_sgd(task, PRIVATE, epsilons, 1, seeds).items():
        assert found.weights is not None
        private[epsilon] = found.weights
        accuracy.append(
            {"model": "DP-SGD", "epsilon": epsilon, "cells": told("accuracy", found.weights, whole, asked, task.test)}
        )
    newton, before, again = list[F](), list[F](), 0
    for seed in seeds:
        model = made.ConvexModel(**CONVEX, certify_on="residual", polish=1, norms="clip", seed=seed)
        model = model.fit(task.train.X, task.train.y, every)
        before.append(model.coef_)
        after = model.unlearn(names)
        newton.append(after.coef_)
        again += bool(after.requests_[-1].retrained)
    forgetting = [
        {"model": name, "cells": told("membership_auc", weights, retrained, asked, task.test)}
        for name, weights in (
            ("original, without privacy", whole),
            ("original, with the noise of Newton removal", np.array(before)),
            ("after Newton removal", np.array(newton)),
            ("DP-SGD, epsilon 1, which does nothing", private.get(1.0, next(iter(private.values())))),
            ("retrained", retrained),
        )
    ]
    facts = {"forgotten": len(gone), "again": again, "settings": CONVEX, "private": PRIVATE}
    return {"accuracy": accuracy, "forgetting": forgetting, **facts}
