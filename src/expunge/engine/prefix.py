"""Several answers to one question: the prompt runs once, the answers continue from its keys and values.

Prompts are padded on the left and answers on the right, so that a row has no hole: distances between its tokens are
what they are without padding, also for layers that see a sliding window, and positions are given explicitly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from expunge.data.collate import Encoded, by_length, collate
from expunge.engine.views import run_states
from expunge.targets.model_facts import ModelFacts


@dataclass(frozen=True)
class Swept:
    """States that predict the scored tokens of some sequences, flat.

    Args:
        positions: of the sequences among those that were asked for.
        final: (N, D) after the final norm.
        labels: (N,) ids of the scored tokens.
        counts: scored tokens of each sequence; they sum to N.
    """

    positions: list[int]
    final: Tensor
    labels: Tensor
    counts: list[int]


def by_prompt(items: Sequence[Encoded]) -> tuple[list[list[int]], list[int]]:
    """Positions of sequences that share a prompt with another, group by group, and of those that share with none.

    >>> a, b = Encoded("r", (5, 6, 7), 2), Encoded("r", (5, 6, 8, 9), 2)
    >>> by_prompt([a, Encoded("s", (5, 4), 1), b])
    ([[0, 2]], [1])
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for position, item in enumerate(items):
        groups.setdefault(item.ids[: item.n_prompt], []).append(position)
    shared = [group for group in groups.values() if len(group) > 1]
    return shared, [position for group in groups.values() if len(group) == 1 for position in group]


def sweep_alone(
    model: Any, facts: ModelFacts, items: Sequence[Encoded], chosen: Sequence[int], budget: int
) -> Iterator[Swept]:
    """Run whole sequences, batch by batch.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        items: sequences.
        chosen: positions of those that are run.
        budget: padded tokens a batch.

    Yields:
        What each batch gave.
    """
    device = next(model.parameters()).device
    for batch_of in by_length([len(items[i].ids) for i in chosen], budget):
        positions = [chosen[i] for i in batch_of]
        batch = collate([items[i] for i in positions]).to(device)
        states = run_states(model, facts, batch, final=True, layers=())
        assert states.final is not None
        yield Swept(positions, states.final, batch.labels, batch.counts.tolist())


def sweep_shared(model: Any, items: Sequence[Encoded], groups: Sequence[Sequence[int]], budget: int) -> Iterator[Swept]:
    """Run each group's prompt once and its answers from there, batch by batch.

    Args:
        model: a transformers causal LM.
        items: sequences.
        groups: positions of sequences with one prompt.
        budget: padded tokens a batch, the kept prompts counted in every row.

    Yields:
        What each batch gave.
    """
    for batch_of in by_length([items[group[0]].n_prompt for group in groups], budget):
        chosen = [groups[i] for i in batch_of]
        prompts = _Prompts(model, [items[group[0]] for group in chosen])
        owners = [row for row, group in enumerate(chosen) for _ in group]
        members = [position for group in chosen for position in group]
        for rows in by_length([prompts.width + items[i].n_scored - 1 for i in members], budget):
            yield prompts.continued(items, [members[i] for i in rows], [owners[i] for i in rows])


class _Prompts:
    """Prompts that were run, with their keys and values."""

    def __init__(self, model: Any, firsts: Sequence[Encoded]) -> None:
        from transformers import DynamicCache

        self._model, self._device = model, next(model.parameters()).device
        self.width = max(item.n_prompt for item in firsts)
        ids = torch.zeros((len(firsts), self.width), dtype=torch.long)
        self._mask = torch.zeros_like(ids)
        for row, item in enumerate(firsts):
            ids[row, self.width - item.n_prompt :] = torch.tensor(item.ids[: item.n_prompt])
            self._mask[row, self.width - item.n_prompt :] = 1
        # Without a config every layer keeps all that it saw, and the mask alone makes a window.
        self._cache = DynamicCache()
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        self._last = self._run(ids, self._mask, positions, self._cache)[:, -1]

    def _run(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        output = self._model.base_model(
            input_ids=ids.to(self._device),
            attention_mask=mask.to(self._device),
            position_ids=positions.to(self._device),
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state

    def continued(self, items: Sequence[Encoded], positions: list[int], owners: list[int]) -> Swept:
        """States of answers; those of the last prompt token predict an answer's first token."""
        from transformers import DynamicCache

        answers = [items[i].ids[items[i].n_prompt :] for i in positions]
        counts = torch.tensor([len(answer) for answer in answers])
        rows = torch.tensor(owners)
        states = self._last[rows.to(self._device)][:, None]
        longest = int(counts.max()) - 1
        if longest:
            ids = torch.zeros((len(answers), longest), dtype=torch.long)
            for row, answer in enumerate(answers):
                ids[row, : len(answer) - 1] = torch.tensor(answer[:-1])
            mask = (torch.arange(longest)[None, :] < counts[:, None] - 1).long()
            starts = torch.tensor([items[i].n_prompt for i in positions])
            at = rows.to(self._device)
            layers: list[Any] = list(self._cache.layers)
            cache = DynamicCache([(layer.keys[at], layer.values[at]) for layer in layers])
            both = torch.cat([self._mask[rows], mask], 1)
            later = self._run(ids, both, starts[:, None] + torch.arange(longest), cache)
            states = torch.cat([states, later], 1)
        scored = torch.arange(longest + 1)[None, :] < counts[:, None]
        labels = torch.tensor([token for answer in answers for token in answer])
        return Swept(positions, states[scored.to(self._device)], labels.to(self._device), counts.tolist())
