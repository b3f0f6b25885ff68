"""Statistics by subgroup: one group's forgotten records against all that the statistic reads beside them.

Source: Bagdasaryan et al. 2019 (1905.12101), the question. A statistic, an AUC for instance, is no mean over records,
so it is computed again for every group. Split are the forgotten records, for all models alike; where it reads other
roles as well, such as never-seen records, these are whole in every group, since they are what the forgotten ones are
told from. One that reads a single other role, what is left of neighbours' answers for instance, is split in that role.
What reads several roles and no forgotten record, as utility does, cannot be split.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.core.measure import Key, Statistic
from expunge.core.suite import whole
from expunge.evaluation.attacking import UNSEEN
from expunge.evaluation.bootstrap import estimate, fewest_groups, resampled
from expunge.evaluation.contrast import Cast, contrast
from expunge.evaluation.per_item import Unmeasured
from expunge.evaluation.subgroups import COLUMNS, MOST, Split, Subgroups, compared, names_of, partitions
from expunge.evaluation.withheld import withheld

DRAWS = 300
"""Most resamples: every group of every statistic takes them all."""
LOST = 0.1
"""Largest share of draws that may hold nobody of a group; of five people among many, 0.007 do."""


@dataclass(frozen=True)
class Splittable:
    """A statistic that is asked for by subgroup.

    Args:
        statistic: that is computed.
        role: whose records are split.
        label: what it is called.
        control: who plays whom on the control arm, whose value is subtracted in a second reading; None for no such.
    """

    statistic: Statistic
    role: str
    label: str
    control: Mapping[str, str] | None = None


def split_role(statistic: Statistic) -> str:
    """The role whose records are split; empty where there is none.

    >>> from expunge.metrics.min_k_auc import min_k_auc
    >>> from expunge.metrics.model_utility import model_utility
    >>> split_role(min_k_auc), split_role(model_utility)
    ('forget', '')
    """
    roles = list(dict.fromkeys(role for _, role, _ in statistic.needs))
    forgotten = [role for role in roles if whole(role) == "forget"]
    found = forgotten if len(forgotten) == 1 else roles
    return found[0] if len(found) == 1 else ""


def told_statistics(cast: Cast, wanted: Iterable[Splittable]) -> list[dict[str, Any]]:
    """Every wanted statistic by everything that groups records, as an evidence file holds it.

    Args:
        cast: scores of the models, and how intervals are drawn.
        wanted: those that cannot be had are left out.

    Returns:
        As ``told_subgroups``: ``by``, ``role``, ``score``, the ``cells`` of ``Subgroups``, and in ``less`` those of the
        differences to the control arm.
    """
    entries: list[dict[str, Any]] = []
    for one in wanted:
        for by in COLUMNS:
            found = _or_none(cast, one, by, ())
            if found is None or len(found.groups) < 2:
                continue
            less = _or_none(cast, one, by, one.control) if one.control is not None else None
            entry = {"by": by, "role": one.role, "score": one.label, **found.cells()}
            entries.append(entry | ({"less": less.cells()} if less else {}))
    return entries


def _or_none(cast: Cast, one: Splittable, by: str, control: Mapping[str, str] | Sequence[str] | None) -> Any:
    try:
        return statistic_subgroups(cast, replace(one, control=control or None), by=by)
    except (Unmeasured, EvidenceError):
        return None


def statistic_subgroups(cast: Cast, one: Splittable, *, by: str) -> Subgroups:
    """A statistic in each group, or its difference to the control arm, and the largest gap between two groups.

    Subjects are resampled, the same in every group, and those of the other roles too; a draw that holds none of a
    group's people tells nothing of the group and is left out of the gap. The gap's interval is that of ``subgroups``.

    Args:
        cast: scores of the models, and how intervals are drawn; of its draws at most ``DRAWS`` are made.
        one: the statistic; with a control arm, what it comes to there is subtracted.
        by: ``subgroup``, ``relation`` or ``subset``.

    Raises:
        Unmeasured: a score or the grouping cannot be had, there are too many groups, or a role that all groups share
            has too few subjects.
        EvidenceError: the statistic cannot be computed on a group.
    """
    function, keys = one.statistic.function, list(one.statistic.needs)
    if one.control is not None:
        function, keys = contrast(one.statistic, {}, one.control)
    scores, groups = cast.scores(keys)
    kept = cast.applicable(keys)[one.role]
    names, subjects = names_of(cast.items, one.role, by)[kept], np.asarray(groups[one.role])
    shared = next((values[0] > 0 for (_, r, n), values in scores.items() if (r, n) == (one.role, UNSEEN)), ~kept[kept])
    every = {other: found[~shared] for other, found in partitions(cast.items, one.role, by, kept).items()}
    groups_here = sorted(set(every[by]))
    if len(groups_here) > MOST:
        raise Unmeasured(f"{len(groups_here)} groups are more than the {MOST} that are compared")
    beside = [len(set(who)) for role, who in groups.items() if role != one.role]
    beside += [len(set(subjects[shared]))] if shared.any() else []
    if min(beside, default=fewest_groups(cast.level)) < fewest_groups(cast.level):
        raise Unmeasured("what all groups share is about too few subjects")
    settings: dict[str, Any] = {"draws": min(cast.draws, DRAWS), "level": cast.level, "seed": cast.seed}
    estimates = {}
    for name in groups_here:
        own = (names == name) & ~shared
        cut = {key: values[..., own | shared] if key[1] == one.role else values for key, values in scores.items()}
        people = {
            role: list(np.asarray(who)[own | shared] if role == one.role else who) for role, who in groups.items()
        }
        value = estimate(function, cut, people, **settings)
        if np.isnan(value.value):
            raise Unmeasured("it is not a number on the records of a group")
        estimates[str(name)] = replace(value, n=int(own.sum()), groups=len(set(subjects[own])))

    def drawn(name: str) -> np.ndarray:
        inside = _within(function, one.role, (names == name) & ~shared, shared)
        found = resampled(inside, scores, groups, **settings)
        if found is None or np.isnan(found).mean() > LOST:
            raise Unmeasured("too few draws hold records of every group")
        return found

    hidden = withheld(every, subjects[~shared], fewest_groups(cast.level))[by]
    about = (cast.names["model"], one.role, one.label, "control" if one.control is not None else "", by)
    split = Split(names[~shared], subjects[~shared], hidden)
    return compared(about, estimates, split, drawn, people=min([*beside, len(set(subjects))]))


def _within(function: Callable[..., Any], role: str, own: np.ndarray, shared: np.ndarray) -> Callable[..., Any]:
    """The function on one group's records on each draw, nan where it holds none of them or none of the shared."""
    at_once = "weights" in inspect.signature(function).parameters

    def inside(scores: Mapping[Key, Any], weights: Mapping[Key, Any]) -> np.ndarray:
        counts = next(weight for key, weight in weights.items() if key[1] == role)
        holds = counts[:, own].sum(-1) > 0
        holds &= (counts[:, shared].sum(-1) > 0) if shared.any() else True
        cut, drawn = (
            {key: array[..., own | shared] if key[1] == role else array for key, array in data.items()}
            for data in (scores, weights)
        )
        values = np.full(len(counts), np.nan)
        with np.errstate(all="ignore"):
            if at_once:
                values[holds] = function(cut, {key: weight[holds] for key, weight in drawn.items()})
                return values
            for draw in np.flatnonzero(holds):
                one = {key: np.repeat(array, drawn[key][draw].astype(int), axis=-1) for key, array in cut.items()}
                values[draw] = float(function(one))
        return values

    return inside
