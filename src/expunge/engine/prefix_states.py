"""What layers give that no step changes: computed once a sequence, where sequences come up again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from expunge.data.collate import Batch, Encoded, by_length, collate
from expunge.engine.kept_rows import PASS, KeptRows
from expunge.engine.passes import Lower, drops
from expunge.engine.views import Demand, run_states
from expunge.targets.model_facts import ModelFacts

LIMIT = 1 << 30
"""Bytes of kept states, in a temporary file. Where all would take more, none are kept, and the lower layers run in
every step, without a graph, since autograd starts at the lowest trained parameter."""


def frozen_depth(model: Any, facts: ModelFacts, demand: Demand) -> int:
    """How many layers, from the first, no step changes and no term looks inside of.

    Args:
        model: what is trained in it asks for gradients.
        facts: of its architecture.
        demand: what is read from it.
    """
    stack = facts.decoder_layers(model)
    inside = {id(p) for layer in stack for p in layer.parameters()}
    if any(p.requires_grad and id(p) not in inside for p in model.base_model.parameters()):
        return 0
    trained = [i for i, layer in enumerate(stack) if any(p.requires_grad for p in layer.parameters())]
    return min([len(stack), *trained[:1], *(layer + 1 for layer in demand.layers[:1])])


class LowerStates:
    """States after the frozen layers.

    Args:
        model: with the weights that will not change.
        facts: of its architecture.
        items: sequences whose states are computed now.
        depth: layers that need not run afterwards.
        device: where the model is.
    """

    def __init__(
        self, model: Any, facts: ModelFacts, items: Iterable[Encoded], depth: int, device: torch.device
    ) -> None:
        self._depth, self._device = depth, device
        self._states = KeptRows()
        chosen = list({item.ids: item for item in items}.values())
        was_training = model.training
        model.eval()
        with torch.no_grad():
            for positions in by_length([len(item.ids) for item in chosen], PASS):
                self._fill(model, facts, [chosen[i] for i in positions])
        model.train(was_training)

    def _fill(self, model: Any, facts: ModelFacts, items: Sequence[Encoded]) -> None:
        batch = collate(items)
        counts = torch.tensor([len(item.ids) - 1 for item in items])
        rows = torch.repeat_interleave(torch.arange(len(items)), counts)
        cols = torch.cat([torch.arange(int(n)) for n in counts])
        every = Batch(batch.input_ids, batch.attention_mask, rows, cols, cols, counts).to(self._device)
        flat = run_states(model, facts, every, final=False, layers=(self._depth - 1,)).layers[self._depth - 1]
        self._states.put([item.ids for item in items], flat, counts.tolist())

    def of(self, items: Sequence[Encoded]) -> Lower:
        """What the frozen layers give for the rows of a batch."""
        rows = self._states.of([item.ids for item in items])
        return Lower(self._depth, pad_sequence(rows, batch_first=True).to(self._device))


def lower_states(
    model: Any,
    facts: ModelFacts,
    visits: Sequence[tuple[Sequence[Encoded], int]],
    demand: Demand,
    device: torch.device,
) -> LowerStates | None:
    """Kept states of the frozen layers, or None where they would save nothing, not fit, or differ from step to step.

    Args:
        model: what is trained in it asks for gradients.
        facts: of its architecture.
        visits: the sequences that a run reads, role by role and answer by answer, and how many it reads in all.
        demand: what is read from the model.
        device: where it is.
    """
    depth = frozen_depth(model, facts, demand) if demand else 0
    distinct = sum(len(items) for items, _ in visits)
    if not depth or sum(reads for _, reads in visits) < 2 * distinct:
        return None
    width = model.config.hidden_size * next(model.parameters()).element_size()
    if sum(len(item.ids) for items, _ in visits for item in items) * width > LIMIT:
        return None
    mode = model.training
    random = drops(model.train())
    model.train(mode)
    return None if random else LowerStates(model, facts, (i for items, _ in visits for i in items), depth, device)
