"""From the name of an attack to the statistic that tells a model that knows from one that never did.

Four kinds of comparison share the names of a policy: a statistic over models; a likelihood score marked ``attack``,
read as the AUC between forgotten and never-seen records; any other score, read as its mean over forgotten records; and
an attack that queries or changes a model, read as the mean of its outcomes, or, where it gives rows of never-seen
records too, as their AUC or as how far the others lie above their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, Score, Statistic
from expunge.core.registry import attacks, metrics
from expunge.evaluation.per_item import Unmeasured
from expunge.metrics._never_seen import mean_above
from expunge.metrics._resamples import rank_auc, weight_of, weighted_mean

OUTCOME, UNSEEN, RECORD = "outcome", "unseen", "record"


def mean_outcome(attack: str, column: str = OUTCOME) -> Statistic:
    """Mean over items of what an attack brought out, or of another column of its rows; or of a score on a role.

    >>> float(mean_outcome("relearning")({("model", "relearning", "outcome"): [0.2, 0.7]}))
    0.45
    """
    key: Key = ("model", attack, column)

    def mean(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        values_B = np.asarray(scores[key], dtype=np.float64)
        return weighted_mean(values_B, weight_of(weights, key, values_B))

    return Statistic(f"mean_{attack}", mean, (key,), "lower")


def membership_auc(score: str) -> Statistic:
    """AUC of a likelihood score between forgotten and never-seen records."""
    inside: Key = ("model", "forget", score)
    outside: Key = ("model", "holdout", score)

    def auc(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        high_B, low_B = (np.asarray(scores[key], dtype=np.float64) for key in (inside, outside))
        return rank_auc(high_B, low_B, weight_of(weights, inside, high_B), weight_of(weights, outside, low_B))

    return Statistic(f"{score}_auc", auc, (inside, outside), "reference", two_tailed=True)


def _by_kind(
    scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None, outcome: Key, unseen: Key
) -> tuple[np.ndarray, tuple[np.ndarray, ...], Any]:
    """Outcomes, weights of probed and never-seen rows, and where a resample lacks one kind: there all weigh 1."""
    values_B, unseen_B = (np.asarray(scores[key], dtype=np.float64) for key in (outcome, unseen))
    weight = weight_of(weights, outcome, values_B)
    kinds = weight * (1 - unseen_B), weight * unseen_B
    lacking = np.logical_or(*(kind.sum(-1) == 0 for kind in kinds))
    return values_B, tuple(np.where(lacking[..., None], 1.0, kind) for kind in kinds), lacking


def outcome_auc(table: str) -> Statistic:
    """AUC of an attack's outcomes between the probed records and the never-seen ones, both of which are resampled.

    A resample without records of one kind tells nothing apart: a half.

    >>> rows = {("model", "gradient_norm", "outcome"): [-1.0, -4.0, -3.0, -5.0, -2.0]}
    >>> rows["model", "gradient_norm", "unseen"] = [0.0, 0.0, 1.0, 1.0, 1.0]
    >>> round(float(outcome_auc("gradient_norm")(rows)), 3)  # -1 is above three, -4 above one: 4 of 6
    0.667
    """
    outcome, unseen = ("model", table, OUTCOME), ("model", table, UNSEEN)

    def auc(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        values_B, kinds, _ = _by_kind(scores, weights, outcome, unseen)
        return rank_auc(values_B, values_B, *kinds)

    return Statistic(f"{table}_auc", auc, (outcome, unseen), "reference", two_tailed=True)


def outcome_excess(table: str) -> Statistic:
    """Mean over the probed records of how far each outcome lies above the mean of the never-seen ones.

    A resample without records of one kind shows nothing: 0.

    >>> rows = {("model", "extraction_excess", "outcome"): [0.75, 0.125, 0.75, 0.25]}
    >>> rows["model", "extraction_excess", "unseen"] = [0.0, 0.0, 1.0, 1.0]
    >>> float(outcome_excess("extraction_excess")(rows))  # the threshold is 0.5: 0.25 and 0 above it
    0.125
    """
    outcome, unseen = ("model", table, OUTCOME), ("model", table, UNSEEN)

    def excess(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        values_B, kinds, lacking = _by_kind(scores, weights, outcome, unseen)
        return np.where(lacking, 0.0, mean_above(values_B, values_B, *kinds))

    return Statistic(f"{table}_excess", excess, (outcome, unseen), "reference")


def told_by(attack: str, table: str) -> Statistic:
    """What the rows of an attack come to: the mean of its outcomes; where it names a role ``against`` it, an AUC, or
    the excess where it says ``read = "excess"``.

    Args:
        attack: its name in the registry.
        table: the role that its rows are kept as.
    """
    if not attacks.literal(attack, "against"):
        return mean_outcome(table)
    return outcome_excess(table) if attacks.literal(attack, "read") == "excess" else outcome_auc(table)


def attack_statistic(name: str) -> tuple[Statistic, dict[str, str]]:
    """What an attack measures, and who plays whom when it is measured on a model that never knew.

    Two models that never knew differ too: their distance, not 0, is what a distance to the reference is read against.
    An attack whose rows are tensors or layers tells how much was changed, not what is known, and judges nothing.

    Args:
        name: of a statistic or a score among the metrics, or of an attack.

    Returns:
        The statistic, which says whether it reads both tails, and part -> who plays it on the control arm.

    Raises:
        Unmeasured: no attack has that name, or it is not about records.
    """
    if name in attacks.names():
        unit = attacks.literal(name, "unit") or RECORD
        if unit != RECORD:
            raise Unmeasured(f"{name} is about each {unit} and how far it moved, not about what is known of a record")
        return told_by(name, name), {"model": "reference"}
    if name in metrics.names():
        found = metrics.get(name)
        if isinstance(found, Statistic):
            against = any(model == "reference" for model, _, _ in found.needs)
            return found, {"model": "reference", **({"reference": "second"} if against else {})}
        if isinstance(found, Score) and found.attack:
            return membership_auc(name), {"model": "reference"}
        if isinstance(found, Score):
            return mean_outcome("forget", name), {"model": "reference"}
    raise Unmeasured(f"no attack is known by the name {name!r}")
