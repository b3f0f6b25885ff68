"""Does a suffix found by gradients bring the answer back? Source: Zou et al. 2023 (2307.15043), algorithms 1 and 2.

Question: which share of the forgotten answer is said when the question ends in tokens that were searched so that the
true answers of a few other forgotten records become likely? Only records whose answers the search never read are
asked. Good: no more than a retrained model says with the suffix that was searched for it. Threat: somebody who has
the weights and some of the forgotten records, and looks for words that unlock the others; TEXT and WEIGHTS. The
search keeps what it has unless a candidate is better, and takes only suffixes that come back as the same tokens when
they are sent as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from expunge.attacks._prompts import RECORDS, Ask, Columns, answers, best_rows, drawn, fits, said
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.core.seeds import derive
from expunge.engine.suffix import Suffixed, answer_nll, encode_suffix, token_gradients, with_suffix

FULL: Mapping[str, Any] = MappingProxyType({"length": 20, "steps": 200, "candidates": 256, "top": 128, "records": None})
TRIES = 200
"""Random tokens that are tried for each place of the first suffix, until it comes back as its own tokens."""


def writable(tokenizer: Any, size: int) -> list[int]:
    """Tokens that a suffix may have: printable ASCII, not special."""
    special = set(tokenizer.all_special_ids)
    texts = enumerate(tokenizer.batch_decode([[token] for token in range(size)]))
    return [i for i, text in texts if i not in special and text.strip() and text.isascii() and text.isprintable()]


@dataclass(frozen=True)
class Found:
    """What a search found.

    Args:
        suffix: token ids.
        text: what is sent.
        before: nats a token. mean loss of the true answers with the first suffix.
        after: nats a token. the same with the last one.
    """

    suffix: tuple[int, ...]
    text: str
    before: float
    after: float


@dataclass(frozen=True)
class GradientSuffix:
    """Search a suffix that makes forgotten answers likely, and put it behind other questions.

    Args:
        length: tokens of the suffix.
        steps: of the search.
        candidates: exchanges of one token that are tried a step.
        top: tokens a position that are drawn from, those that the gradient favours.
        shown: records whose answers the search reads.
        records: other records that are asked for, spread over the subjects; None for all.
    """

    length: int = 6
    steps: int = 20
    candidates: int = 32
    top: int = 32
    shown: int = 12
    records: int | None = RECORDS
    access = Access.TEXT | Access.WEIGHTS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        budget = {"length": self.length, "steps": self.steps, "candidates": self.candidates, "top": self.top}
        return {"name": "gradient_suffix", **budget, "shown": self.shown, "records": self.records}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants TEXT and WEIGHTS.
            probes: the forget set.
            seed: of the search.

        Returns:
            One row a record that was asked for, none of those that the search read: ``record_id``, ``subject``,
            ``outcome``, the share of the answer that is said, ``tries``, and of the search ``loss_before`` and
            ``loss_after``, nats a token of the answers that it read.

        Raises:
            TargetError: the oracle does not grant what is needed.
            EvidenceError: fewer than two records fit, or no suffix comes back as its own tokens.
        """
        oracle.require(self.access, "gradient_suffix")
        # Twice the room, so that the same records are asked whatever suffix a model's search finds.
        room = "x " * (2 * self.length)
        fitting = Examples(e for e in probes if fits(oracle, Ask(e, with_suffix(e.question, room))))
        order = drawn(fitting, len(fitting))
        shown = order[: min(self.shown, len(order) // 2)]
        if not shown:
            raise EvidenceError("gradient_suffix has nothing to ask", why="fewer than two questions fit the context")
        found = self.search(oracle, shown, seed=seed)
        rest = drawn(Examples(order[len(shown) :]), self.records)
        asks = [Ask(example, with_suffix(example.question, found.text)) for example in rest]
        told: Columns = {
            "loss_before": lambda *_: found.before,
            "loss_after": lambda *_: found.after,
        }
        return best_rows("gradient_suffix", asks, said(asks, answers(oracle, asks)), told)

    def search(self, oracle: Oracle, shown: Iterable[Example], *, seed: int) -> Found:
        """Find a suffix by greedy exchange of single tokens.

        Args:
            oracle: grants WEIGHTS.
            shown: records whose answers are to become likely.
            seed: of the first suffix and of the candidates.

        Raises:
            EvidenceError: no suffix comes back as its own tokens.
        """
        target, examples = oracle.target, list(shown)
        draw = torch.Generator().manual_seed(derive(seed, "gradient_suffix", *(e.record_id for e in examples)))
        allowed = torch.tensor(writable(target.tokenizer, target.model.get_input_embeddings().weight.shape[0]))
        best, rows = self._first(oracle, examples, allowed, draw)
        before = after = float(answer_nll(target, [row.item for row in rows]).mean())
        for _ in range(self.steps):
            favour_SV = -token_gradients(target, rows, self.length)[:, allowed]
            tried = self._candidates(best, allowed[favour_SV.topk(min(self.top, len(allowed)), dim=1).indices], draw)
            sent = [(suffix, read) for suffix in tried if (read := _encoded(oracle, examples, suffix))]
            if not sent:
                continue
            items = [row.item for _, read in sent for row in read]
            losses = answer_nll(target, items).reshape(len(sent), len(examples)).mean(1)
            place = int(losses.argmin())
            if float(losses[place]) < after:
                (best, rows), after = sent[place], float(losses[place])
        return Found(best, target.tokenizer.decode(list(best)), before, after)

    def _first(
        self, oracle: Oracle, examples: list[Example], allowed: torch.Tensor, draw: torch.Generator
    ) -> tuple[tuple[int, ...], list[Suffixed]]:
        suffix: tuple[int, ...] = ()
        rows: list[Suffixed] = []
        while len(suffix) < self.length:
            for _ in range(TRIES if len(allowed) else 0):
                longer = (*suffix, int(allowed[int(torch.randint(len(allowed), (1,), generator=draw))]))
                if rows := _encoded(oracle, examples, longer):
                    suffix = longer
                    break
            else:
                raise EvidenceError(
                    f"gradient_suffix finds no suffix of {self.length} tokens to begin with",
                    why=f"none of {TRIES} tokens behind {len(suffix)} others is read as it was written",
                )
        return suffix, rows

    def _candidates(
        self, best: tuple[int, ...], favoured_SK: torch.Tensor, draw: torch.Generator
    ) -> list[tuple[int, ...]]:
        places = torch.randint(self.length, (self.candidates,), generator=draw).tolist()
        picks = torch.randint(favoured_SK.shape[1], (self.candidates,), generator=draw).tolist()
        swapped = [(*best[:s], int(favoured_SK[s, k]), *best[s + 1 :]) for s, k in zip(places, picks, strict=True)]
        return [suffix for suffix in dict.fromkeys(swapped) if suffix != best]


def _encoded(oracle: Oracle, examples: Sequence[Example], suffix: tuple[int, ...]) -> list[Suffixed]:
    """The suffix behind every question, or nothing where one of them reads it as other tokens."""
    rows: list[Suffixed] = []
    for example in examples:
        row = encode_suffix(oracle, example, suffix)
        if row is None:
            return []
        rows.append(row)
    return rows


gradient_suffix = GradientSuffix()
