"""Utility and forgetting of a classifier by group. Source: Bagdasaryan et al. 2019 (1905.12101), the question.

They found that training with differential privacy costs small groups more accuracy. Utility is the accuracy on
never-seen rows. Forgetting is the AUC of the loss attack (Yeom et al. 2018): how often a row that was asked for, or
learned, has a smaller loss than a never-seen row *of its own group*; a group that is hard by itself would else pass for
forgotten. Beside another model, such as one without privacy, the differences tell what a method did to a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from expunge.core.errors import ConfigError, EvidenceError
from expunge.core.evidence import Estimate
from expunge.core.measure import Key
from expunge.core.seeds import derive
from expunge.evaluation.bootstrap import estimate, fewest_groups, resampled
from expunge.evaluation.cells import cell
from expunge.evaluation.subgroups import Split, Subgroups, compared
from expunge.metrics._resamples import rank_auc, weight_of, weighted_mean

MEMBERS, UNSEEN = "members", "unseen"
READS = {"accuracy": (UNSEEN,), "membership_auc": (MEMBERS, UNSEEN)}
"""What is told -> the rows that it is read from."""


@dataclass(frozen=True)
class Answers:
    """What a model says of some rows.

    Args:
        predictions: (n,) label. that it gives.
        labels: (n,) label. that is right.
        losses: (n,) nats. of the right label.
        groups: column -> (n,) the group of each row.
        people: (n,) whom each row is about; empty where each row stands for itself.
    """

    predictions: Any
    labels: Any
    losses: Any
    groups: Mapping[str, Sequence[str]]
    people: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse what does not fit together.

        Raises:
            EvidenceError: lengths differ, or a loss is not a number.
        """
        parts = {"predictions": self.predictions, "labels": self.labels, "losses": self.losses, **self.groups}
        parts |= {"people": self.people} if len(self.people) else {}
        if len(sizes := {name: len(part) for name, part in parts.items()}) and len(set(sizes.values())) > 1:
            raise EvidenceError("what is said of the rows differs in length", why=f"found {sizes}")
        if np.isnan(np.asarray(self.losses, dtype=np.float64)).any():
            raise EvidenceError("a loss is not a number", next="Leave out rows without one")

    @property
    def who(self) -> np.ndarray:
        """(n,) whom each row is about."""
        return np.asarray(self.people, dtype=str) if len(self.people) else np.arange(len(self.losses)).astype(str)

    def scores(self) -> dict[str, np.ndarray]:
        """``correct`` (n,) 0 or 1, and ``loss`` (n,) minus the loss."""
        right = np.asarray(self.predictions) == np.asarray(self.labels)
        return {"correct": right.astype(np.float64), "loss": -np.asarray(self.losses, dtype=np.float64)}


Pair = tuple[Answers, Answers]


def by_group(
    members: Answers,
    unseen: Answers,
    *,
    against: Pair | None = None,
    fewest: int = 20,
    draws: int = 400,
    level: float = 0.9,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Accuracy and membership AUC of each group, and the largest gap between two groups.

    People are resampled within their group. The gap's interval is simultaneous, as in ``subgroups``.

    Args:
        members: rows that were learned, or are to be forgotten.
        unseen: rows that no training saw, drawn as the members were.
        against: what another model says of the same rows, which is subtracted in a second reading.
        fewest: people below which a group is inconclusive, on either side: it is named with its size, without a number.
        draws: number of resamples.
        level: of the two-sided intervals.
        seed: of the resampling.

    Returns:
        For each column, and for ``accuracy`` and ``membership_auc``: ``by``, ``score``, ``groups`` (name -> ``value,
        low, high, n, groups, reason``), ``gap`` (the same, with ``between``), ``inconclusive`` (names), and in ``less``
        the same for the differences to the other model.

    Raises:
        EvidenceError: columns differ, a person is in two groups, or the other model was asked about other rows.
        ConfigError: ``fewest`` is too small for an interval of that level.

    >>> rows = Answers([1] * 40, [1] * 30 + [0] * 10, [0.25] * 40, {"sex": ["a"] * 20 + ["b"] * 20})
    >>> found = by_group(rows, rows, seed=3)
    >>> [(one["score"], one["gap"]["value"], one["gap"]["between"]) for one in found]
    [('accuracy', 0.5, ['a', 'b']), ('membership_auc', 0.0, ['', ''])]
    """
    if fewest < fewest_groups(level):
        raise ConfigError(f"{fewest} people give no interval", next=f"Ask for {fewest_groups(level)} or more")
    _require_alike(members, unseen, against)
    settings = {"draws": draws, "level": level, "seed": seed}
    found: list[dict[str, Any]] = []
    for by in members.groups:
        for score in READS:
            entry = _told((members, unseen), None, by, score, fewest, settings)
            less = _told((members, unseen), against, by, score, fewest, settings) if against else None
            found.append({"by": by, "score": score, **entry, **({"less": less} if less else {})})
    return found


def _require_alike(members: Answers, unseen: Answers, against: Pair | None) -> None:
    if set(members.groups) != set(unseen.groups) or not members.groups:
        raise EvidenceError("members and never-seen rows are not grouped by the same columns")
    for own, other in zip((members, unseen), against or (), strict=False):
        if not np.array_equal(np.asarray(own.labels), np.asarray(other.labels)) or list(own.who) != list(other.who):
            raise EvidenceError("the other model was asked about other rows", why="labels or people differ")
    for rows in (members, unseen):
        for by, names in rows.groups.items():
            pairs = set(zip(rows.who, map(str, names), strict=True))
            if len(pairs) > len(set(rows.who)):
                raise EvidenceError(f"somebody is in two groups of {by}", why="people are resampled as a whole")


def _told(
    pair: Pair, against: Pair | None, by: str, score: str, fewest: int, settings: Mapping[str, Any]
) -> dict[str, Any]:
    both = dict(zip((MEMBERS, UNSEEN), pair, strict=True))
    names = {role: np.asarray(rows.groups[by], dtype=str) for role, rows in both.items()}
    every = sorted({str(name) for found in names.values() for name in found})
    who = {role: rows.who for role, rows in both.items()}
    sizes = {name: min(len(set(who[role][names[role] == name])) for role in READS[score]) for name in every}
    large = [name for name in every if sizes[name] >= fewest]
    value = _value(score, bool(against))
    cut = {name: _cut(pair, against, names, name, READS[score]) for name in large}
    drawing = {name: {**settings, "seed": derive(settings["seed"], "by group", by, name)} for name in large}
    estimates: dict[str, Estimate] = {name: estimate(value, *cut[name], **drawing[name]) for name in large}
    if score == "accuracy" and not against:
        estimates = {name: _unanimous(one) for name, one in estimates.items()}

    def drawn(name: str) -> np.ndarray:
        found = resampled(value, *cut[name], **drawing[name])
        assert found is not None  # groups that are too small are not among the large ones
        return found

    people_there = [f"{role} {person}" for role in READS[score] for person in who[role]]
    split = Split(np.concatenate([names[role] for role in READS[score]]), np.asarray(people_there), frozenset())
    people = min((sizes[name] for name in large), default=0)
    few = [name for name in every if name not in large]
    reason = f"inconclusive, for fewer than {fewest} people: {', '.join(few)}" if few else ""
    about = ("model", " and ".join(READS[score]), score, "other" if against else "", by)
    if len(large) > 1:
        found = compared(about, estimates, split, drawn, people=people)
    else:
        found = Subgroups(*about, estimates, tuple(large), None, ("", ""), "fewer than two groups are large enough")
    told = replace(found, reason="; ".join(part for part in (found.reason, reason) if part)).cells()
    for name in few:
        rows = sum(int((names[role] == name).sum()) for role in READS[score])
        told["groups"][name] = {**cell(None, f"inconclusive: {sizes[name]} people"), "n": rows, "groups": sizes[name]}
    return {**told, "inconclusive": few}


def _unanimous(found: Estimate) -> Estimate:
    """A share of 0 or 1 with the exact interval (Clopper & Pearson 1934); resampling what is all alike gives none."""
    reach = ((1 - found.level) / 2) ** (1 / found.groups)
    if found.value == 1.0:
        return replace(found, low=min(found.low, reach))
    return replace(found, high=max(found.high, 1 - reach)) if found.value == 0.0 else found


def _cut(
    pair: Pair, against: Pair | None, names: Mapping[str, np.ndarray], name: str, roles: Sequence[str]
) -> tuple[dict[Key, np.ndarray], dict[str, list[str]]]:
    """Scores and people of one group's rows."""
    scores: dict[Key, np.ndarray] = {}
    people: dict[str, list[str]] = {}
    for at, role in enumerate((MEMBERS, UNSEEN)):
        if role not in roles:
            continue
        own = names[role] == name
        people[role] = list(pair[at].who[own])
        for who, rows in (("model", pair[at]), ("other", against[at] if against else None)):
            scores |= {(who, role, kind): values[own] for kind, values in (rows.scores() if rows else {}).items()}
    return scores, people


def _value(score: str, less: bool) -> Any:
    """The score of a model, or how far it is above another's; of all draws at once."""

    def of(who: str, scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None) -> Any:
        if score == "accuracy":
            right = scores[key := (who, UNSEEN, "correct")]
            return weighted_mean(right, weight_of(weights, key, right))
        high, low = (scores[who, role, "loss"] for role in (MEMBERS, UNSEEN))
        pair = (weight_of(weights, (who, role, "loss"), scores[who, role, "loss"]) for role in (MEMBERS, UNSEEN))
        return rank_auc(high, low, *pair)

    def value(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
        found = of("model", scores, weights)
        return found - of("other", scores, weights) if less else found

    return value
