"""Prompts that were run, ready to be gone on from: what follows them starts from their keys and values.

What all prompts of a batch begin with, a system prompt for instance, runs once. Prompts are kept padded on the left, so
that what follows leaves no hole in a row: distances between its tokens are what they are without padding, also for
layers that see a sliding window, and positions are given explicitly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from expunge.engine.passes import SHORTEST, start_cost
from expunge.targets.model_facts import ModelFacts


class Prompts:
    """Prompts with what the model keeps of them. P is the longest.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        prompts: B lists of token ids, none empty.
    """

    def __init__(self, model: Any, facts: ModelFacts, prompts: Sequence[Sequence[int]]) -> None:
        from transformers import DynamicCache

        self._model, self.device = model, next(model.parameters()).device
        self.counts = torch.tensor([len(prompt) for prompt in prompts])
        self.width = int(self.counts.max())
        ids = torch.zeros((len(prompts), self.width), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        columns = torch.arange(self.width)
        mask = (columns[None, :] < self.counts[:, None]).long()
        shared = self._opening(facts, ids)
        # Without a config every layer keeps all that it saw, and the mask alone makes a window.
        cache = DynamicCache()
        if shared:
            self.run(ids[:1, :shared], mask[:1, :shared], columns[None, :shared], cache)
            held: list[Any] = list(cache.layers)
            shape = (len(prompts), -1, -1, -1)
            cache = DynamicCache([(layer.keys.expand(shape), layer.values.expand(shape)) for layer in held])
        states = self.run(ids[:, shared:], mask, columns[None, shared:].expand(len(ids), -1), cache)
        self.last = states[torch.arange(len(ids)), (self.counts - 1 - shared).to(self.device)]
        """(B, D) states after the final norm that predict what follows."""
        source = (columns[None, :] - (self.width - self.counts)[:, None]) % self.width
        self.mask = mask.gather(1, source)
        """(B, P) 1 on tokens; padded on the left."""
        self.kept = [_moved(layer, source.to(self.device)) for layer in list(cache.layers)]
        """(B, heads, P, d) keys and values of each layer, padded on the left."""

    def _opening(self, facts: ModelFacts, ids: Tensor) -> int:
        """Tokens that all prompts begin with, if they are worth a pass of their own; a prompt's last never counts."""
        same = int((ids == ids[:1]).all(0).int().cumprod(0).sum())
        shared = min(same, int(self.counts.min()) - 1)
        cost = start_cost(facts.decoder_layers(self._model)[0], self.device)
        return 0 if shared < SHORTEST or shared * (len(ids) - 1) < cost else shared

    def run(self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Any) -> Tensor:
        """Run tokens that follow what a cache holds.

        Args:
            ids: (R, S) tokens.
            mask: (R, held + S) 1 on tokens, those that the cache holds first.
            positions: (R, S) or (1, S) of the tokens in their sequences.
            cache: of the library; grows by S.

        Returns:
            (R, S, D) states after the final norm.
        """
        output = self._model.base_model(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=positions.to(self.device),
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state


def _moved(layer: Any, source: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values of a layer with the columns of each row in another order."""
    index = source[:, None, :, None].expand_as(layer.keys)
    return layer.keys.gather(2, index), layer.values.gather(2, source[:, None, :, None].expand_as(layer.values))
