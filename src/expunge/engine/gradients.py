"""How far one text would move the weights: gradient norms of single sequences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

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
    with torch.enable_grad(), threads_for(model):
        for item in items:
            batch = collate([item]).to(device)
            states = run_states(model, facts, batch, final=True, layers=())
            loss = -flat_logp(head(states.final), batch.labels).mean()
            found = torch.autograd.grad(loss, trained, allow_unused=True)
            rows.append([0.0 if gradient is None else float(gradient.float().norm()) for gradient in found])
    model.train(was_training)
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(trained))
