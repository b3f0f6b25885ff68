"""Ask for each record in several fixed wordings."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from expunge.attacks._names import name_in
from expunge.attacks._prompts import RECORDS, Ask, asked_rows, drawn
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Example, Examples

FULL: Mapping[str, Any] = MappingProxyType({"records": None})


def filled(wording: str, example: Example) -> str:
    """A wording with what a record has put in; empty where the record lacks what it needs, as a subject's name.

    >>> ana = Example("r1", "Where does Ana live?", "Oslo.", subject="Ana")
    >>> filled("Who is {subject}? {question}", ana), filled("{paraphrase}", ana)
    ('Who is Ana? Where does Ana live?', '')
    >>> filled("Who is {subject}?", Example("r1", "Where does Ana live?", "Oslo.", subject="author-003"))
    ''
    """
    have = {"question": example.question, "subject": name_in(example), "paraphrase": example.paraphrased_question}
    needed = [field for _, field, _, _ in string.Formatter().parse(wording) if field]
    return wording.format(**have) if all(have[field] for field in needed) else ""


@dataclass(frozen=True)
class Reworded:
    """Put each question in several ways; the best answer counts.

    Args:
        name: of the attack.
        wordings: with ``{question}``, ``{subject}`` or ``{paraphrase}`` where a record's own goes; one with a subject
            only where question or answer names it.
        records: that are asked for, spread over the subjects; None for all.
    """

    name: str
    wordings: tuple[str, ...]
    records: int | None = RECORDS
    access = Access.TEXT
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its wordings."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": self.name, "wordings": self.wordings, "records": self.records}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set.
            seed: changes nothing; answers are greedy.

        Returns:
            One row a record that was asked for: ``record_id``, ``subject``, ``outcome``, the largest share of the
            answer that any wording brought out, and ``tries``, how many wordings fit the context.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: no wording fits.
        """
        oracle.require(self.access, self.name)
        return asked_rows(self.name, oracle, self._asks(drawn(probes, self.records)))

    def _asks(self, examples: Examples) -> Iterator[Ask]:
        for example in examples:
            for wording in self.wordings:
                if question := filled(wording, example):
                    yield Ask(example, question)
