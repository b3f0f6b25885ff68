"""What the relearning attacks share: train a copy on what the attacker has, and ask it on the way and at the end."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from expunge.attacks._rows import known, rows_of
from expunge.core.access import Oracle
from expunge.core.adapter import Adapter
from expunge.core.example import Examples
from expunge.core.seeds import keyed_order
from expunge.core.training import Training
from expunge.engine.finetune import finetune


def drawn(examples: Examples, purpose: str) -> Examples:
    """The examples in an order that is keyed by their ids, the same for every model, seed and order of the records."""
    return Examples(examples[i] for i in keyed_order(examples.ids, 0, purpose))


def relearned(
    oracle: Oracle,
    shown: Examples,
    asked: Examples,
    training: Training,
    *,
    looks: Collection[int],
    seed: int,
    stage: str,
    adapter: Adapter | None = None,
) -> list[dict[str, object]]:
    """Train a copy of the attacked model and ask it.

    Args:
        oracle: grants FINETUNE and LOGPROBS.
        shown: what the attacker trains on.
        asked: whose answers are asked for.
        training: the attacker's budget.
        looks: steps after which they are asked for; 0 is before the first. They are asked at the end in any case.
        seed: order of the attacker's steps.
        stage: name for progress reports.
        adapter: trained in place of the weights.

    Returns:
        One row an asked record: ``outcome``, the probability of its answer after the whole budget, and the same on
        the way as ``after_0``, ``after_2`` and so on, the last of which is the outcome.
    """
    found: dict[int, np.ndarray] = {}
    if 0 in looks:
        found[0] = known(oracle.target, asked)
    taken = 0

    def watch(model: Any, steps: int) -> None:
        nonlocal taken
        taken = steps
        if steps in looks:
            found[steps] = known(model, asked)

    attacked = finetune(oracle, shown, training, seed=seed, stage=stage, look=watch, adapter=adapter)
    if adapter or taken not in found:
        # Merging an adapter rounds: what is asked at the end is the model that an attacker would keep.
        found[taken] = known(attacked, asked)
    return rows_of(asked, outcome=found[taken], **{f"after_{steps}": found[steps] for steps in sorted(found)})
