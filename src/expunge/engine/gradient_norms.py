"""Gradient norms of many sequences at once, without their gradients. Source: Goodfellow 2015 (1510.01799); ghost norms.

The gradient of a linear layer for one sequence is a product G'X of what flows back into its outputs and of its inputs,
both with one row a token. Its squared norm is the sum of (G G') * (X X'), which for short sequences is far cheaper than
the product. One pass over a batch gives G and X of every sequence, since a sequence's loss reads its own row alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expunge.data.collate import Encoded, by_length, collate
from expunge.engine.gradients import gradient_norms
from expunge.engine.precision import placed
from expunge.engine.threads import threads_for
from expunge.ops.answer import flat_logp, pad_rows
from expunge.targets.model_facts import ModelFacts

BUDGET = 512
"""Padded tokens a batch: what autograd keeps of more would no longer fit the caches of a CPU, and be written afresh.
A GPU takes ``ON_CUDA`` times as many, and a model whose states are narrower than ``WIDE`` as many more."""
ON_CUDA = 16
WIDE = 256


class _Unusual(Exception):
    """A parameter is used in a way that is only known one sequence at a time."""


def batched_gradient_norms(model: Any, facts: ModelFacts, items: Sequence[Encoded]) -> np.ndarray:
    """What ``engine.gradients.gradient_norms`` gives, many sequences a pass.

    Args:
        model: a transformers causal LM, asked in evaluation mode; its gradients are left empty. Where it uses a
            parameter outside of a module's plain call, scales its embeddings, or shares a parameter between modules
            that are not the first and the last, each sequence goes alone.
        facts: of its architecture.
        items: B sequences.

    Returns:
        (B, P) nats per unit of weight, P trained parameter tensors in the model's order.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = np.zeros((len(items), len(trained)))
    was_training = model.training
    model.eval()
    try:
        with threads_for(model), placed(model) as device:
            narrow = max(1, WIDE // model.get_input_embeddings().weight.shape[1])
            budget = BUDGET * narrow * (1 if device.type == "cpu" else ON_CUDA)
            for rows in by_length([len(item.ids) for item in items], budget):
                found[rows] = _batch(model, facts, [items[row] for row in rows], trained)
    except _Unusual:
        return gradient_norms(model, facts, items)
    finally:
        model.train(was_training)
    return found


def _batch(model: Any, facts: ModelFacts, items: Sequence[Encoded], trained: Sequence[nn.Parameter]) -> np.ndarray:
    batch = collate(items).to(next(model.parameters()).device)
    rows, width = batch.input_ids.shape
    places = torch.arange(width, device=batch.input_ids.device).expand(rows, -1).contiguous()
    with torch.enable_grad(), _Watch(model, trained, batch.input_ids) as watch:
        states = model.base_model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, position_ids=places, use_cache=False
        ).last_hidden_state
        on_BT = pad_rows(torch.ones_like(batch.rows), batch.counts).bool()
        # As many states of each sequence, so that the head too shows whose tokens are whose.
        padded_BTD = pad_rows(states[batch.rows, batch.cols], batch.counts)
        logits_NV = facts.head(model)(padded_BTD.flatten(0, 1))[on_BT.flatten()]
        losses = -flat_logp(logits_NV, batch.labels) / batch.counts.repeat_interleave(batch.counts)
        watch.forward_done()
        losses.sum().backward()
    if watch.squares.keys() != {id(p) for p in trained}:
        raise _Unusual
    squares = torch.stack([watch.squares[id(p)].double() for p in trained], 1)
    return squares.clamp(min=0).sqrt().cpu().numpy()


class _Watch:
    """Squared norms of each sequence's gradients, gathered while they flow back; no parameter gets a gradient.

    Args:
        model: whose modules are watched.
        trained: parameters whose gradients are asked for.
        ids: (B, S) tokens that go in.
    """

    def __init__(self, model: Any, trained: Sequence[nn.Parameter], ids: Tensor) -> None:
        self.squares: dict[int, Tensor] = {}
        self._model, self._trained, self._ids = model, trained, ids
        self._wanted = {id(p) for p in trained}
        self._inputs: dict[int, tuple[Tensor, Tensor]] = {}
        self._tied: dict[int, tuple[Tensor, Tensor]] = {}
        self._hooks, self._within = ExitStack(), ExitStack()

    def __enter__(self) -> _Watch:
        for parameter in self._trained:
            parameter.requires_grad_(False)
            self._within.callback(parameter.requires_grad_, True)
        first = self._model.get_input_embeddings()
        for module in self._model.modules():
            if module is first or any(id(p) in self._wanted for p in module.parameters(recurse=False)):
                self._hooks.callback(module.register_forward_hook(self._seen, with_kwargs=True).remove)
        return self

    def forward_done(self) -> None:
        """See no further calls: on the way back some modules are run again."""
        self._hooks.close()

    def __exit__(self, *_: object) -> None:
        self._hooks.close()
        self._within.close()

    def _seen(self, module: nn.Module, inputs: Any, named: Any, output: Any) -> Any:
        if len(inputs) != 1 or named or not isinstance(output, Tensor):
            raise _Unusual
        given: Tensor = inputs[0].detach()
        if module is self._model.get_output_embeddings() and type(module) is nn.Linear:
            output.register_hook(lambda back: self._head(module, given, back))
            return output
        if len(output) != len(self._ids) or len(given) != len(self._ids):
            raise _Unusual
        if type(module) is nn.Embedding:
            output = output.detach().requires_grad_()
            output.register_hook(lambda back: self._embedding(module, given, back))
            return output
        if not output.requires_grad:
            raise _Unusual
        if type(module) is nn.Linear and given.ndim == 3:
            output.register_hook(lambda back: self._linear(module, given, back))
        else:
            made = output.detach()
            output.register_hook(lambda back: self._other(module, given, made, back))
        return output

    def _add(self, parameter: Tensor | None, squares: Callable[[], Tensor]) -> None:
        """Note a parameter's squared norms; a second use of one would have to be added before squaring."""
        if parameter is None or id(parameter) not in self._wanted:
            return
        if id(parameter) in self.squares:
            raise _Unusual
        self.squares[id(parameter)] = squares()

    def _linear(self, module: nn.Linear, given: Tensor, back: Tensor) -> None:
        given, back = given.float(), back.float()
        self._add(module.bias, lambda: back.sum(1).square().sum(1))

        def squares() -> Tensor:
            if given.shape[1] * (given.shape[2] + back.shape[2]) > given.shape[2] * back.shape[2]:
                return torch.bmm(back.mT, given).square().sum((1, 2))
            return (torch.bmm(back, back.mT) * self._gram(given)).sum((1, 2))

        self._add(module.weight, squares)

    def _head(self, module: nn.Linear, given: Tensor, back: Tensor) -> None:
        """The head is given the states of all sequences in one row, and may share its weight with the embedding."""
        rows = len(self._ids)
        given, back = given.reshape(rows, -1, given.shape[-1]), back.reshape(rows, -1, back.shape[-1])
        at = self._ids[:, None, :].expand(-1, back.shape[1], -1)
        # What the head and the embedding give may cancel; their products are few, so that precision costs little.
        given, back = given.double(), back.double()
        self._tied[id(module.weight)] = (given, back.gather(2, at))
        self._add(module.bias, lambda: back.sum(1).square().sum(1))
        self._add(module.weight, lambda: (torch.bmm(back, back.mT) * torch.bmm(given, given.mT)).sum((1, 2)))

    def _gram(self, given: Tensor) -> Tensor:
        """Products of the inputs of a layer; layers side by side have the same."""
        known = self._inputs.get(given.data_ptr())
        if known is None or known[0].shape != given.shape:
            known = (given, torch.bmm(given, given.mT))
            self._inputs = {given.data_ptr(): known}
        return known[1]

    def _embedding(self, module: nn.Embedding, ids: Tensor, back: Tensor) -> None:
        back = back.double()
        if module.padding_idx is not None:
            # Looked up, this token trains nothing; where it is also the end token it stands in prompts.
            back = back.masked_fill((ids == module.padding_idx)[..., None], 0.0)
        same = (ids[:, :, None] == ids[:, None, :]).double()
        squares = (torch.bmm(back, back.mT) * same).sum((1, 2))
        tied = self._tied.pop(id(module.weight), None)
        if tied is None:
            self._add(module.weight, lambda: squares)
        else:
            head_in, head_back = tied
            both = (head_back * torch.bmm(head_in, back.mT)).sum((1, 2))
            self.squares[id(module.weight)] += squares + 2 * both

    def _other(self, module: nn.Module, given: Tensor, made: Tensor, back: Tensor) -> None:
        """Gradients of any other module that treats the sequences of a batch alike."""
        parameters = {n: p for n, p in module.named_parameters(recurse=False) if id(p) in self._wanted}
        found = _broadcast(module, parameters, given, made, back) or _one_by_one(module, parameters, given, back)
        for name, gradient in found.items():
            self._add(parameters[name], lambda found=gradient: found.float().flatten(1).square().sum(1))


def _broadcast(
    module: nn.Module, parameters: Mapping[str, nn.Parameter], given: Tensor, made: Tensor, back: Tensor
) -> dict[str, Tensor]:
    """Gradients of a module that scales and shifts each value, as norms do, from a copy of its weights a sequence.

    Empty where the module takes no such copies, or makes something else of them.
    """
    if any(p.ndim != 1 for p in parameters.values()) or given.ndim != 3:
        return {}
    if type(module) is nn.LayerNorm:
        normal = nn.functional.layer_norm(given, module.normalized_shape, eps=module.eps)
        found = {"weight": (back * normal).sum(1), "bias": back.sum(1)}
        return {name: found[name] for name in parameters}
    # What a sequence comes to must not change with the copies of another, as it does where they are averaged.
    others = {n: torch.stack([p.detach(), 2 * p.detach() + 1])[:, None] for n, p in parameters.items()}
    with torch.enable_grad():
        copies = {n: p.detach().repeat(len(given), 1, 1).requires_grad_() for n, p in parameters.items()}
        try:
            again = torch.func.functional_call(module, copies, (given,))
            beside = torch.func.functional_call(module, others, (given[:1].expand(2, -1, -1),))
        except RuntimeError:
            return {}
        if again.shape != made.shape or not _alike(again, made) or not _alike(beside[0], made[0]):
            return {}
        return dict(zip(copies, torch.autograd.grad(again, list(copies.values()), back), strict=True))


def _alike(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def _one_by_one(
    module: nn.Module, parameters: Mapping[str, nn.Parameter], given: Tensor, back: Tensor
) -> dict[str, Tensor]:
    """Gradients of any module, one sequence after another."""

    def gradient(row: Tensor, flowing: Tensor) -> dict[str, Tensor]:
        def call(held: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(module, held, (row,))

        return torch.func.vjp(call, dict(parameters))[1](flowing)[0]

    return torch.vmap(gradient)(given, back)
