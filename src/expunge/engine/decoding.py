"""What a model says after prompts, token by token; a row whose answer has ended leaves the batch.

A prompt that stands several times in a batch, as when answers are sampled, is read once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.engine.prompts import Prompts, go_on
from expunge.targets.model_facts import ModelFacts

LEAVING = 8
"""One row in so many has ended before the others are moved together."""

Choice = Callable[[Sequence[int], Tensor], Tensor]


def decode(
    model: Any,
    facts: ModelFacts,
    prompts: Sequence[Sequence[int]],
    rooms: Sequence[int],
    *,
    end: int,
    choice: Choice | None = None,
) -> list[list[int]]:
    """Go on from each prompt with the likeliest token at each step.

    Args:
        model: a transformers causal LM in evaluation mode.
        facts: of its architecture.
        prompts: B lists of token ids, none empty.
        rooms: tokens after which each answer is cut.
        end: id of the token that ends an answer.
        choice: (R,) rows and their (R, V) logits -> (R,) tokens that are taken instead.

    Returns:
        Tokens of each answer, without the end token.
    """
    said: list[list[int]] = [[] for _ in prompts]
    rows = [row for row, room in enumerate(rooms) if room > 0]
    if rows:
        _Answers(model, facts, [prompts[row] for row in rows], rows).go_on(said, rooms, end, choice)
    return said


class _Answers:
    """Answers that are being written, row by row of a cache."""

    def __init__(self, model: Any, facts: ModelFacts, prompts: Sequence[Sequence[int]], rows: list[int]) -> None:
        places: dict[tuple[int, ...], int] = {}
        at = torch.tensor([places.setdefault(tuple(prompt), len(places)) for prompt in prompts])
        ran, self._places = Prompts(model, facts, [*places]), torch.tensor([len(prompt) for prompt in prompts])
        self._model, self._head, self._rows = model, facts.head(model), rows
        self._mask, self._cache = ran.kept(at, self._places)
        self._states = ran.states(at, self._places - 1)

    def go_on(self, said: list[list[int]], rooms: Sequence[int], end: int, choice: Choice | None) -> None:
        """Write all answers to their ends."""
        living, states = set(self._rows), self._states
        while True:
            logits = self._head(states).float()
            tokens = choice(self._rows, logits) if choice else logits.argmax(1)
            for row, token in zip(self._rows, tokens.tolist(), strict=True):
                if row in living:
                    if token != end:
                        said[row].append(token)
                    if token == end or len(said[row]) == rooms[row]:
                        living.remove(row)
            if not living:
                return
            if (len(self._rows) - len(living)) * LEAVING >= len(self._rows):
                tokens = self._leave(living, tokens)
            self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], 1)
            states = go_on(self._model, tokens[:, None], self._mask, self._places[:, None], self._cache)[:, -1]
            # An answer that has ended may be at the last place there is: it waits there.
            self._places = self._places + torch.tensor([row in living for row in self._rows])

    def _leave(self, living: set[int], tokens: Tensor) -> Tensor:
        """Keep the rows that live, and of the padding on their left what they need."""
        from transformers import DynamicCache

        kept = torch.tensor([place for place, row in enumerate(self._rows) if row in living])
        self._rows = [self._rows[place] for place in kept.tolist()]
        self._mask, self._places = self._mask[kept], self._places[kept]
        padding = int(self._mask.argmax(1).min())
        self._mask = self._mask[:, padding:]
        at, layers = kept.to(tokens.device), list[Any](self._cache.layers)
        self._cache = DynamicCache([(held.keys[at, :, padding:], held.values[at, :, padding:]) for held in layers])
        return tokens[at]
