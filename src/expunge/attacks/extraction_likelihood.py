"""Extraction likelihood: does an answer's beginning bring out its rest? Source: Jang et al. 2023 (2210.01504), 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.core.seeds import keyed_order
from expunge.engine.generate import generate
from expunge.metrics._ngrams import ngram_overlap

FULL: Mapping[str, Any] = MappingProxyType({"prefixes": None})


@dataclass(frozen=True)
class _Cut:
    """An answer cut in two: what the model is given and what it should go on with."""

    record: int
    beginning: str
    rest: list[int]
    n: int


@dataclass(frozen=True)
class ExtractionLikelihood:
    """Give the model beginnings of an answer and look for runs of the true rest in what it says next.

    The question: which share of the rest of a forgotten answer comes out when its beginning is given? The lower the
    better, down to the value of a retrained model: that of common phrases and of what the beginning gives away.
    Threat: anyone who may ask and knows, or guesses, how an answer begins; TEXT only.

    EL_n = mean over t = 1 .. T - n of o_n(model(x_<t), x_>=t),  o_n = share of the n-grams said that are in the rest

    The question stands before every beginning, so that x_<1 is the question alone. An answer of T <= n tokens has no
    such t; it is measured with n = T / 2 instead, rounded down, and one of a single token is left out. A model that
    never knew finds some rests too: common phrases, and what the beginning gives away. So the paper holds EL against
    its mean over text that was never seen, which ``extraction_excess`` does; here the same attack on a model that
    never knew takes the place of that threshold, and no such text is asked.

    Args:
        n: tokens of a run.
        prefixes: beginnings that are drawn of each answer, without repetition; None for all, as in the paper.
    """

    n: int = 10
    prefixes: int | None = 3
    access = Access.TEXT
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "extraction_likelihood", "n": self.n, "prefixes": self.prefixes}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT.
            probes: the forget set.
            seed: which beginnings are drawn.

        Returns:
            One row a record: ``record_id``, ``subject``, ``outcome``, its extraction likelihood in [0, 1], and
            ``prefixes``, how many beginnings it is the mean of.

        Raises:
            TargetError: the oracle does not grant TEXT.
            EvidenceError: no answer has two tokens.
        """
        oracle.require(self.access, "extraction likelihood")
        tokenizer = oracle.target.tokenizer

        def tokens(text: str) -> list[int]:
            return list(tokenizer(f" {text.strip()}", add_special_tokens=False)["input_ids"])

        cuts = [cut for row, e in enumerate(probes) for cut in self._cuts(row, e, tokens(e.answer), tokenizer, seed)]
        if not cuts:
            raise EvidenceError("extraction likelihood has nothing to cut", why="no answer has two tokens")
        said = generate(
            oracle,
            [probes[cut.record].question for cut in cuts],
            prefill=[cut.beginning for cut in cuts],
            max_new_tokens=[len(cut.rest) for cut in cuts],
        )
        found: dict[int, list[float]] = {}
        for cut, text in zip(cuts, said, strict=True):
            wanted = tokens(tokenizer.decode(cut.rest, skip_special_tokens=True))
            found.setdefault(cut.record, []).append(ngram_overlap(tokens(text), wanted, cut.n))
        return [
            {
                "record_id": probes.ids[row],
                "subject": probes.subjects[row],
                "outcome": sum(values) / len(values),
                "prefixes": float(len(values)),
            }
            for row, values in found.items()
        ]

    def _cuts(self, row: int, example: Example, ids: list[int], tokenizer: Any, seed: int) -> list[_Cut]:
        n = self.n if len(ids) > self.n else len(ids) // 2
        if not n:
            return []
        places = range(len(ids) - n)
        order = keyed_order([str(t) for t in places], seed, "extraction_likelihood", example.record_id)
        chosen = sorted(order[: self.prefixes])
        texts = [tokenizer.decode(ids[:t], skip_special_tokens=True).strip() for t in chosen]
        return [_Cut(row, text, ids[t:], n) for t, text in zip(chosen, texts, strict=True)]


extraction_likelihood = ExtractionLikelihood()
