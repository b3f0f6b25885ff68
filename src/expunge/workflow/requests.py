"""Several requests on one model: in one unlearning over all of them, or one after another.

Each request gets an answer of its own, about its own records, to be evaluated and certified like that of a single one.
In a batch it names the batch and no other request; in a sequence it tells by id how probable the records of earlier
requests are now. What was asked for together with it, or before it, is retained in no answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.access import Access
from expunge.core.canonical import digest
from expunge.core.errors import ClaimError, RequestError, ScopeError
from expunge.core.example import Example, Examples
from expunge.core.guarantee import Suppressed
from expunge.core.outcome import Outcome, Overlay
from expunge.core.registry import methods, metrics
from expunge.core.request import Request, Wish
from expunge.core.selection import SELECTED, Selection
from expunge.workflow.repeats import keeps_repeats
from expunge.workflow.verbs import unlearn_selection


@dataclass(frozen=True)
class Answer:
    """One request with what was done about it.

    Args:
        request: as it was made.
        outcome: about this request's records alone.
    """

    request: Request
    outcome: Outcome[Any] | Overlay[Any]


def unlearn_batch(
    target: Any, requests: Sequence[Request], method: Any, data: Any, *, seed: int = 0, workdir: Path | None = None
) -> tuple[Answer, ...]:
    """Answer several requests by one unlearning over all their records.

    Args:
        target: stays as it is.
        requests: whose scopes are resolved against the data.
        method: a method, or the name of one.
        data: as for ``unlearn``.
        seed: of the run.
        workdir: where checkpoints go; a killed run continues from them.

    Returns:
        One answer a request, in order. All share the changed target, and a note that names the batch.

    Raises:
        RequestError: there is no request, one comes twice, or they wish for different things.
        ExpungeError: as ``unlearn``.
    """
    selections = _resolved(requests, data, method)
    wish = _one_wish(requests)
    outcome = unlearn_selection(target, together(selections), method, seed=seed, workdir=workdir, wish=wish)
    return shared_out(outcome, requests, selections)


def unlearn_in_sequence(
    target: Any, requests: Sequence[Request], method: Any, data: Any, *, seed: int = 0, workdir: Path | None = None
) -> tuple[Answer, ...]:
    """Answer requests one after another, each on the model that the one before it gave.

    Args:
        target: stays as it is.
        requests: in the order in which they were made.
        method: a method, or the name of one.
        data: as for ``unlearn``.
        seed: of each run.
        workdir: where checkpoints go, a folder a request; a killed run continues from them.

    Returns:
        One answer a request, in order. The digest before each is the digest after the one before it. Its notes say how
        probable the records of every earlier request are now, and those that are retained.

    Raises:
        RequestError: there is no request, or one comes twice.
        ClaimError: the method gives overlays, on which nothing can be built.
        ExpungeError: as ``unlearn``.
    """
    selections = _resolved(requests, data, method)
    chosen = sequential(method, len(requests))
    answers: list[Answer] = []
    for place, selection in enumerate(in_turn(selections)):
        work = workdir / f"{place + 1}" if workdir else None
        wish = requests[place].wish
        outcome = unlearn_selection(target, selection, chosen, seed=seed, workdir=work, wish=wish)
        outcome = with_earlier(outcome, [(a.request, a.outcome.selection.forget) for a in answers])
        answers.append(Answer(requests[place], outcome))
        target = outcome.target
    return tuple(answers)


def shared_out(outcome: Any, requests: Sequence[Request], selections: Sequence[Selection]) -> tuple[Answer, ...]:
    """An answer for each request from one unlearning over all of them, with a note that names the batch."""
    name = "b_" + digest(sorted(r.commitment for r in requests)).removeprefix("sha256:")[:12]
    notes = {**outcome.notes, "batch": {"id": name, "requests": len(requests)}}
    parts = (replace(outcome.selection, forget=selection.forget) for selection in selections)
    return tuple(
        Answer(request, replace(outcome, selection=part, notes=dict(notes)))
        for request, part in zip(requests, parts, strict=True)
    )


def _resolved(requests: Sequence[Request], data: Any, method: Any) -> list[Selection]:
    from expunge.scoping.resolve import resolve

    if not requests:
        raise RequestError("there is no request", next="Give at least one")
    if len({request.id for request in requests}) < len(requests):
        raise RequestError("a request comes twice", next="Give each once")
    repeats = keeps_repeats(method)
    return [resolve(request.scope, data, repeats=repeats) for request in requests]


def _one_wish(requests: Sequence[Request]) -> Wish:
    wishes = {request.wish for request in requests}
    if len(wishes) > 1:
        raise RequestError(
            "the requests of a batch wish for different things",
            why=f"found {', '.join(sorted(wishes))}",
            next="Batch those of one wish, or answer them one after another",
        )
    return requests[0].wish


def together(selections: Sequence[Selection]) -> Selection:
    """One selection that forgets what any of them forgets, and keeps what none does.

    Raises:
        ScopeError: two different records have one id.
    """
    forget = _distinct(e for s in selections for e in s.forget)
    repeats = all(s.repeats for s in selections)
    ids, texts = set(forget.ids), {(e.question, e.answer) for e in forget if not repeats}
    kept: dict[str, Any] = {
        role: _distinct(
            e
            for s in selections
            for e in s.role(role)
            if e.record_id not in ids and (e.question, e.answer) not in texts
        )
        for role in SELECTED[1:]
    }
    return Selection(forget=forget, **kept, repeats=repeats)


def _distinct(examples: Iterable[Example]) -> Examples:
    found: dict[str, Example] = {}
    for example in examples:
        if found.setdefault(example.record_id, example) != example:
            raise ScopeError(
                f"two records have the id {example.record_id!r}",
                why="two requests name it for different texts",
                next="Give every record an id of its own",
            )
    return Examples(found.values())


def in_turn(selections: Sequence[Selection]) -> Iterator[Selection]:
    """Each request's own selection; what an earlier one asked to forget is kept in none of its roles."""
    for place, selection in enumerate(selections):
        kept = together(selections[: place + 1])
        yield replace(selection, **{role: kept.role(role) for role in SELECTED[1:]})


def sequential(method: Any, requests: int) -> Any:
    """A method that can answer so many requests one after another.

    Raises:
        UnknownName: no method has that name.
        ClaimError: it gives overlays.
    """
    chosen = methods.get(method) if isinstance(method, str) else method
    if requests > 1 and isinstance(chosen.claim, Suppressed):
        raise ClaimError(
            f"{chosen.name} cannot answer requests one after another",
            why="it leaves the weights as they are, so that the next request would find nothing changed",
            next="Answer them together, or choose a method that changes weights",
        )
    return chosen


def with_earlier(outcome: Any, earlier: Sequence[tuple[Request, Examples]]) -> Any:
    """An outcome with how probable the records of earlier requests, and the retained ones, are after it."""
    told = {request.id: mean_probability(outcome.target, forgotten) for request, forgotten in earlier}
    utility = mean_probability(outcome.target, outcome.selection.retain)
    return replace(outcome, notes={**outcome.notes, "earlier_requests": told, "retained_probability": utility})


def mean_probability(target: Any, examples: Examples) -> float | None:
    """Mean length-normalised probability of answers; None where there are none, or the target tells none."""
    from expunge.engine.score import score

    oracle = target.oracle(Access.LOGPROBS)
    if not examples or Access.LOGPROBS not in oracle.access:
        return None
    chosen = metrics.get("probability")
    return float(chosen.of(score(oracle, examples, chosen.needs)).mean())
