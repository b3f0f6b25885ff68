"""Gradient ascent on the forgotten answers. Source: Jang et al. 2022 (2210.01504), equation 1."""

from __future__ import annotations

from torch import Tensor

from expunge.core.objective import objective


@objective(reduce="token", on="forget")
def grad_ascent(token_logp: Tensor) -> Tensor:
    """Make the answers unlikely, without bound.

    l_t = log p(y_t | x, y_<t)

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.

    Returns:
        (B, T) nats, at most 0. Unbounded below: stop early or the model collapses.

    >>> import torch
    >>> grad_ascent(torch.tensor([[-0.5, -2.0]])).tolist()
    [[-0.5, -2.0]]
    """
    return token_logp
