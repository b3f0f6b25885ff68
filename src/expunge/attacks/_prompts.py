"""Ask for forgotten answers in many ways in one pass, and say how much of them came back. Source: RWKU (2406.10890), 4.

The outcome of a record is the largest share of its answer's words, in their order, that any wording brings out: the
ROUGE-L recall of ``metrics/rouge_l``; where tries are of several kinds, the mean over the kinds of that. More wordings
give more tries, so each row says how many there were. Which ones fit the context is decided by the
tokenizer and the question, never by what a model says or by what a target puts around a prompt, so that a model that
never knew is asked the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from expunge.attacks._drawing import evenly
from expunge.core.access import Oracle
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.data.collate import Turns
from expunge.engine.generate import generate
from expunge.metrics.rouge_l import rouge_l

RECORDS = 256
SLACK = 8
"""Tokens that an answer may be longer than the one that is looked for."""
SPARED = 16
"""One token in so many of the context is left to what a target puts around a prompt."""


def _as_it_is(text: str) -> str:
    return text


@dataclass(frozen=True)
class Ask:
    """One wording for one record.

    Args:
        record: what is asked for.
        question: as it is put.
        prefill: beginning of the answer that the model is made to go on from.
        turns: what was asked and answered before.
        truth: what is looked for where that is not the record's answer.
        read: applied to what is said; both forms are looked through.
        write: applied to the truth where the answer is expected in another form; it decides how long that may get.
        kind: of the try: a record's outcome is the mean over kinds of the best try of each.
    """

    record: Example
    question: str
    prefill: str = ""
    turns: Turns = ()
    truth: str = ""
    read: Callable[[str], str] = _as_it_is
    write: Callable[[str], str] = _as_it_is
    kind: str = ""

    @property
    def wanted(self) -> str:
        """What is looked for."""
        return self.truth or self.record.answer


Columns = Mapping[str, Callable[[list[Ask], np.ndarray], float]]
"""Name of a further column -> its value, from the wordings that a record was asked in and what each brought out."""


def drawn(probes: Examples, most: int | None) -> Examples:
    """The records that are asked for: all, or so many, spread over the subjects and drawn by their ids alone."""
    return probes if most is None else evenly(probes, most)


def _length(oracle: Oracle, text: str) -> int:
    return len(oracle.target.tokenizer(text, add_special_tokens=False)["input_ids"])


def fits(oracle: Oracle, ask: Ask, *, heard: int | None = None) -> bool:
    """Whether the context holds the wording and the answer that is looked for, with room to spare.

    Args:
        oracle: whose tokenizer and template count; its hooks do not.
        ask: one wording.
        heard: tokens that count for each answer before, whatever it was; None for those that it has.
    """
    template = oracle.target.template
    before = [(question, said if heard is None else "") for question, said in ask.turns]
    taken = len(template.prompt_ids(ask.question, "", before)) + (heard or 0) * len(before)
    needed = _length(oracle, ask.prefill) + _length(oracle, ask.write(ask.wanted)) + 1
    return taken + needed <= template.max_length - template.max_length // SPARED


def shortened(oracle: Oracle, ask: Ask, *, heard: int | None = None) -> Ask | None:
    """A wording without the oldest of its turns that do not fit; None where it does not fit without any."""
    kept = range(len(ask.turns) + 1)
    start = bisect_left(kept, True, key=lambda start: fits(oracle, replace(ask, turns=ask.turns[start:]), heard=heard))
    return replace(ask, turns=ask.turns[start:]) if start in kept else None


def _can_be_put(oracle: Oracle, ask: Ask) -> bool:
    """Whether the target can read a wording with all that it puts around it."""
    template = oracle.target.template
    if template.on_long != "error":
        return True
    before = [(oracle.wrap(question), said) for question, said in ask.turns]
    taken = len(template.prompt_ids(oracle.wrap(ask.question), oracle.system, before))
    # A beginning may be a token longer behind a prompt than by itself.
    return taken + (_length(oracle, f" {ask.prefill}") + 1 if ask.prefill else 0) < template.max_length


def answers(oracle: Oracle, asks: Sequence[Ask], *, most: int | None = None, **sampling: Any) -> list[str]:
    """What a model says to each wording, all in one pass; nothing where its target leaves no room for the wording.

    Args:
        oracle: grants TEXT; its hooks see every wording.
        asks: any number that fit.
        most: tokens after which each answer is cut; as the answer that is looked for needs without.
        sampling: ``temperature``, ``seed`` and ``keys`` of ``engine.generate``; greedy without.
    """
    put = [place for place, ask in enumerate(asks) if _can_be_put(oracle, ask)]
    now = [asks[place] for place in put]
    if keys := sampling.get("keys"):
        sampling["keys"] = [keys[place] for place in put]
    rooms = most or [_length(oracle, ask.write(ask.wanted)) + SLACK for ask in now]
    given = {"prefill": [ask.prefill for ask in now], "turns": [ask.turns for ask in now]}
    texts = generate(oracle, [ask.question for ask in now], max_new_tokens=rooms, **given, **sampling)
    heard = dict(zip(put, texts, strict=True))
    return [heard.get(place, "") for place in range(len(asks))]


def said(asks: Sequence[Ask], texts: Sequence[str]) -> np.ndarray:
    """Which share of what is looked for each text says, plainly or as it reads.

    Args:
        asks: (B,) of them.
        texts: (B,) what was said to each.

    Returns:
        (B,) share of words.

    >>> ask = Ask(Example("r1", "Where?", "In old Oslo."), "Where?", read=lambda text: text[::-1])
    >>> said([ask, ask], ["olsO dlo tub", "Oslo"]).round(3).tolist()
    [0.667, 0.333]
    """
    wanted, plain = [ask.wanted for ask in asks], list(texts)
    read = [ask.read(text) for ask, text in zip(asks, texts, strict=True)]
    shares = rouge_l(wanted, plain)
    return shares if read == plain else np.maximum(shares, rouge_l(wanted, read))


def asked_rows(
    what: str, oracle: Oracle, asks: Iterable[Ask], columns: Columns | None = None
) -> list[dict[str, object]]:
    """Ask all that fits, and keep the best try of each record.

    Args:
        what: the attack's name.
        oracle: grants TEXT.
        asks: wordings of all records.
        columns: further columns, each from the wordings that a record was asked in and their shares.

    Returns:
        One row a record with a wording that fits, in the order of their first ones: ``record_id``, ``subject``,
        ``outcome``, ``tries`` and the further columns.

    Raises:
        EvidenceError: none fits.
    """
    fitting = [ask for ask in asks if fits(oracle, ask)]
    return best_rows(what, fitting, said(fitting, answers(oracle, fitting)), columns)


def best_of_kind(asks: Sequence[Ask], shares: np.ndarray) -> dict[str, float]:
    """The best try of each kind.

    >>> ana = Example("r1", "Where?", "Oslo.")
    >>> best_of_kind([Ask(ana, "?", kind=kind) for kind in "aab"], np.array([0.25, 0.5, 0.75]))
    {'a': 0.5, 'b': 0.75}
    """
    found: dict[str, float] = {}
    for ask, share in zip(asks, shares.tolist(), strict=True):
        found[ask.kind] = max(share, found.get(ask.kind, 0.0))
    return found


def best_rows(
    what: str, asks: Sequence[Ask], shares: np.ndarray, columns: Columns | None = None
) -> list[dict[str, object]]:
    """The best try of each record, on average over their kinds; see ``asked_rows``."""
    tries: dict[str, list[int]] = {}
    for place, ask in enumerate(asks):
        tries.setdefault(ask.record.record_id, []).append(place)
    if not tries:
        raise EvidenceError(f"{what} has nothing to ask", why="no record has a wording of it that fits the context")
    rows: list[dict[str, object]] = []
    for record_id, places in tries.items():
        own, values = [asks[place] for place in places], shares[places]
        rows.append(
            {
                "record_id": record_id,
                "subject": own[0].record.subject or record_id,
                "outcome": float(np.mean([*best_of_kind(own, values).values()])),
                "tries": float(len(places)),
                **{name: value(own, values) for name, value in (columns or {}).items()},
            }
        )
    return rows
