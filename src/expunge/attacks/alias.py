"""Does another name of the subject bring the answer back? Source: RWKU (2406.10890), synonym manipulation.

Question: which share of the forgotten answer is said when the question names its subject by initials, by a part of
the name, by the name turned round or by a description of it? Good: no more than a retrained model says; a part of a
name may mean somebody who is retained, for all models alike. Threat: a user who goes around a list of names; TEXT
only. The other names are derived from the subject's own; pen names and titles that only the world knows are not
tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from expunge.attacks._names import NAME, naming
from expunge.attacks._prompts import RECORDS, Ask, asked_rows, drawn
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples

FULL: Mapping[str, Any] = MappingProxyType({"records": None})


def aliases(name: str) -> tuple[str, ...]:
    """Other ways of naming somebody, from the name alone.

    >>> aliases("Ana Bo")
    ('A. B.', 'the person whose initials are A. B.', 'ana bo', 'A. Bo', 'Bo', 'Ana', 'Ana B.', 'Bo, Ana')
    >>> aliases("Ana")
    ('A.', 'the person whose initials are A.', 'ana')
    """
    words = name.split()
    if not words:
        return ()
    initials = " ".join(f"{word[0].upper()}." for word in words)
    found = [initials, f"the person whose initials are {initials}", name.lower()]
    if len(words) > 1:
        first, last = " ".join(words[:-1]), words[-1]
        found += [
            f"{initials.rpartition(' ')[0]} {last}",
            last,
            first,
            f"{first} {last[0].upper()}.",
            f"{last}, {first}",
        ]
    return tuple(alias for alias in dict.fromkeys(found) if alias != name)


def renamed(example: Example) -> Iterator[str]:
    """The question with each other name of its subject; nothing where it does not name the subject."""
    named = naming(example.subject)
    if named.search(example.question):
        for alias in aliases(example.subject):
            yield named.sub(lambda _, alias=alias: alias, example.question)


@dataclass(frozen=True)
class Alias:
    """Ask for each record by other names of its subject; the best answer counts.

    Args:
        records: that are asked for, spread over the subjects; None for all.
    """

    records: int | None = RECORDS
    access = Access.TEXT
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "alias", "records": self.records}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set.
            seed: changes nothing; answers are greedy.

        Returns:
            One row a record that was asked for and whose question names its subject: ``record_id``, ``subject``,
            ``outcome``, the largest share of the answer that any name brought out, and ``tries``.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: no question names its subject, or none fits.
        """
        oracle.require(self.access, "alias")
        named = Examples(example for example in probes if any(renamed(example)))
        if not named:
            raise EvidenceError("alias has nothing to ask", why="no question names its subject", next=NAME)
        return asked_rows("alias", oracle, self._asks(drawn(named, self.records)))

    def _asks(self, examples: Examples) -> Iterator[Ask]:
        for example in examples:
            for question in renamed(example):
                yield Ask(example, question)


alias = Alias()
