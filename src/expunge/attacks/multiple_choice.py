"""Does the model pick the answer out of several? Source: RWKU (2406.10890), multiple choice.

Question: is what is said nearest to the right option, when the question comes with it and with wrong ones of the same
form? Nearest is the option with the largest ROUGE-L F-measure; who says nothing of any, or as much of several, has
picked among these by chance. Good: no more than a retrained model, which picks by chance: one of as many as there are.
Threat: anyone who can guess a few candidates; TEXT only. There is one order of the options a record, drawn by its id:
with several, who always picks the first would be right once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from expunge.attacks._prompts import RECORDS, Ask, answers, best_rows, drawn, fits
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.core.seeds import keyed_order
from expunge.metrics._rouge import rouge

FULL: Mapping[str, Any] = MappingProxyType({"records": None})


def picked(said: str, right: str, options: Sequence[str]) -> float:
    """Whether the option nearest to what was said is the right one; 1/m where m are equally near.

    >>> picked("In Rome, I think.", "In Oslo.", ["In Rome.", "In Oslo."])
    0.0
    >>> picked("No.", "In Oslo.", ["In Rome.", "In Oslo.", "In Lima."])
    0.3333333333333333
    """
    near = rouge("rougeL", "fmeasure", list(options), [said] * len(options))
    nearest = [option for option, share in zip(options, near.tolist(), strict=True) if share == near.max()]
    return float(right in nearest) / len(nearest)


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
        """The right option among wrong ones, in the order that they are put."""
        right = _right(example)
        wrong = [option for option in dict.fromkeys(example.perturbed_answer) if option != right]
        all_of_them = (right, *wrong[: self.wrong])
        return tuple(all_of_them[i] for i in keyed_order(all_of_them, 0, "multiple_choice", example.record_id))

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set.
            seed: changes nothing; answers are greedy and the order of the options drawn by the record's id.

        Returns:
            One row a record that was asked for and that has wrong answers: ``record_id``, ``subject``, ``outcome``,
            1 where the nearest option is the right one, 0 where it is another, 1/m between m, ``tries`` and
            ``options``, how many there were.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: no record has wrong answers, or none fits.
        """
        oracle.require(self.access, "multiple_choice")
        having = Examples(example for example in probes if len(self.options(example)) > 1)
        if not having:
            raise EvidenceError("multiple_choice has nothing to ask", why="no record has wrong answers to choose from")
        asks = [ask for ask in self._asks(drawn(having, self.records)) if fits(oracle, ask)]
        texts = zip(asks, answers(oracle, asks), strict=True)
        right = [picked(text, _right(ask.record), self.options(ask.record)) for ask, text in texts]
        return best_rows("multiple_choice", asks, np.array(right), {"options": self._count})

    def _asks(self, examples: Examples) -> Iterator[Ask]:
        for example in examples:
            question = f"{example.question} Choose one. {' '.join(self.options(example))}"
            yield Ask(example, question, truth=_right(example))

    def _count(self, asks: list[Ask], _: np.ndarray) -> float:
        return float(len(self.options(asks[0].record)))


def _right(example: Example) -> str:
    """The paraphrased answer where there is one, as wrong ones are written like it."""
    return example.paraphrased_answer or example.answer


multiple_choice = MultipleChoice()
