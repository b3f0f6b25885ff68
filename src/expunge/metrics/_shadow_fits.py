"""Normal fits to shadow models with and without a record. Source: Carlini et al. 2022 (2112.03570), algorithm 1.

Below 64 models the records share one variance, as in the paper's section VI-C. Shared here is the variance around each
record's own mean; that of all confidences together would also hold how much the records differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.core.measure import MEMBER, Key
from expunge.metrics._told_apart import ROLES, Scored, draws_of, of_model

ENOUGH = 64
"""Shadow models from which on a record has a variance of its own."""
SMALLEST = 1e-12
"""Variance, nats squared, below which shadow models count as equal."""


def keys_of(part: str, name: str) -> tuple[Key, ...]:
    """What an attack by shadow models reads: a score of the model and of the shadows, and who was trained on what.

    >>> [key for key in keys_of("shadows", "loss") if key[1] == "forget"]
    [('model', 'forget', 'loss'), ('shadows', 'forget', 'loss'), ('shadows', 'forget', 'member')]
    """
    return (
        *(("model", role, name) for role in ROLES),
        *((part, role, column) for role in ROLES for column in (name, MEMBER)),
    )


@dataclass(frozen=True)
class Normal:
    """Means (B,) and variances, (B,) or (D, 1), of one role's records.

    >>> fit = Normal(np.array([3.0]), np.array([4.0]))
    >>> fit.standard(np.array([7.0])).tolist(), fit.log_density(np.array([7.0])).round(4).tolist()  # -2 - ln(4) / 2
    ([2.0], [-2.6931])
    """

    mean: np.ndarray
    variance: np.ndarray

    def standard(self, values_B: np.ndarray) -> np.ndarray:
        """How many standard deviations a value lies above the mean."""
        return (values_B - self.mean) / np.sqrt(self.variance)

    def log_density(self, values_B: np.ndarray) -> np.ndarray:
        """nats, but for the constant ln sqrt(2 pi)."""
        return -0.5 * (self.standard(values_B) ** 2 + np.log(self.variance))


def _moments(values_MB: np.ndarray, on_MB: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and sum of squares around the mean, over the models that are on."""
    count_B = on_MB.sum(0)
    if count_B.size and count_B.min() < 2:
        why = "for some record fewer than two were trained with it, or fewer than two without it"
        raise EvidenceError("there are too few shadow models", why=why, next="Train at least four")
    mean_B = (values_MB * on_MB).sum(0) / count_B
    return count_B, mean_B, ((values_MB - mean_B) ** 2 * on_MB).sum(0)


def _fits(values: Scored, on: Scored, weights: Scored) -> dict[str, Normal]:
    found = {role: _moments(values[role], on[role]) for role in ROLES}
    if len(values[ROLES[0]]) >= ENOUGH:
        return {r: Normal(mean, np.maximum(squares / (n - 1), SMALLEST)) for r, (n, mean, squares) in found.items()}
    squares_D = sum(weights[role] @ squares for role, (_, _, squares) in found.items())
    freedom_D = sum(weights[role] @ (n - 1.0) for role, (n, _, _) in found.items())
    shared_D1 = np.maximum(np.asarray(squares_D / freedom_D), SMALLEST)[:, None]
    return {role: Normal(mean, shared_D1) for role, (_, mean, _) in found.items()}


def by_record(scores: Mapping[Key, Any], weights: Scored, part: str, name: str) -> tuple[dict[str, Normal], ...]:
    """For each record, the score's distribution over the shadow models with it, and over those without it.

    Raises:
        EvidenceError: fewer than two models have, or lack, a record.

    >>> values = {"forget": [[2.0], [4.0], [0.0], [2.0]], "holdout": [[3.0], [7.0], [-5.0], [-1.0]]}
    >>> columns = [(role, column) for role in ROLES for column in ("loss", MEMBER)]
    >>> member = [[1.0], [1.0], [0.0], [0.0]]
    >>> shadows = {("s", role, c): values[role] if c == "loss" else member for role, c in columns}
    >>> drawn = {"forget": np.array([[3.0]]), "holdout": np.array([[1.0]])}
    >>> inside, outside = by_record(shadows, drawn, "s", "loss")
    >>> inside["forget"].mean.tolist(), outside["holdout"].mean.tolist()
    ([3.0], [-3.0])
    >>> inside["forget"].variance.tolist()  # squares 2 and 8, of one degree each: (3 * 2 + 8) / 4
    [[3.5]]
    """
    values, on = of_model(scores, name, part), of_model(scores, MEMBER, part)
    return _fits(values, on, weights), _fits(values, {role: 1.0 - on[role] for role in ROLES}, weights)


def of_all(scores: Mapping[Key, Any], weights: Scored, part: str, name: str) -> tuple[dict[str, Normal], ...]:
    """One distribution for all records together, over the models with them, and one over those without them.

    >>> values = {"forget": [[2.0], [4.0], [0.0], [2.0]], "holdout": [[3.0], [7.0], [-5.0], [-1.0]]}
    >>> columns = [(role, column) for role in ROLES for column in ("loss", MEMBER)]
    >>> member = [[1.0], [1.0], [0.0], [0.0]]
    >>> shadows = {("s", role, c): values[role] if c == "loss" else member for role, c in columns}
    >>> drawn = {"forget": np.array([[3.0]]), "holdout": np.array([[1.0]])}
    >>> fit = of_all(shadows, drawn, "s", "loss")[0]["holdout"]
    >>> fit.mean.tolist(), fit.variance.tolist()  # 2 and 4 three times, 3 and 7: 28 / 8, and 118 / 8 - 3.5 ** 2
    ([[3.5]], [[2.5]])
    """
    values, on = of_model(scores, name, part), of_model(scores, MEMBER, part)

    def fit(mask: Scored) -> dict[str, Normal]:
        count_D = sum(weights[r] @ mask[r].sum(0) for r in ROLES)
        mean_D = sum(weights[r] @ (values[r] * mask[r]).sum(0) for r in ROLES) / count_D
        second_D = sum(weights[r] @ (values[r] ** 2 * mask[r]).sum(0) for r in ROLES) / count_D
        variance_D = np.maximum(np.asarray(second_D - mean_D**2), SMALLEST)
        return {role: Normal(np.asarray(mean_D)[:, None], variance_D[:, None]) for role in ROLES}

    return fit(on), fit({role: 1.0 - on[role] for role in ROLES})


def log_ratios(
    scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None, part: str, name: str, *, per_record: bool = True
) -> tuple[Scored, Scored]:
    """ln N(c; with) - ln N(c; without) of the judged model's records, and the weights of the draws.

    >>> values = {"forget": [[2.0], [4.0], [0.0], [2.0]], "holdout": [[3.0], [7.0], [-5.0], [-1.0]]}
    >>> columns = [(role, column) for role in ROLES for column in ("loss", MEMBER)]
    >>> member = [[1.0], [1.0], [0.0], [0.0]]
    >>> shadows = {("s", role, c): values[role] if c == "loss" else member for role, c in columns}
    >>> judged = {("model", "forget", "loss"): [4.0], ("model", "holdout", "loss"): [5.0]}
    >>> ratios, _ = log_ratios(judged | shadows, None, "s", "loss")
    >>> ratios["forget"].round(4).tolist()  # means 3 and 1, variance (2 + 8) / 2: (9 - 1) / 2 / 5
    [[0.8]]
    """
    drawn, values = draws_of(weights, scores, name), of_model(scores, name)
    inside, outside = (by_record if per_record else of_all)(scores, drawn, part, name)
    return {r: inside[r].log_density(values[r]) - outside[r].log_density(values[r]) for r in ROLES}, drawn
