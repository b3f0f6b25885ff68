"""Tasks of the evaluation harness, by name. Source: EleutherAI/lm-evaluation-harness, in the extra ``evalharness``."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

from expunge.core.errors import EvidenceError, ExpungeError, MissingExtra, UnknownName

EXTRA, PACKAGE = "evalharness", "lm_eval"
PREFERRED = ("acc_norm", "acc", "exact_match", "f1")
"""Which of a task's numbers is read, the first that it has."""
OWN = {
    "bbq": ("amb_bias_score", "disamb_bias_score"),
    "crows_pairs": ("pct_stereotype",),
}
"""The same for tasks whose names begin so: of these, accuracy or the size of a difference is not what is asked."""


def require_harness() -> Any:
    """The harness.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(PACKAGE)
    except ImportError as error:
        raise MissingExtra("a task of the evaluation harness", EXTRA, PACKAGE) from error


def require_tasks(tasks: Sequence[str]) -> None:
    """Check names before anything is measured.

    Args:
        tasks: names that the harness should know.

    Raises:
        MissingExtra: the harness is not installed.
        UnknownName: it knows no such task.
    """
    require_harness()
    known = importlib.import_module(f"{PACKAGE}.tasks").TaskManager().all_tasks
    for task in tasks:
        if task not in known:
            raise UnknownName("task of the evaluation harness", task, known)


def run_tasks(target: Any, tasks: Sequence[str], *, level: float = 0.9, limit: int | None = None) -> dict[str, Any]:
    """Run tasks on a model.

    Args:
        target: causal language model.
        tasks: names that the harness knows; what they read is downloaded by it.
        level: of the intervals, which are the harness's standard errors under a normal distribution.
        limit: items a task; None for all.

    Returns:
        Task -> ``value, low, high, level, n, measure``.

    Raises:
        MissingExtra: the harness is not installed.
        EvidenceError: the harness gave up, or a task gave no number.
    """
    harness = require_harness()
    models = importlib.import_module(f"{PACKAGE}.models.huggingface")
    try:
        wrapped = models.HFLM(pretrained=target.model, tokenizer=target.tokenizer)
        found = harness.simple_evaluate(model=wrapped, tasks=list(tasks), limit=limit)
    except ExpungeError:
        raise
    except Exception as error:
        # What it may raise is not documented: a task that cannot be downloaded, a model that it cannot use.
        first = str(error).strip().partition("\n")[0]
        raise EvidenceError(
            f"the harness gave up on {', '.join(tasks)}",
            why=f"{type(error).__name__}: {first}",
            next="Run without --task, or with tasks whose data is at hand",
        ) from error
    counts: Mapping[str, Any] = found.get("n-samples", {})
    return {task: _row(task, found["results"].get(task, {}), counts.get(task, {}), level) for task in tasks}


def preferred(task: str) -> Sequence[str]:
    """Names of a task's numbers, the first that it has is read.

    >>> preferred("crows_pairs_english"), preferred("mmlu")[0]
    (('pct_stereotype',), 'acc_norm')
    """
    return next((names for start, names in OWN.items() if task.startswith(start)), PREFERRED)


def _row(task: str, results: Mapping[str, Any], counts: Mapping[str, Any], level: float) -> dict[str, Any]:
    for measure in preferred(task):
        for key, value in results.items():
            name, _, kind = key.partition(",")
            if name == measure and isinstance(value, (int, float)):
                error = results.get(f"{measure}_stderr,{kind}")
                wide = NormalDist().inv_cdf((1 + level) / 2) * error if isinstance(error, (int, float)) else math.nan
                ends = [None if math.isnan(wide) else float(value + side * wide) for side in (-1, 1)]
                n = int(counts.get("effective", 0))
                told = {"value": float(value), "low": ends[0], "high": ends[1], "level": level}
                return {**told, "n": n, "measure": key}
    raise EvidenceError(
        f"the harness gave no number for the task {task}", why=f"it gave {', '.join(results) or 'none'}"
    )
