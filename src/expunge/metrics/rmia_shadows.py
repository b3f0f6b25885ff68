"""RMIA with shadow models. Source: Zarifzadeh et al. 2024 (2312.03262), section 3, offline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.core.measure import MEMBER, Key, statistic
from expunge.metrics._resamples import rank_auc
from expunge.metrics._rmia import ranks
from expunge.metrics._shadow_fits import keys_of
from expunge.metrics._told_apart import ROLES, draws_of, in_each_draw, of_model, shaped

PART, NAME = "shadows", "probability"


@statistic(
    *keys_of(PART, NAME),
    better="reference",
    two_tailed=True,
    question="Is a forgotten record likelier under the model than under shadow models without it, by more than others "
    "are?",
    retrained="near 0.5",
)
def rmia_shadows(
    scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None, *, a: float = 0.3, gamma: float = 1.0
) -> Any:
    """As ``rmia``, with the mean over the shadow models that were not trained on a record in the reference's place.

    A = P(s_forget > s_holdout) + P(s_forget = s_holdout) / 2,  s_x = share of z with ratio_x / ratio_z > gamma,
    ratio_x = p(x) / ((1 + a) / 2 mean_out(x) + (1 - a) / 2),  z = the never-seen records

    Args:
        scores: (B,) probability. per token, of the model on forget and on holdout; (M, B) those of the shadow models,
            and 1 where a shadow model was trained on the record.
        weights: (D, B) count. how often each of D resamples drew each item; none for the data as it is.
        a: in [0, 1]. how far models trained with a record are taken to lie above those without: 1 for not at all.
        gamma: at least 1. by what factor a ratio must exceed another.

    Returns:
        () or (D,) probability.

    Raises:
        EvidenceError: every shadow model was trained on some record; a or gamma is out of its range.

    >>> forget, holdout = ([0.9, 0.4], [0.4, 0.2], [0.6, 0.9]), ([0.4, 0.2, 0.7], [0.7, 0.4, 0.1], [0.4, 0.3, 0.1])
    >>> shadows = {("shadows", "forget", NAME): forget, ("shadows", "holdout", NAME): holdout}
    >>> member = {("shadows", "forget", MEMBER): [[1, 1], [0, 0], [0, 1]], ("shadows", "holdout", MEMBER):
    ...           [[0, 0, 1], [1, 0, 0], [0, 0, 0]]}
    >>> model = {("model", "forget", NAME): [0.9, 0.2], ("model", "holdout", NAME): [0.3, 0.5, 0.1]}
    >>> float(rmia_shadows(model | shadows | member))  # out means 0.5, 0.2 and 0.4, 0.3, 0.1: the example of rmia
    0.75
    """
    drawn, values, on = draws_of(weights, scores, NAME), of_model(scores, NAME, PART), of_model(scores, MEMBER, PART)
    without = {role: (1.0 - on[role]).sum(0) for role in ROLES}
    if not all(count.all() for count in without.values()):
        raise EvidenceError("there are too few shadow models", why="each of them was trained on some record")
    out = {role: (values[role] * (1.0 - on[role])).sum(0) / without[role] for role in ROLES}
    found = ranks(of_model(scores, NAME), {role: np.asarray(out[role]) for role in ROLES}, drawn, a=a, gamma=gamma)
    return shaped(in_each_draw(rank_auc, found, drawn), weights)
