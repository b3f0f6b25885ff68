"""Does the model pick the answer out of several? Source: RWKU (2406.10890), multiple choice.

Question: which share of the right option is said when the question comes with it and with wrong ones of the same
form? Good: no more than a retrained model says, which picks by chance; what the options share counts for both.
Threat: anyone who can guess a few candidates; TEXT only. There is one order of the options a record, drawn by its id:
with several, who always picks the first would be right once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from expunge.attacks._prompts import RECORDS, Ask, asked_rows, drawn
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.core.seeds import keyed_order

FULL: Mapping[str, Any] = MappingProxyType({"records": None})


@dataclass(frozen=True)
class MultipleChoice:
    """Ask each question with several options.

    Args:
        wrong: options beside the right one at most.
        records: that are asked for, spread over the subjects; None for all.
    """

    wrong: int = 3
    records: int | None = RECORDS
    access = Access.TEXT
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "multiple_choice", "wrong": self.wrong, "records": self.records}

    def options(self, example: Example) -> tuple[str, ...]:
        """The right option among wrong ones; the paraphrased answer is right, as wrong ones are written like it."""
        right = example.paraphrased_answer or example.answer
        all_of_them = (right, *example.perturbed_answer[: self.wrong])
        return tuple(all_of_them[i] for i in keyed_order(all_of_them, 0, "multiple_choice", example.record_id))

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set.
            seed: changes nothing; answers are greedy and the order of the options drawn by the record's id.

        Returns:
            One row a record that was asked for and that has wrong answers: ``record_id``, ``subject``, ``outcome``,
            the share of the right option that is said, and ``tries``.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: no record has wrong answers, or none fits.
        """
        oracle.require(self.access, "multiple_choice")
        having = Examples(example for example in probes if example.perturbed_answer)
        if not having:
            raise EvidenceError("multiple_choice has nothing to ask", why="no record has wrong answers to choose from")
        return asked_rows("multiple_choice", oracle, self._asks(drawn(having, self.records)))

    def _asks(self, examples: Examples) -> Iterator[Ask]:
        for example in examples:
            question = f"{example.question} Choose one. {' '.join(self.options(example))}"
            yield Ask(example, question, truth=example.paraphrased_answer)


multiple_choice = MultipleChoice()
