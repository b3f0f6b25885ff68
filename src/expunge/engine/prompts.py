"""Sequences that were run, ready to be gone on from: what follows starts from their keys and values.

What all sequences of a batch begin with, a system prompt for instance, runs once. What is gone on from is padded on the
left, so that what follows leaves no hole in a row: distances between its tokens are what they are without padding, also
for layers that see a sliding window, and positions are given explicitly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.engine.passes import SHORTEST, start_cost
from expunge.targets.model_facts import ModelFacts


def go_on(model: Any, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
    """Run tokens that follow what a cache holds.

    Args:
        model: a transformers causal LM.
        ids: (R, S) tokens.
        mask: (R, held + S) 1 on tokens, those that the cache holds first.
        positions: (R, S) or (1, S) of the tokens in their sequences.
        cache: of the library; grows by S.

    Returns:
        (R, S, D) states after the final norm.
    """
    device = next(model.parameters()).device
    output = model.base_model(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=positions.to(device),
        past_key_values=cache,
        use_cache=True,
    )
    return output.last_hidden_state


class Prompts:
    """Sequences with what the model keeps of them.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        prompts: B lists of token ids, none empty.
        least: tokens that every one is gone on from at least; all, unless given.
    """

    def __init__(
        self, model: Any, facts: ModelFacts, prompts: Sequence[Sequence[int]], least: int | None = None
    ) -> None:
        from transformers import DynamicCache

        self.device = next(model.parameters()).device
        counts = torch.tensor([len(prompt) for prompt in prompts])
        ids = torch.zeros((len(prompts), int(counts.max())), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        columns = torch.arange(ids.shape[1])
        mask = (columns[None, :] < counts[:, None]).long()
        # The last token of what is gone on from has to have a state.
        same = min(int((ids == ids[:1]).all(0).int().cumprod(0).sum()), (least or int(counts.min())) - 1)
        cost = start_cost(facts.decoder_layers(model)[0], self.device)
        self._opening = 0 if same < SHORTEST or same * (len(ids) - 1) < cost else same
        # Without a config every layer keeps all that it saw, and the mask alone makes a window.
        cache = DynamicCache()
        if self._opening:
            go_on(model, ids[:1, : self._opening], mask[:1, : self._opening], columns[None, : self._opening], cache)
            held: list[Any] = list(cache.layers)
            shape = (len(prompts), -1, -1, -1)
            cache = DynamicCache([(layer.keys.expand(shape), layer.values.expand(shape)) for layer in held])
        places = columns[None, self._opening :].expand(len(ids), -1)
        self._states = go_on(model, ids[:, self._opening :], mask, places, cache)
        self._layers: list[Any] = list(cache.layers)

    def states(self, rows: Tensor, places: Tensor) -> Tensor:
        """(N, D) states after the final norm, at places of rows: what predicts the token that follows."""
        return self._states[rows.to(self.device), (places - self._opening).to(self.device)]

    def kept(self, rows: Tensor, counts: Tensor) -> tuple[Tensor, Any]:
        """What is gone on from.

        Args:
            rows: (R,) of the sequences, each any number of times.
            counts: (R,) tokens of their beginnings, P at most.

        Returns:
            (R, P) mask, 1 on tokens, padded on the left; and a cache with the keys and values of each layer.
        """
        from transformers import DynamicCache

        width = int(counts.max())
        columns = torch.arange(width)[None, :] - (width - counts)[:, None]
        at, places = rows.to(self.device), columns.clamp(min=0).to(self.device)
        pairs = [(_picked(layer.keys, at, places), _picked(layer.values, at, places)) for layer in self._layers]
        return (columns >= 0).long(), DynamicCache(pairs)


def _picked(held: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """(R, heads, P, d) keys or values at some places of some rows of (B, heads, S, d)."""
    _, heads, size, width = held.shape
    head = torch.arange(heads, device=held.device)
    index = ((rows[:, None] * heads + head)[..., None] * size + places[:, None, :]).flatten()
    return held.reshape(-1, width).index_select(0, index).view(len(rows), heads, -1, width)
