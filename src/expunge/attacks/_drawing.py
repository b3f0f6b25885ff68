"""Which records a white-box attack reads: by names alone, so that every model is asked the same."""

from __future__ import annotations

from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.core.seeds import keyed_order


def _by_subject(examples: Examples) -> list[list[Example]]:
    """The records of each subject; subjects and records in keyed order."""
    found: dict[str, list[Example]] = {}
    for example, subject in zip(examples, examples.subjects, strict=True):
        found.setdefault(subject, []).append(example)
    names = list(found)
    drawn = [found[names[i]] for i in keyed_order(names, 0, "white box")]
    return [[own[i] for i in keyed_order([e.record_id for e in own], 0, "white box")] for own in drawn]


def evenly(examples: Examples, most: int | None) -> Examples:
    """At most so many records, spread over the subjects: a second one of any only after a first one of all.

    Args:
        examples: to draw from.
        most: records; None for all.

    Returns:
        Those drawn, in the drawn order.

    >>> four = Examples(Example(f"{who}{i}", "?", "!", subject=who) for who in "ab" for i in range(2))
    >>> sorted(evenly(four, 2).subjects), evenly(four, 9).subjects.count("a")
    (['a', 'b'], 2)
    """
    own = _by_subject(examples)
    deepest = max(map(len, own), default=0)
    turns = [records[turn] for turn in range(deepest) for records in own if turn < len(records)]
    return Examples(turns[:most])


def halves(examples: Examples) -> tuple[Examples, Examples]:
    """The records of one half of the subjects, for the attacker, and of the other, to be asked.

    Raises:
        EvidenceError: there is one subject only.
    """
    own = _by_subject(examples)
    if len(own) < 2:
        raise EvidenceError("the attack has nothing left to ask", why="it reads all records of half of the subjects")
    cut = len(own) // 2
    first, second = (Examples(e for records in part for e in records) for part in (own[:cut], own[cut:]))
    return first, second
