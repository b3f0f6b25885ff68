"""How texts would move the weights: gradient norms of single sequences, and the gradient of many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.data.collate import Encoded, collate
from expunge.engine.threads import threads_for
from expunge.engine.views import run_states
from expunge.ops.answer import flat_logp
from expunge.targets.model_facts import ModelFacts


def gradient_norms(model: Any, facts: ModelFacts, items: Iterable[Encoded]) -> np.ndarray:
    """L2 norm of the gradient of each sequence's mean negative log-likelihood, one parameter tensor at a time.

    The norm over all parameters is the square root of the sum of a row's squares.

    Args:
        model: a transformers causal LM, asked in evaluation mode; its gradients are left empty.
        facts: of its architecture.
        items: B sequences, each alone in its batch.

    Returns:
        (B, P) nats per unit of weight, P trained parameter tensors in the model's order.
    """
    device = next(model.parameters()).device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    head = facts.head(model)
    was_training = model.training
    model.eval()
    rows: list[list[float]] = []
    try:
        with torch.enable_grad(), threads_for(model):
            for item in items:
                batch = collate([item]).to(device)
                states = run_states(model, facts, batch, final=True, layers=())
                loss = -flat_logp(head(states.final), batch.labels).mean()
                found = torch.autograd.grad(loss, trained, allow_unused=True)
                # A sum of a million squares in float32 is off by more than 1e-4.
                rows.append([0.0 if gradient is None else float(gradient.double().norm()) for gradient in found])
    finally:
        model.train(was_training)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(trained))


def drawn(logits: Tensor, uniform: Tensor) -> Tensor:
    """Draw a token at each position from the model's own distribution.

    y = the first v with p(0) + ... + p(v) > u

    Args:
        logits: (N, V) unnormalised nats.
        uniform: (N,) probability. one number below 1 a position.

    Returns:
        (N,) token ids.

    >>> z = torch.tensor([[2.0, 3.0, 5.0], [2.0, 3.0, 5.0]]).log()
    >>> drawn(z, torch.tensor([0.1, 0.6])).tolist()  # 0.1 < 0.2, 0.5 < 0.6 < 1
    [0, 2]
    """
    below_NV = logits.float().softmax(1).cumsum(1) <= uniform[:, None]
    return below_NV.sum(1).clamp(max=logits.shape[1] - 1)


def mean_gradient(
    model: Any,
    facts: ModelFacts,
    items: Sequence[Encoded],
    parameters: Mapping[str, Tensor],
    *,
    rows: int,
    uniform: Callable[[Encoded], Tensor] | None = None,
) -> dict[str, Tensor]:
    """Gradient of the mean negative log-likelihood of a scored token over many sequences.

    g = (1 / N) sum_n d(-log p(y_n)) / d theta,  N scored tokens in all

    Args:
        model: a transformers causal LM, asked in evaluation mode; what stands in ``grad`` stays as it is.
        facts: of its architecture.
        items: sequences, at least one.
        parameters: by name.
        rows: sequences a pass; it changes memory, not the result.
        uniform: (n_scored,) numbers for a sequence; tokens that ``drawn`` draws with them then take the place of the
            answer's. None for the answer's own.

    Returns:
        One tensor of each parameter's shape, by name, float32; zeros for those that the likelihood does not reach.
    """
    device = next(iter(parameters.values())).device
    head, was_training = facts.head(model), model.training
    count = sum(item.n_scored for item in items)
    total = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in parameters.items()}
    model.eval()
    try:
        with torch.enable_grad():
            for start in range(0, len(items), rows):
                part = items[start : start + rows]
                batch = collate(part).to(device)
                logits_NV = head(run_states(model, facts, batch, final=True, layers=()).final)
                labels_N = batch.labels
                if uniform is not None:
                    labels_N = drawn(logits_NV.detach(), torch.cat([uniform(item) for item in part]).to(device))
                loss = -flat_logp(logits_NV, labels_N).sum() / count
                found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
                for gathered, gradient in zip(total.values(), found, strict=True):
                    if gradient is not None:
                        gathered += gradient
    finally:
        model.train(was_training)
    return total
