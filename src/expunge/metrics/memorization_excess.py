"""How far memorised beyond never-seen text. Source: Jang et al. 2023 (2210.01504), section 3, its rule for MA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.measure import Key, statistic
from expunge.metrics._never_seen import mean_above
from expunge.metrics._resamples import weight_of

FORGET: Key = ("model", "forget", "memorization_accuracy")
HOLDOUT: Key = ("model", "holdout", "memorization_accuracy")


@statistic(
    FORGET,
    HOLDOUT,
    better="reference",
    question="How far above the average of never-seen text are the forgotten answers memorised?",
    retrained="above 0: as far as never-seen records lie above their own mean",
)
def memorization_excess(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    """How far the forgotten records lie above the threshold at which the paper calls a text forgotten.

    x = mean over i of max(0, MA_i - t),  t = mean over holdout of MA

    0 where every record is forgotten in the paper's sense; ``memorization_threshold`` is the share that is not. The
    paper asks the same of extraction likelihood, which is the attack ``extraction_excess``. It takes t from the model
    before unlearning; here it is the judged model's own, which falls with a model that is broken, so that breaking it
    earns nothing. Validation records are no part of t: a method may have calibrated on them.

    Args:
        scores: (B,) share of tokens. memorization accuracy of the model, on forget and on holdout.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.

    Returns:
        () or (D,) share of tokens.

    >>> found = memorization_excess({FORGET: [0.25, 0.5, 0.75, 1.0], HOLDOUT: [0.25, 0.75]})
    >>> float(found)  # above 0.5 by 0, 0, 0.25 and 0.5
    0.1875
    """
    forget_B, holdout_C = (np.asarray(scores[key], dtype=np.float64) for key in (FORGET, HOLDOUT))
    return mean_above(forget_B, holdout_C, weight_of(weights, FORGET, forget_B), weight_of(weights, HOLDOUT, holdout_C))
