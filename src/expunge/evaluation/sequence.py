"""Requests one after another: what each left of the earlier ones, of those still to come, and of what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.charts.curves import Curve, curves
from expunge.charts.markup import Markup
from expunge.charts.scale import Span
from expunge.core.errors import EvidenceError
from expunge.core.evidence import Estimate
from expunge.core.measure import Key
from expunge.evaluation.bootstrap import estimate, fewest_groups
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.utility import components, utility_kept
from expunge.metrics._resamples import weighted_mean

ORIGINAL = "original"
OTHERS = (ORIGINAL, "reference", "second", "untrained")
"""Whom chance may be read off; of these only the original was measured."""
LEVEL, DRAWS = 0.9, 1000


@dataclass(frozen=True)
class Stage:
    """The model after so many requests.

    Args:
        answered: requests that were answered before it was measured.
        each: mean probability of every request's answers, in the order of the requests.
        forgotten: the same over all requests that were answered, None before the first.
        waiting: the same over all that were not yet, None after the last.
        unseen: the same over answers that no model saw, None where there are none.
        utility: share of the original's utility that was kept, None where it cannot be measured.
    """

    answered: int
    each: tuple[Estimate, ...]
    forgotten: Estimate | None
    waiting: Estimate | None
    unseen: Estimate | None
    utility: Estimate | None


def stages(tables: Sequence[Mapping[str, Any]], requests: Sequence[Sequence[str]], *, seed: int = 0) -> list[Stage]:
    """Read a sequence of requests off score tables.

    Args:
        tables: role -> score table; of the original first, then of the model after each request. All are about the
            same records, ``forget`` about those of all requests.
        requests: the ids of each request's records, in the order in which they were answered.
        seed: of the resampling.

    Raises:
        EvidenceError: there is not one table a request and one more, or the records are not those of the requests.
    """
    if len(tables) != len(requests) + 1:
        raise EvidenceError(
            f"{len(tables)} models were measured for {len(requests)} requests", why="one more is needed"
        )
    names = [ORIGINAL, *(f"after {k + 1}" for k in range(len(requests)))]
    items = PerItem(dict(zip(names, tables, strict=True)))
    order = sorted(map(str, tables[0]["forget"]["ids"]))
    if order != sorted(record for request in requests for record in request):
        raise EvidenceError("the forgotten records that were measured are not those of the requests")
    places = [[order.index(record) for record in request] for request in requests]
    return [_stage(items, name, places, done, seed) for done, name in enumerate(names)]


def _stage(items: PerItem, name: str, places: Sequence[Sequence[int]], done: int, seed: int) -> Stage:
    def mean(chosen: Sequence[Sequence[int]], role: str = "forget") -> Estimate | None:
        rows = [i for part in chosen for i in part]
        if not rows:
            return None
        key: Key = ("model", role, "probability")
        values, subjects = items.values(name, role, "probability")[:, rows], items.subjects(role)

        def function(scores: Mapping[Key, Any], weights: Mapping[Key, Any] | None = None) -> Any:
            drawn = np.ones(len(rows)) if weights is None else weights[key]
            return weighted_mean(np.asarray(scores[key]).reshape(-1), drawn)

        groups = {role: [subjects[i] for i in rows]}
        return estimate(function, {key: values}, groups, draws=DRAWS, level=LEVEL, seed=seed, bounds=(0.0, 1.0))

    try:
        unseen = mean([range(len(items.subjects("holdout")))], "holdout")
    except Unmeasured:
        unseen = None
    cast = Cast(items, {"model": name, **{part: part for part in OTHERS}}, LEVEL, DRAWS, seed)
    try:
        utility = utility_kept(cast, components(cast).kept)
    except Unmeasured:
        utility = None
    each = [found for part in places if (found := mean([part])) is not None]
    return Stage(done, tuple(each), mean(places[:done]), mean(places[done:]), unseen, utility)


def largest_return(found: Sequence[Stage]) -> float:
    """The most by which a request's answers became more probable after it had been answered.

    Args:
        found: of ``stages``.

    Returns:
        A difference of mean probabilities, 0 where nothing came back.
    """
    rises = [
        later.each[k].value - found[k + 1].each[k].value for k in range(len(found) - 1) for later in found[k + 2 :]
    ]
    return max([0.0, *rises])


def lines(found: Sequence[Stage]) -> list[str]:
    """The sequence as a plain table, one line a stage."""
    heads = ("answered", "first request", "forgotten so far", "still to come", "never seen", "utility kept")
    rows = ["  ".join(f"{head:>20}" for head in heads)]
    for stage in found:
        first = stage.each[0]
        cells = (first, stage.forgotten, stage.waiting, stage.unseen, stage.utility)
        rows.append("  ".join([f"{stage.answered:>20}", *(f"{_text(cell):>20}" for cell in cells)]))
    return [*rows, f"largest return of what was forgotten: {largest_return(found):+.3f}"]


def _text(cell: Estimate | None) -> str:
    if cell is None:
        return "-"
    return f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]" if _has_power(cell) else f"{cell.value:.3f}"


def _has_power(cell: Estimate) -> bool:
    """Whether there were subjects enough for an interval; otherwise it is the whole range, and is not shown."""
    return cell.groups >= fewest_groups(cell.level)


def chart(found: Sequence[Stage], *, title: str, width: float = 720.0) -> Markup:
    """Three panels over the number of requests that were answered: forgotten so far, still to come, utility.

    Args:
        found: of ``stages``.
        title: of the chart.
        width: () pixels.
    """

    def curve(label: str, part: str, shape: Any = "dot", quantity: str = "probability") -> Curve:
        known = [(float(s.answered), getattr(s, part)) for s in found]
        spans = [(at, Span(e.value, e.low, e.high) if _has_power(e) else Span(e.value)) for at, e in known if e]
        return Curve(label, spans, shape, quantity)

    panels = [
        curve("forgotten so far", "forgotten"),
        curve("still to come", "waiting"),
        curve("utility kept", "utility", quantity="share"),
    ]
    context = [curve("never seen", "unseen", "star")]
    return curves(
        [panel for panel in panels if panel.points],
        [line for line in context if line.points],
        title=title,
        description="After each of several requests: the mean probability of the answers forgotten so far, of those "
        "still to be forgotten, and the share of utility that was kept, beside answers that no model saw.",
        x_label="requests answered",
        y_label="Mean probability of answers per token; share of the original's utility, 0 to 1",
        own="the model",
        width=width,
    )
