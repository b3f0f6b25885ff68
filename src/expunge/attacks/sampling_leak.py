"""Does one of many sampled answers tell the forgotten one? Source: 2511.04934, leak@k; 2107.03374, equation 1.

Question: how probable is it that at least one of k answers drawn at a temperature says the whole forgotten answer? A
model that is silent when it answers greedily may give its second thoughts away. Good: no higher than for a retrained
model, which hits by guessing: 0 where answers are long. Threat: a user who asks again; TEXT only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from expunge.attacks._prompts import RECORDS, Ask, answers, drawn, fits, said
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import ConfigError, EvidenceError
from expunge.core.example import Examples

FULL: Mapping[str, Any] = MappingProxyType({"samples": 128, "k": 64, "records": None})


def best_of(values: Sequence[float], k: int) -> float:
    """What the best of k draws is worth on average, from n >= k of them, without bias.

    E[max] = sum_i v_(i) C(i - 1, k - 1) / C(n, k),  v_(1) <= ... <= v_(n);  for c hits of value 1 among misses of value
    0 it is 1 - C(n - c, k) / C(n, k)

    Args:
        values: (n,) of the draws, in any order.
        k: draws that the attacker has.

    >>> best_of([0.0, 1.0, 0.0, 0.0], 2)  # 1 - C(3, 2) / C(4, 2)
    0.5
    >>> best_of([0.0, 1.0, 0.5], 2)  # pairs: 1, 0.5, 1
    0.8333
    """
    whole = math.comb(len(values), k)
    return float(sum(value * math.comb(i, k - 1) / whole for i, value in enumerate(sorted(values))))


@dataclass(frozen=True)
class SamplingLeak:
    """Draw several answers to each question and see whether one of k tells.

    Args:
        samples: answers that are drawn a record, at least ``k``.
        k: answers that the attacker draws.
        temperature: of the draws.
        hit: share of the answer's words from which on an answer tells it.
        records: that are asked for, spread over the subjects; None for all.
    """

    samples: int = 16
    k: int = 8
    temperature: float = 1.0
    hit: float = 1.0
    records: int | None = RECORDS
    access = Access.TEXT
    full = FULL

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.samples:
            raise ConfigError(f"leak@{self.k} cannot be found from {self.samples} samples", next="Draw at least k")
        if self.temperature <= 0:
            raise ConfigError(f"a temperature of {self.temperature} draws the same answer each time")

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        own = {"samples": self.samples, "k": self.k, "temperature": self.temperature, "hit": self.hit}
        return {"name": "sampling_leak", **own, "records": self.records}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set.
            seed: of the draws; those of a record depend on its id and on no other record.

        Returns:
            One row a record that was asked for: ``record_id``, ``subject``, ``outcome``, the probability that one of
            k draws tells, ``k``, ``samples``, ``hits``, and ``share``, the largest share of the answer among k draws
            on average.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: no question fits.
        """
        oracle.require(self.access, "sampling_leak")
        asks = [ask for example in drawn(probes, self.records) if fits(oracle, ask := Ask(example, example.question))]
        if not asks:
            raise EvidenceError("sampling_leak has nothing to ask", why="no question fits the context")
        many = [ask for ask in asks for _ in range(self.samples)]
        keys = [f"{ask.record.record_id}\x1f{i}" for ask in asks for i in range(self.samples)]
        texts = answers(oracle, many, temperature=self.temperature, seed=seed, keys=keys)
        shares = said(many, texts).reshape(len(asks), self.samples)
        return [self._row(ask, own) for ask, own in zip(asks, shares, strict=True)]

    def _row(self, ask: Ask, shares: np.ndarray) -> dict[str, object]:
        hits = (shares >= self.hit).astype(float).tolist()
        return {
            "record_id": ask.record.record_id,
            "subject": ask.record.subject or ask.record.record_id,
            "outcome": best_of(hits, self.k),
            "k": float(self.k),
            "samples": float(self.samples),
            "hits": float(sum(hits)),
            "share": best_of(shares.tolist(), self.k),
        }


sampling_leak = SamplingLeak()
