"""The numbers that a row of the table shows, each with its interval or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.core.access import Access
from expunge.core.evidence import Estimate
from expunge.core.measure import Key, Score, Statistic
from expunge.core.registry import metrics
from expunge.evaluation.attacking import mean_outcome
from expunge.evaluation.contrast import Cast, contrast
from expunge.evaluation.per_item import Unmeasured
from expunge.evaluation.utility import Component, utility
from expunge.metrics.answered import answered
from expunge.metrics.forget_quality import forget_quality, log10_p
from expunge.metrics.min_k_auc import min_k_auc
from expunge.metrics.model_utility import model_utility
from expunge.metrics.probability import probability
from expunge.metrics.refused import refused
from expunge.metrics.refused_unseen import refused_unseen
from expunge.metrics.rouge_l import rouge_l
from expunge.metrics.rouge_l_answered import rouge_l_answered
from expunge.metrics.truth_indifference import indifference, truth_indifference
from expunge.metrics.unsaid import unsaid


@dataclass(frozen=True)
class Cell:
    """What a cell shows and how it is read.

    Args:
        label: column head.
        question: what the number answers.
        better: direction that is good.
        protocol: how it is measured.
        access: flags that it needs.
        retrained: what a model that was retrained without the records gets, in words.
        beside: whether it stands beside the table: it has no column of its own, but is in the report, in the evidence
            and in the certificate.
    """

    label: str
    question: str
    better: str
    protocol: str
    access: tuple[str, ...]
    retrained: str = ""
    beside: bool = False

    def head(self, key: str) -> dict[str, str]:
        """The head of its column, as the evidence file holds it."""
        told = {name: getattr(self, name) for name in ("label", "question", "better", "retrained")}
        return {"key": key, **told}


CELLS: dict[str, Cell] = {
    "ks": Cell(
        "KS D",
        forget_quality.question,
        "lower",
        "two-sample Kolmogorov-Smirnov distance to the reference",
        ("LOGPROBS",),
        forget_quality.retrained,
    ),
    "log10_p": Cell(
        "log10 p",
        "How surprising would that distance be between two models that never saw the records?",
        "higher",
        "exact two-sided p of the distance; depends on the number of items",
        ("LOGPROBS",),
        "near 0: such distances are common between two retrained models",
    ),
    "model_utility": Cell(
        "utility",
        model_utility.question,
        "higher",
        "harmonic mean of the components on which the original is above chance",
        ("LOGPROBS", "TEXT"),
        model_utility.retrained,
    ),
    "probability": Cell(
        "probability",
        probability.question,
        "reference",
        "mean over forgotten records of exp(-nll / n)",
        ("LOGPROBS",),
        probability.retrained,
    ),
    "truth_ratio": Cell(
        "truth ratio",
        truth_indifference.question,
        "reference",
        "mean over forgotten records of min(R, 1/R), wrong answers averaged geometrically",
        ("LOGPROBS",),
        truth_indifference.retrained,
    ),
    "rouge_l": Cell(
        "ROUGE-L",
        rouge_l.question,
        "reference",
        "mean over forgotten records of ROUGE-L recall, greedy, stemmed",
        ("TEXT",),
        rouge_l.retrained,
    ),
    "min_k_auc": Cell(
        "min-k AUC",
        min_k_auc.question,
        "reference",
        "AUC of Min-40% between forget and holdout",
        ("LOGPROBS",),
        min_k_auc.retrained,
    ),
    "relearn_gap": Cell(
        "relearning gap",
        "What does a little training bring back beyond what it gives a model that never knew?",
        "lower",
        "mean probability after relearning, less that of the control",
        ("FINETUNE", "LOGPROBS"),
        "0: it is the control",
    ),
}


WISHED: dict[str, dict[str, Cell]] = {
    "refuse": {
        "answered": Cell(
            "answered",
            answered.question,
            "lower",
            "1 less the share of refusals among greedy answers on forget",
            ("TEXT",),
            answered.retrained,
        ),
        "refused_unseen": Cell(
            "refused unseen",
            refused_unseen.question,
            "reference",
            "share of refusals among greedy answers on holdout",
            ("TEXT",),
            refused_unseen.retrained,
        ),
    },
    "alternative": {
        "unsaid": Cell(
            "unsaid",
            unsaid.question,
            "lower",
            "1 less the mean ROUGE-L recall of the alternative answers, greedy, stemmed",
            ("TEXT",),
            unsaid.retrained,
        ),
    },
}
"""What only the evidence of a wish shows."""


BESIDE: dict[str, Cell] = {
    "refused": Cell(
        "refused",
        refused.question,
        "reference",
        "share of refusals among greedy answers on forget",
        ("TEXT",),
        refused.retrained,
        beside=True,
    ),
    "rouge_l_answered": Cell(
        "ROUGE-L where not refused",
        rouge_l_answered.question,
        "reference",
        "mean over forgotten records that are not refused of ROUGE-L recall, greedy, stemmed",
        ("TEXT",),
        rouge_l_answered.retrained,
        beside=True,
    ),
}
"""What a model that refuses more must be read with: how often it does, and what it says where it does not."""


def cells_for(wish: str, asked: Iterable[str] = ()) -> dict[str, Cell]:
    """The cells of a table: those of every table, those of the wish, those beside it, and those that were asked for.

    Args:
        wish: whose evidence it is.
        asked: names of scores and statistics.

    >>> list(cells_for("alternative", ["lira"]))[-4:], cells_for("neutral") == CELLS | BESIDE
    (['unsaid', 'refused', 'rouge_l_answered', 'lira'], True)
    """
    return {**CELLS, **WISHED.get(wish, {}), **BESIDE, **{name: _asked(name) for name in asked}}


def _asked(name: str) -> Cell:
    found = metrics.get(name)
    is_score = isinstance(found, Score)
    protocol = f"mean over forgotten records of {name}" if is_score else f"the statistic {name}"
    access = found.access if is_score else Access.LOGPROBS
    return Cell(name.replace("_", " "), found.question, found.better, protocol, tuple(access.names), found.retrained)


def _mean(key: Key, change: Callable[[np.ndarray], np.ndarray] = np.asarray) -> tuple[Any, list[Key]]:
    def mean(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        values = change(np.asarray(scores[key], dtype=float))
        return values.mean() if weights is None else weights[key] @ values / weights[key].sum(-1)

    return mean, [key]


def _measure(cast: Cast, key: str, kept: tuple[Component, ...]) -> Estimate:
    if key == "model_utility":
        return utility(cast, kept)
    if key == "log10_p":
        return p_of(_measure(cast, "ks", kept))
    if key == "relearn_gap":
        return cast.estimate(*contrast(mean_outcome("relearning"), {}, {"model": "reference"}), (-1.0, 1.0))
    if key not in CELLS and isinstance(metrics.get(key), Score):
        return cast.estimate(*_mean(("model", "forget", key)), (0.0, 1.0))
    forget = {"probability": np.asarray, "truth_ratio": indifference, "rouge_l": np.asarray}
    if key in forget:
        return cast.estimate(*_mean(("model", "forget", key), forget[key]), (0.0, 1.0))
    statistic: Statistic = {"ks": forget_quality}.get(key) or metrics.get(key)
    found = cast.estimate(statistic, statistic.needs, (0.0, 1.0))
    if math.isnan(found.value):
        raise Unmeasured("every answer is a refusal" if key in BESIDE else "it is not a number on these records")
    return found


def p_of(distance: Estimate) -> Estimate:
    """log10 p of a distance and of the ends of its interval; it falls as the distance grows."""
    value, low, high = (log10_p(d, distance.n) for d in (distance.value, distance.high, distance.low))
    facts = {"level": distance.level, "n": distance.n, "groups": distance.groups, "seeds": distance.seeds}
    return Estimate(value, low, high, **facts)


def measure_cells(
    cast: Cast, kept: tuple[Component, ...], shown: Iterable[str]
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """The estimates of those of the shown cells that can be had, and the reason for each that cannot."""
    found: dict[str, Estimate] = {}
    reasons: dict[str, str] = {}
    for key in shown:
        try:
            found[key] = _measure(cast, key, kept)
        except Unmeasured as reason:
            reasons[key] = str(reason)
    return found, reasons


def cell(estimate: Estimate | None, reason: str = "") -> dict[str, Any]:
    """A cell as the evidence file holds it: JSON numbers, None where there is no number.

    >>> cell(Estimate(0.25, 0.125, float("inf"), n=12, groups=6))
    {'value': 0.25, 'low': 0.125, 'high': None, 'n': 12, 'groups': 6, 'reason': ''}
    """
    if estimate is None:
        return {"value": None, "low": None, "high": None, "n": 0, "groups": 0, "reason": reason}
    numbers = {name: getattr(estimate, name) for name in ("value", "low", "high")}
    finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return {**finite, "n": estimate.n, "groups": estimate.groups, "reason": reason}
