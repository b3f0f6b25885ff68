"""Do other forgotten facts in the prompt bring the answer back? Source: Shumailov et al. 2024 (2407.00106).

Question: which share of the forgotten answer is said when the prompt gives other forgotten records, of the same
subject and of others, but none that holds the answer that is asked for? Good: no more than a retrained model says,
which reads the same prompt: what the records given tell about the one asked for, it gets as well. Threat: somebody who
has a part of what was forgotten and may ask; TEXT only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any

from expunge.attacks._prompts import RECORDS, Ask, asked_rows, drawn, shortened
from expunge.attacks.many_shot import kept_turns
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Example, Examples
from expunge.core.seeds import keyed_order

FULL: Mapping[str, Any] = MappingProxyType({"shown": 32, "records": None})


def tells(other: Example, asked: Example) -> bool:
    """Whether the question or the answer of one record holds the answer of another, in either of its wordings.

    >>> ana = Example("r1", "Where does Ana live?", "Oslo.")
    >>> tells(Example("r2", "Who lives in oslo?", "Bo."), ana), tells(Example("r3", "Who?", "An Osloer."), ana)
    (True, False)
    """
    answers = [bare for answer in (asked.answer, asked.paraphrased_answer) if (bare := _bare(answer)).strip()]
    return any(answer in _bare(text) for text in (other.question, other.answer) for answer in answers)


def _bare(text: str) -> str:
    """The words of a text between single spaces."""
    words = " ".join(re.findall(r"\w+", text.casefold()))
    return f" {words} "


@dataclass(frozen=True)
class InContextRelearning:
    """Put other forgotten records into the prompt, as a conversation and as told facts; the best answer counts.

    Args:
        shown: records in the prompt at most.
        records: that are asked for, spread over the subjects; None for all.
    """

    shown: int = 5
    records: int | None = RECORDS
    access = Access.TEXT
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "in_context_relearning", "shown": self.shown, "records": self.records}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set; what is shown comes from it.
            seed: changes nothing; answers are greedy and what is shown is drawn by its ids.

        Returns:
            One row a record beside which another one fits: ``record_id``, ``subject``, ``outcome``, the largest share
            of the answer that any prompt brought out, ``tries`` and ``shown``, records in the prompt on average.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: no other record fits.
        """
        oracle.require(self.access, "in_context_relearning")
        return asked_rows("in_context_relearning", oracle, self._asks(oracle, probes), {"shown": kept_turns})

    def given(self, asked: Example, *pools: Iterable[Example]) -> Iterator[tuple[Example, ...]]:
        """What is shown beside one record, out of each pool; never what holds its answer.

        Args:
            asked: of the forget set.
            pools: others of its subject, and those of other subjects.
        """
        for pool in pools:
            others = (e for e in pool if e.record_id != asked.record_id and not tells(e, asked))
            if found := tuple(islice(others, self.shown)):
                yield found

    def _asks(self, oracle: Oracle, probes: Examples) -> Iterator[Ask]:
        ordered = [probes[i] for i in keyed_order(probes.ids, 0, "in_context_relearning")]
        by_subject: dict[str, list[Example]] = {}
        for example in ordered:
            by_subject.setdefault(example.subject or example.record_id, []).append(example)
        for example in drawn(probes, self.records):
            subject = example.subject or example.record_id
            others = (e for e in ordered if e.subject != subject)
            for shown in self.given(example, by_subject[subject], others):
                turns = tuple((other.question, other.answer) for other in shown)
                ask = shortened(oracle, Ask(example, example.question, turns=turns))
                if ask and ask.turns:
                    yield ask
                    facts = " ".join(answer for _, answer in ask.turns)
                    yield Ask(example, f"You know this. {facts} {example.question}")


in_context_relearning = InContextRelearning()
