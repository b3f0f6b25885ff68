"""Hidden states after the decoder layers, and a model run with them changed. Nothing stays on the model afterwards."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from expunge.core.errors import EvidenceError, TargetError
from expunge.core.example import Examples
from expunge.data.collate import Batch, Encoded, by_length, collate
from expunge.engine.precision import placed
from expunge.engine.threads import threads_for
from expunge.ops.answer import flat_logp, sum_rows
from expunge.targets.causal_lm import CausalLM
from expunge.targets.model_facts import ModelFacts

BUDGET = 4096
"""Padded tokens a batch."""

Change = Callable[[Tensor], Tensor]
"""From the states after a layer, (B, S, D), to those that the layers above see."""


@contextmanager
def asked(target: CausalLM) -> Generator[torch.device]:
    """Have a model ready to be asked, in evaluation mode, and as it was afterwards.

    Args:
        target: the model.

    Yields:
        The device that it is on.
    """
    model, was_training = target.model, target.model.training
    model.eval()
    try:
        with threads_for(model), placed(model) as device:
            yield device
    finally:
        model.train(was_training)


def batches_of(
    items: Sequence[Encoded], device: torch.device, budget: int = BUDGET
) -> Iterator[tuple[list[int], Batch]]:
    """Sequences in batches of similar length.

    Args:
        items: any number.
        device: of the batches.
        budget: padded tokens a batch.

    Yields:
        Positions among ``items``, and their batch.
    """
    for positions in by_length([len(item.ids) for item in items], budget):
        yield positions, collate([items[i] for i in positions]).to(device)


@contextmanager
def changing(model: Any, facts: ModelFacts, changes: Mapping[int, Change]) -> Generator[None]:
    """Change the states after some layers, whoever runs the model meanwhile.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        changes: layer, counted from 0 -> what becomes of its states.

    Raises:
        TargetError: the model has no such layer.
    """
    stack = facts.decoder_layers(model)
    if missing := [layer for layer in changes if not 0 <= layer < len(stack)]:
        raise TargetError(f"the model has layers 0 to {len(stack) - 1}", why=f"asked for {missing}")

    def hook_for(change: Change) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> Any:
            return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

        return hook

    handles = [stack[layer].register_forward_hook(hook_for(change)) for layer, change in changes.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def layer_states(model: Any, facts: ModelFacts, batch: Batch) -> list[Tensor]:
    """States after every decoder layer, at every position, before the final norm.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        batch: padded sequences.

    Returns:
        One (B, S, D) a layer, as the layers above see it.
    """
    caught: dict[int, Tensor] = {}

    def catch(layer: int) -> Change:
        def change(states_BSD: Tensor) -> Tensor:
            caught[layer] = states_BSD
            return states_BSD

        return change

    count = len(facts.decoder_layers(model))
    with changing(model, facts, {layer: catch(layer) for layer in range(count)}):
        model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    return [caught[layer] for layer in range(count)]


def continued(model: Any, facts: ModelFacts, batch: Batch, layer: int, states: Tensor) -> Tensor:
    """Run what lies above a layer on given states; the layer and those below do not run.

    After the last layer that is the final norm alone. Gradients flow to the states.

    Args:
        model: a transformers causal LM.
        facts: of its architecture.
        batch: padded sequences.
        layer: counted from 0.
        states: (B, S, D) in place of those after the layer.

    Returns:
        (N, D) final states at the scored positions, ready for the head.
    """
    skipped = facts.decoder_layers(model)[: layer + 1]
    try:
        for below in skipped:
            below.forward = lambda *_, **__: states
        output = model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
    finally:
        for below in skipped:
            vars(below).pop("forward", None)
    return output.last_hidden_state[batch.rows, batch.cols]


def answer_logp(head: Callable[[Tensor], Tensor], final: Tensor, batch: Batch) -> Tensor:
    """Mean log-probability of an answer's tokens.

    Args:
        head: maps (N, D) to (N, V).
        final: (N, D) at the scored positions.
        batch: whose labels they predict.

    Returns:
        (B,) nats a token.
    """
    return sum_rows(flat_logp(head(final), batch.labels), batch.counts) / batch.counts


def pooled(target: CausalLM, items: Sequence[Encoded], how: Literal["mean", "last"], budget: int = BUDGET) -> Tensor:
    """One state a sequence and layer.

    Args:
        target: the model.
        items: B sequences.
        how: the mean over the positions that predict the answer's tokens, or the last of these, which has read the
            whole answer.
        budget: padded tokens a batch.

    Returns:
        (B, L, D) float32 on the CPU.
    """
    found: list[Tensor] = [torch.empty(0)] * len(items)
    with torch.no_grad(), asked(target) as device:
        for positions, batch in batches_of(items, device, budget):
            states = layer_states(target.model, target.facts, batch)
            flat_NLD = torch.stack([layer[batch.rows, batch.cols].float().cpu() for layer in states], dim=1)
            for position, own_nLD in zip(positions, flat_NLD.split(batch.counts.tolist()), strict=True):
                found[position] = own_nLD.mean(0) if how == "mean" else own_nLD[-1]
    return torch.stack(found)


def require_alike(target: CausalLM, original: CausalLM, examples: Examples) -> None:
    """Raise unless the states of two models can be set beside each other.

    Args:
        target: the attacked model.
        original: the model before unlearning.
        examples: what both are asked.

    Raises:
        EvidenceError: they differ in layers, in the size of a state, or in how they cut the examples into tokens.
    """
    shapes = [(len(m.facts.decoder_layers(m.model)), int(m.model.config.hidden_size)) for m in (target, original)]
    if shapes[0] != shapes[1]:
        (layers, size), (layers_2, size_2) = shapes
        raise EvidenceError(
            "the states of the two models cannot be compared",
            why=f"the attacked one has {layers} layers of size {size}, the original {layers_2} of size {size_2}",
        )
    if target.template.encode_all(examples) != original.template.encode_all(examples):
        raise EvidenceError("the states of the two models cannot be compared", why="their tokens differ")
