"""Model utility. Source: TOFU, Maini et al. 2024 (2401.06121), section 2.2.1, harmonic mean over what must be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._resamples import weight_of, weighted_mean

COMPONENTS: tuple[tuple[str, str], ...] = (
    ("retain", "probability"),
    ("retain", "rouge_l"),
    ("retain", "truth_score"),
    ("general", "probability_options"),
    ("general", "rouge_l"),
    ("general", "truth_score"),
)


@statistic(
    better="higher",
    question="How much of what the model should keep does it still do?",
    retrained="the utility of the original, or a little less: it has seen fewer records",
)
def model_utility(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How much of what the model should keep it still does, all parts at once: one lost part sinks it.

    U = C / sum_c (1 / m_c),  m_c = mean over items of component c

    The components are whatever scores of the model are given: ``COMPONENTS``, less those on which the original model
    itself is not above chance.

    Args:
        scores: (B,) in [0, 1]. one array a component.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) in [0, 1]; 0 if any component is 0.

    >>> float(model_utility({("model", "retain", "rouge_l"): [0.2, 0.4], ("model", "general", "rouge_l"): [0.6]}))
    0.4
    """
    means = []
    for key in sorted(key for key in scores if key[0] == "model"):
        values_B = np.asarray(scores[key], dtype=np.float64)
        means.append(weighted_mean(values_B, weight_of(weights, key, values_B)))
    means_C = np.stack(np.broadcast_arrays(*means))
    with np.errstate(divide="ignore"):
        return len(means_C) / (1.0 / means_C).sum(0)
