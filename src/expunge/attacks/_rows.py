"""What attacks that ask for probabilities share: how probable the answers are, and the rows that say it."""

from __future__ import annotations

from typing import Any

import numpy as np

from expunge.core.example import Examples
from expunge.engine.score import score
from expunge.metrics.probability import probability
from expunge.targets.causal_lm import CausalLM


def known(model: CausalLM, asked: Examples) -> np.ndarray:
    """How probable a model finds each record's answer, (B,) probability per token."""
    return probability.of(score(model, asked, probability.needs))


def rows_of(asked: Examples, **columns: Any) -> list[dict[str, object]]:
    """One row a record, with its id, its subject and a number of each column.

    >>> from expunge.core.example import Example
    >>> rows_of(Examples([Example("r1", "Where?", "Here.", subject="Ana")]), outcome=[0.25])
    [{'record_id': 'r1', 'subject': 'Ana', 'outcome': 0.25}]
    """
    return [
        {"record_id": record, "subject": subject, **{name: float(values[row]) for name, values in columns.items()}}
        for row, (record, subject) in enumerate(zip(asked.ids, asked.subjects, strict=True))
    ]
