"""Scores by subgroup, and the largest gap between groups. Source: Bagdasaryan et al. 2019 (1905.12101), the question.

An average may hide that some people were forgotten and others not. Everything here is computed from score tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from expunge.core.errors import EvidenceError
from expunge.core.evidence import Estimate
from expunge.core.measure import Key
from expunge.evaluation.bootstrap import estimate, fewest_groups, resampled
from expunge.evaluation.cells import cell
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.withheld import withheld
from expunge.metrics._resamples import weighted_mean
from expunge.metrics.truth_indifference import indifference

Grouping = str | Mapping[str, str]
COLUMNS = {"subgroup": "subgroups", "relation": "relations", "subset": "subsets"}
"""What groups may be -> the column of a score table that names them."""
UNNAMED = "(none)"
"""Group of the records for which a column names none."""
MOST = 24
"""Groups that are compared; the pairs of many more would cost much and say little."""
READ_AS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"truth_ratio": indifference}
"""Scores whose mean is read after a change, as the table reads them: a ratio has no bound."""
KEY: Key = ("model", "items", "score")
NOBODY = ("", "")


@dataclass(frozen=True)
class Subgroups:
    """A score by subgroup.

    Args:
        model: whose score it is.
        role: on which records.
        score: of which kind.
        against: the model whose score is subtracted, record by record; empty for none.
        by: what the groups are, in a word.
        groups: name of a group -> its mean with the interval; of one with too few subjects the interval is infinite.
        shown: the groups that may be published; see ``withheld``.
        gap: largest difference between two of the shown groups; None where they are fewer than two.
        between: the group with the largest and the one with the smallest mean among those compared; empty where all
            means are equal.
        reason: why there is no gap, or which groups it leaves out; empty for neither.
    """

    model: str
    role: str
    score: str
    against: str
    by: str
    groups: Mapping[str, Estimate]
    shown: tuple[str, ...]
    gap: Estimate | None
    between: tuple[str, str]
    reason: str

    def cells(self) -> dict[str, Any]:
        """The groups and the largest gap as an evidence file holds them: ``value, low, high, n, groups, reason``.

        A group that is too small for an interval is counted in the reason and not named: the file is public, and a
        mean over one or two people tells of these people. Nor is one shown by which theirs could be worked out.
        """
        return {
            "groups": {name: cell(self.groups[name]) for name in self.shown},
            "gap": {**cell(self.gap, self.reason), "reason": self.reason, "between": list(self.between)},
        }


def subgroups(
    items: PerItem,
    model: str,
    role: str,
    score: str,
    *,
    by: Grouping,
    against: str = "",
    draws: int = 2000,
    level: float = 0.9,
    seed: int = 0,
) -> Subgroups:
    """A score's mean in each group, and the largest gap between two of them.

    Subjects are resampled, the same in every group and for both models. The largest of several differences is large by
    chance alone, so its interval is simultaneous: with d the difference of two groups, e its standard error over the
    draws and t the level's quantile over the draws of the largest |d* - d| / e among all pairs, the true largest gap
    lies between the largest d - t e (0 at least) and the largest d + t e. For few subjects t is widened as Student's.

    Args:
        items: scores of the models.
        model: whose score.
        role: on which records; the name of an attack for its outcomes.
        score: name of a score, or of a column such as ``outcome``.
        by: ``subgroup``, ``relation`` or ``subset``, where tables name them, and records that they name none for are a
            group of their own; or record id, or subject, -> group.
        against: a model whose score is subtracted record by record, so that what makes a group easy by itself cancels.
        draws: number of resamples.
        level: of the two-sided intervals.
        seed: of the resampling.

    Raises:
        Unmeasured: the score or the grouping cannot be had, or there are more than ``MOST`` groups.
        EvidenceError: a record of the role is in no group.
    """
    values, names, subjects, every = _read(items, model, role, score, by, against)
    settings: dict[str, Any] = {"draws": draws, "level": level, "seed": seed}
    found: dict[str, Estimate] = {}
    for name in sorted(set(names)):
        own = names == name
        found[str(name)] = estimate(_mean, {KEY: values[:, own]}, {"items": list(subjects[own])}, **settings)
    split = Split(names, subjects, withheld(every, subjects, fewest_groups(level))[_called(by)])
    return compared(
        (model, role, score, against, _called(by)),
        found,
        split,
        lambda name: _drawn(values, names == name, subjects, settings),
        people=len(set(subjects)),
    )


@dataclass(frozen=True)
class Split:
    """How records fall into groups.

    Args:
        names: (B,) group of each.
        subjects: (B,) of each.
        hidden: groups that are not published.
    """

    names: np.ndarray
    subjects: np.ndarray
    hidden: frozenset[str]


def compared(
    about: tuple[str, str, str, str, str],
    found: Mapping[str, Estimate],
    split: Split,
    drawn: Callable[[str], np.ndarray],
    *,
    people: int,
) -> Subgroups:
    """The groups with the largest gap of those that are shown; its interval is that of ``subgroups``.

    Args:
        about: model, role, score, against and by.
        found: each group's estimate.
        split: of the records.
        drawn: a group's value on each draw of all subjects, nan where a draw holds none of its records.
        people: in the smallest of what all groups share.
    """
    shown = tuple(name for name in found if name not in split.hidden)
    reason = _why_fewer(found, shown)
    if len(shown) < 2:
        return Subgroups(*about, found, shown, None, NOBODY, reason or "there is one group")
    values = {name: found[name].value for name in shown}
    first = found[shown[0]]
    least = min(people, *(found[name].groups for name in shown))
    gap = _largest(np.array(list(values.values())), np.stack([drawn(name) for name in shown]), first.level, least)
    kept = np.isin(split.names, shown)
    facts = {"n": int(kept.sum()), "groups": len(set(split.subjects[kept])), "seeds": first.seeds}
    between = (max(values, key=values.__getitem__), min(values, key=values.__getitem__)) if gap[0] else NOBODY
    return Subgroups(*about, found, shown, Estimate(*gap, level=first.level, **facts), between, reason)


def _why_fewer(found: Mapping[str, Estimate], shown: Sequence[str]) -> str:
    """Which groups are not shown, in words; empty where all are."""
    few = sum(one.groups < fewest_groups(one.level) for one in found.values())
    more = len(found) - len(shown) - few
    parts = [f"{few} of {len(found)} groups {'has' if few == 1 else 'have'} too few subjects"] if few else []
    if more:
        parts.append(f"{more}{' more' * bool(few)} would give away the mean of a few")
    return " and ".join(parts)


def _called(by: Grouping) -> str:
    return by if isinstance(by, str) else "group"


def _read(
    items: PerItem, model: str, role: str, score: str, by: Grouping, against: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Values (seeds, B), groups (B,), subjects (B,) and ``partitions`` of the records that have a value."""
    values = _values(items, model, role, score)
    if against:
        values = values - _values(items, against, role, score)
    names, subjects = names_of(items, role, by), np.asarray(items.subjects(role))
    applies = np.asarray(~np.isnan(values).any(axis=0))
    if not applies.any():
        raise Unmeasured(f"no record of {role} has a {score}")
    values, names, subjects = values[:, applies], names[applies], subjects[applies]
    if (count := len(set(names))) > MOST:
        raise Unmeasured(f"{count} groups are more than the {MOST} that are compared")
    return values, names, subjects, partitions(items, role, by, applies)


def partitions(items: PerItem, role: str, by: Grouping, kept: np.ndarray) -> dict[str, np.ndarray]:
    """The groups (B,) of a role's kept records by all that is published of them: what is asked for and the columns.

    Args:
        items: scores of the models.
        role: on which records.
        by: what is asked for.
        kept: which of the records.
    """
    found = {_called(by): names_of(items, role, by)[kept]}
    for other in COLUMNS if isinstance(by, str) else ():
        with suppress(Unmeasured):
            names = names_of(items, role, other)[kept]
            if 1 < len(set(names)) <= MOST:
                found.setdefault(other, names)
    return found


def _values(items: PerItem, model: str, role: str, score: str) -> np.ndarray:
    values = items.values(model, role, score)
    values = READ_AS[score](values) if score in READ_AS else values
    if np.isinf(values).any():
        raise Unmeasured(f"{score} is infinite for a record of {role}")
    return values


def _mean(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
    values_B = np.asarray(scores[KEY], dtype=np.float64)
    return values_B.mean() if weights is None else weighted_mean(values_B, weights[KEY])


def _drawn(values: np.ndarray, own: np.ndarray, subjects: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """A group's mean on each draw of all subjects; nan where a draw holds none of its records."""

    def mean(scores: Mapping[Key, Any], weights: Mapping[Key, Any]) -> Any:
        weights_DB = weights[KEY] * own
        with np.errstate(invalid="ignore"):
            return weights_DB @ scores[KEY] / weights_DB.sum(-1)

    drawn = resampled(mean, {KEY: values}, {"items": list(subjects)}, **settings)
    assert drawn is not None  # each compared group alone has enough subjects
    return drawn


def _largest(means_G: np.ndarray, drawn_GD: np.ndarray, level: float, people: int) -> tuple[float, float, float]:
    """The largest difference of two means, and its simultaneous interval, from groups of at least so many subjects."""
    drawn_GD = drawn_GD[:, ~np.isnan(drawn_GD).any(axis=0)]
    pairs = [(a, b) for a, b in combinations(range(len(means_G)), 2)]
    d_P = np.array([means_G[a] - means_G[b] for a, b in pairs])
    drawn_PD = np.array([drawn_GD[a] - drawn_GD[b] for a, b in pairs])
    error_P = drawn_PD.std(axis=1)
    far_PD = np.divide(
        np.abs(drawn_PD - d_P[:, None]), error_P[:, None], out=np.zeros_like(drawn_PD), where=error_P[:, None] > 0
    )
    t, freedom = float(np.quantile(far_PD.max(axis=0), level)), people - 1
    # Resamples spread by (G - 1) / G of the variance, and an error that is itself estimated calls for Student's t:
    # t = z + (z^3 + z) / (4 (G - 1)) to first order.
    half_P = (t + (t**3 + t) / (4 * freedom)) * np.sqrt(people / freedom) * error_P
    size_P = np.abs(d_P)
    return float(size_P.max()), float(max(0.0, (size_P - half_P).max())), float((size_P + half_P).max())


def names_of(items: PerItem, role: str, by: Grouping) -> np.ndarray:
    """The group of each item (B,), in the common order; see ``subgroups``.

    Raises:
        Unmeasured: no record of the role is in a group.
        EvidenceError: one is in none.
    """
    ids, subjects = items.ids(role), items.subjects(role)
    known = _column(items, by) if isinstance(by, str) else by
    names = [known.get(key, known.get(who, "")) for key, who in zip(ids, subjects, strict=True)]
    lost = [key for key, name in zip(ids, names, strict=True) if not name]
    if len(lost) == len(names):
        raise Unmeasured(f"no record of {role} is in a group")
    if isinstance(by, str):
        names = [name or UNNAMED for name in names]
    elif lost:
        why = f"for example {', '.join(lost[:3])}"
        raise EvidenceError(f"{len(lost)} records of {role} are in no group", why=why, next="Name a group for each")
    return np.asarray(names)


def _column(items: PerItem, by: str) -> dict[str, str]:
    """Record id -> group, from whichever tables name groups: an attack's rows are about records of other tables."""
    column = COLUMNS.get(by, by)
    found: dict[str, str] = {}
    for model, roles in items.tables.items():
        for role in roles:
            table = items.of(model, role)[0]
            if column in table:
                found |= dict(zip(map(str, table["ids"]), map(str, table[column]), strict=True))
    if not found:
        raise Unmeasured(f"no score table names a {by}")
    return found


def all_subgroups(
    items: PerItem, model: str, wanted: Iterable[tuple[str, str]], *, by: Grouping, **settings: Any
) -> list[Subgroups]:
    """Those of the wanted (role, score) pairs that can be had; see ``subgroups``."""
    found: list[Subgroups] = []
    for role, score in wanted:
        try:
            found.append(subgroups(items, model, role, score, by=by, **settings))
        except Unmeasured:
            continue
    return found


def told_subgroups(
    items: PerItem, model: str, wanted: Sequence[tuple[str, str]], *, against: str = "", **settings: Any
) -> list[dict[str, Any]]:
    """Every wanted score by everything that groups records in the score tables, as an evidence file holds it.

    Args:
        items: scores of the models.
        model: whose scores.
        wanted: (role, score) pairs; those that cannot be had are left out.
        against: a model whose scores are subtracted in a second reading, empty for none.
        settings: ``draws``, ``level`` and ``seed`` of ``subgroups``.

    Returns:
        For each score of which records are in two groups or more: ``by``, ``role``, ``score``, the ``cells`` of its
        ``Subgroups``, and in ``less`` those of the differences to ``against``. Empty where nothing groups records.
    """
    entries: list[dict[str, Any]] = []
    for by in COLUMNS:
        beside = {(one.role, one.score): one for one in _differences(items, model, wanted, against, by, settings)}
        for found in all_subgroups(items, model, wanted, by=by, **settings):
            if len(found.groups) < 2:
                continue
            entry = {"by": by, "role": found.role, "score": found.score, **found.cells()}
            less = beside.get((found.role, found.score))
            entries.append(entry | ({"less": less.cells()} if less else {}))
    return entries


def _differences(
    items: PerItem, model: str, wanted: Sequence[tuple[str, str]], against: str, by: str, settings: Mapping[str, Any]
) -> list[Subgroups]:
    return all_subgroups(items, model, wanted, by=by, against=against, **settings) if against else []


def lines(found: Sequence[Subgroups]) -> list[str]:
    """Plain text: a line for each score with its largest gap, and one for each of its groups below."""
    told: list[str] = []
    for part in found:
        less = f" less {part.against}'s" if part.against else ""
        told.append(f"{part.score} on {part.role} by {part.by}, {part.model}{less}: {_gap(part)}")
        told += [f"  {name}: {_told(one)}" for name, one in part.groups.items()]
    return told


def _gap(part: Subgroups) -> str:
    if part.gap is None:
        return f"no gap ({part.reason})"
    said = f"largest gap {part.gap.value:.3f} [{part.gap.low:.3f}, {part.gap.high:.3f}]"
    said += f", {part.between[0]} above {part.between[1]}" if part.between[0] else ""
    return f"{said} ({part.reason})" if part.reason else said


def _told(one: Estimate) -> str:
    size = f"{one.n} records, {one.groups} subject{'s' * (one.groups != 1)}"
    bounds = f" [{one.low:.3f}, {one.high:.3f}]" if np.isfinite([one.low, one.high]).all() else ", no interval"
    return f"{one.value:.3f}{bounds} ({size})"
