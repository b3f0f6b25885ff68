"""What the report draws of single items, recomputed from score tables. It holds no id, no name and no text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from expunge.evaluation.attacking import mean_outcome
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem, Unmeasured

# No finer than a reader needs: who holds a model could otherwise find a record by its number.
SCORES = {"probability": "{:.2f}", "truth_ratio": "{:.2g}", "rouge_l": "{:.2f}", "min_k": "{:.1f}"}
ATTACK = "relearning"
LIMIT = 1e30


def numbering(items: PerItem, original: str = "original") -> list[int]:
    """The order in which items are numbered: from the one that the original knows best.

    The number of an item thus says what the original says of it, and nothing of who it is about.

    Args:
        items: scores of all models.
        original: name of the model before unlearning.

    Returns:
        Positions in the common order of the ids; the first is that of item 1.

    Raises:
        Unmeasured: the original's probabilities cannot be had.

    >>> table = {"ids": ["a", "b", "c"], "subjects": ["x", "y", "x"], "probability": [0.2, 0.9, 0.5]}
    >>> numbering(PerItem({"original": {"forget": table}}))
    [1, 2, 0]
    """
    known = np.nan_to_num(items.values(original, "forget", "probability").mean(axis=0), nan=-1.0)
    return sorted(range(len(known)), key=lambda place: (-known[place], place))


def _short(value: float, form: str) -> float | None:
    return None if np.isnan(value) else float(form.format(np.clip(value, -LIMIT, LIMIT))) + 0.0


def item_scores(items: PerItem, models: Mapping[str, str]) -> dict[str, Any]:
    """Scores of each forgotten item by each model, to two or three digits.

    Args:
        items: scores of all models.
        models: key of a row -> name of its model in the tables.

    Returns:
        ``people``: number of each item's person, by first appearance; ``scores``: score -> key -> one number an item,
        None where the item has none. Means over seeds. Empty where the original cannot be scored.
    """
    try:
        order = numbering(items)
    except Unmeasured:
        return {}
    subjects = items.subjects("forget")
    numbers: dict[str, int] = {}
    people = [numbers.setdefault(subjects[place], len(numbers) + 1) for place in order]
    scores: dict[str, dict[str, list[float | None]]] = {}
    for name, form in SCORES.items():
        for key, model in models.items():
            try:
                values = items.values(model, "forget", name).mean(axis=0)
            except Unmeasured:
                continue
            scores.setdefault(name, {})[key] = [_short(float(values[place]), form) for place in order]
    return {"people": people, "scores": scores}


def _tokens(items: PerItem, model: str, place: int) -> list[float]:
    logp, mask = (items.column(model, "forget", name) for name in ("token_logp", "mask"))
    if logp is None or mask is None:
        raise Unmeasured(f"{model} has no token probabilities")
    return [round(float(p), 2) for p in np.exp(logp[place])[np.asarray(mask[place]) > 0]]


def strips(items: PerItem, model: str, *, original: str = "original", reference: str = "reference") -> list[Any]:
    """Token probabilities of three answers before, after and without: the rule that picks them looks at no text.

    Args:
        items: scores of all models; with several seeds the first one's.
        model: name of the unlearned model.
        original: name of the model before unlearning.
        reference: name of the model that never knew.

    Returns:
        For the items with the highest, the middle and the lowest probability after unlearning: ``item`` (its number),
        ``rank`` and the probability of each token by ``before``, ``after`` and ``retrained``. Empty where a model
        cannot be scored.
    """
    try:
        order = numbering(items, original)
        after = np.nan_to_num(items.values(model, "forget", "probability")[0], nan=-1.0)
        ranked = sorted(range(len(order)), key=lambda number: (-after[order[number]], number))
        picked = {ranked[-1]: "lowest", ranked[len(ranked) // 2]: "middle", ranked[0]: "highest"}
        parts = {"before": original, "after": model, "retrained": reference}
        return [
            {"item": n + 1, "rank": rank, **{part: _tokens(items, name, order[n]) for part, name in parts.items()}}
            for n, rank in reversed(picked.items())
        ]
    except Unmeasured:
        return []


def budgets(columns: Sequence[str]) -> list[int]:
    """Steps after which an attack looked, from the names of its columns.

    >>> budgets(["ids", "outcome", "after_10", "after_0", "after_2"])
    [0, 2, 10]
    """
    return sorted(int(found.group(1)) for name in columns if (found := re.fullmatch(r"after_(\d+)", name)))


def recovery(cast: Cast) -> list[dict[str, Any]]:
    """Mean probability of the asked answers against relearning steps, with intervals over subjects.

    Args:
        cast: who plays the model.

    Returns:
        ``steps``, ``value``, ``low`` and ``high``, by steps. Empty where the attack was not run.
    """
    try:
        tables = cast.items.of(cast.names["model"], ATTACK)
        found = []
        for steps in budgets(list(tables[0])):
            statistic = mean_outcome(ATTACK, f"after_{steps}")
            estimate = cast.estimate(statistic, statistic.needs, (0.0, 1.0))
            ends = {name: round(float(getattr(estimate, name)), 5) for name in ("value", "low", "high")}
            found.append({"steps": steps, **ends})
        return found
    except Unmeasured:
        return []
