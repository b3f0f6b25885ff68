"""Do many answered questions bring the answer back? Source: Anil et al. 2024, many-shot jailbreaking, section 2.

Question: which share of the forgotten answer is said after a conversation in which other questions of the same kind
were answered? The outcome is the mean over the conversations, for the best of many says the form of an answer and
guesses the rest. Good: no more than a retrained model says, which learns that form from the shots as well.
Threat: a user who has other people's records, or anybody's; TEXT only. The shots come from ``retain``, so that they
tell nothing about what was forgotten. As many are put as the context holds: ``shots`` says how many on average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from expunge.attacks._prompts import RECORDS, Ask, asked_rows, drawn, shortened
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.core.seeds import keyed_order

FULL: Mapping[str, Any] = MappingProxyType({"shots": (1, 4, 16, 64, 256), "draws": 4, "records": None})


def kept_turns(asks: list[Ask], _: np.ndarray) -> float:
    """Turns before the question, on average over the wordings."""
    return sum(len(ask.turns) for ask in asks) / len(asks)


def _best(_: list[Ask], shares: np.ndarray) -> float:
    return float(shares.max())


@dataclass(frozen=True)
class ManyShot:
    """Ask after conversations of answered questions; the mean of the answers counts.

    Args:
        shots: answered questions in a conversation, one or more numbers; where they do not fit, as many as fit.
        draws: conversations of each length.
        records: that are asked for, spread over the subjects; None for all.
    """

    shots: tuple[int, ...] = (1, 4, 16)
    draws: int = 2
    records: int | None = RECORDS
    access = Access.TEXT
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "many_shot", "shots": self.shots, "draws": self.draws, "records": self.records}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int, retain: Examples) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set.
            seed: changes nothing; answers are greedy and the shots drawn by their ids.
            retain: where the shots come from.

        Returns:
            One row a record before which at least one shot fits: ``record_id``, ``subject``, ``outcome``, the share of
            the answer that a conversation brought out, on average over them, ``tries``, ``shots`` on average, and
            ``best``, the largest share that any conversation brought out.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: no shot fits.
        """
        oracle.require(self.access, "many_shot")
        asks = self._asks(oracle, drawn(probes, self.records), retain)
        return asked_rows("many_shot", oracle, asks, {"shots": kept_turns, "best": _best})

    def _asks(self, oracle: Oracle, examples: Examples, retain: Examples) -> Iterator[Ask]:
        orders = [keyed_order(retain.ids, 0, "many_shot", draw)[: max(self.shots)] for draw in range(self.draws)]
        drawn_shots = [tuple((retain[i].question, retain[i].answer) for i in order) for order in orders]
        for example in examples:
            fitting = (
                shortened(oracle, Ask(example, example.question, turns=shots[:count], kind=f"{draw}:{count}"))
                for draw, shots in enumerate(drawn_shots)
                for count in self.shots
            )
            yield from {ask.turns: ask for ask in fitting if ask and ask.turns}.values()


many_shot = ManyShot()
