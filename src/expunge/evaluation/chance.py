"""What a component of utility comes to without any knowledge of what is asked.

A harmonic mean with a component at chance measures noise. Chance is the largest that is known of

* for the probability among K wrong options: 1 / (1 + K), and nothing else;
* a floor: 0.1 for probability and ROUGE-L recall, 0 for the truth score;
* for ROUGE-L recall: the mean of the original's answers, each read against the answers to two other questions of the
  same data, a third and two thirds of the way on;
* for the truth score: its mean when each wrong answer in turn plays the right one, and the right one a wrong one;
* on retain: the same score on people whom the model never saw, with what they have in common with retained ones: the
  original on holdout, the references on forget (upper end of the interval, or the mean where there is none);
* for the truth score: the original on holdout, everywhere;
* the mean of a never-trained model, if one was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, Score
from expunge.core.registry import metrics
from expunge.evaluation.bootstrap import fewest_groups
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import Unmeasured, own_for_paraphrase

FLOOR = {"probability": 0.1, "rouge_l": 0.1, "truth_score": 0.0}
Component = tuple[str, str]


def chance(cast: Cast, component: Component) -> tuple[float, str]:
    """The chance level of a component and what it is.

    Args:
        cast: who plays the original, the references and, where there is one, the never-trained model.
        component: role or subset, and score.
    """
    role, name = component
    if name == "probability_options":
        mask = cast.items.column(cast.names["original"], role, "mask_perturbed")
        return float(np.mean(1 / (1 + (np.asarray(mask) > 0).any(-1).sum(-1)))), "one of the options"
    known = [(FLOOR[name], "a floor"), (_mean(cast, "untrained", role, name), "a never-trained model")]
    if name == "rouge_l":
        known.append((_once(cast, role, "shuffled"), "answers to other questions"))
    if name == "truth_score":
        known.append((_once(cast, role, "exchanged"), "wrong answers in the place of the right one"))
    if role == "retain" or name == "truth_score":
        known.append((_upper(cast, "original", "holdout", name), "people who were never seen"))
    if role == "retain":
        known += [(_upper(cast, who, "forget", name), "people who were never seen") for who in ("reference", "second")]
    return max((level, what) for level, what in known if math.isfinite(level))


def _mean(cast: Cast, who: str, role: str, name: str) -> float:
    try:
        values = cast.items.values(cast.names[who], role, name)
    except Unmeasured:
        return math.nan
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def _upper(cast: Cast, who: str, role: str, name: str) -> float:
    key: Key = (who, role, name)

    def mean(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        values = np.asarray(scores[key])
        return values.mean() if weights is None else weights[key] @ values / weights[key].sum(-1)

    try:
        found = cast.estimate(mean, [key], (0.0, 1.0))
    except Unmeasured:
        return math.nan
    return found.high if found.groups >= fewest_groups(cast.level) else found.value


def _once(cast: Cast, role: str, null: str) -> float:
    """A null that the original's tables alone decide, computed for the first row that asks."""
    model, kept = cast.names["original"], cast.items.nulls
    if (model, role, null) not in kept:
        make = shuffled if null == "shuffled" else exchanged
        try:
            found = [make(own_for_paraphrase(table)) for table in cast.items.of(model, role)]
        except Unmeasured:
            found = []
        kept[model, role, null] = float(np.mean(found)) if found else math.nan
    return kept[model, role, null]


def shuffled(table: Mapping[str, Any]) -> float:
    """ROUGE-L recall of generated answers against the answers to other questions.

    Args:
        table: with ``text`` and ``generated``, (B,) each; nan without them, or with fewer than 3 rows.

    >>> texts = ["in Oslo", "in Rome", "by car"]
    >>> round(shuffled({"text": texts, "generated": texts}), 4)  # "in" of 2 words, in 2 of 6 pairs
    0.1667
    """
    if "text" not in table or "generated" not in table or len(table["text"]) < 3:
        return math.nan
    score: Score = metrics.get("rouge_l")
    texts, count = list(table["text"]), len(table["text"])
    values = [score(texts[step:] + texts[:step], table["generated"]) for step in (count // 3, 2 * count // 3)]
    return float(np.mean(values))


def exchanged(table: Mapping[str, Any]) -> float:
    """The truth score when a wrong answer plays the right one, meaned over the wrong answers.

    Args:
        table: with the columns of the truth score; nan without them.

    >>> import math
    >>> right, wrong = [[math.log(0.5)]], [[[math.log(0.1)], [math.log(0.4)]]]
    >>> table = {"token_logp_paraphrase": right, "mask_paraphrase": [[1]]}
    >>> table |= {"token_logp_perturbed": wrong, "mask_perturbed": [[[1], [1]]]}
    >>> round(exchanged(table), 4)  # 0.1 against sqrt(0.5 * 0.4): 0; 0.4 against sqrt(0.5 * 0.1): 1 - 0.2236 / 0.4
    0.2205
    """
    score: Score = metrics.get("truth_score")
    if any(name not in table for name in score.needs):
        return math.nan
    wide = max(np.shape(table[name])[-1] for name in score.needs)
    right, right_mask, wrong, wrong_mask = (_padded(table[name], wide) for name in score.needs)
    values: list[np.ndarray] = []
    for k in range(wrong.shape[1]):
        others, others_mask = wrong.copy(), wrong_mask.copy()
        others[:, k], others_mask[:, k] = right, right_mask
        values.append(score(wrong[:, k], wrong_mask[:, k], others, others_mask))
    found = np.array(values)
    return float(np.nanmean(found)) if np.isfinite(found).any() else math.nan


def _padded(values: Any, wide: int) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, wide - array.shape[-1])])
