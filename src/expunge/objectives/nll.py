"""Negative log-likelihood of the answer tokens. Source: maximum likelihood; TOFU (2401.06121), 3.2."""

from __future__ import annotations

from torch import Tensor

from expunge.core.objective import objective


@objective(reduce="token", on="forget")
def nll(token_logp: Tensor) -> Tensor:
    """Make the answers likely.

    l_t = -log p(y_t | x, y_<t)

    The engine averages over all scored tokens of the optimiser batch, so that the value does not depend on how the
    batch was split. Peers average each micro-batch first (see ``compat.open_unlearning``).

    Args:
        token_logp: (B, T) nats. log-probability of each scored token.

    Returns:
        (B, T) nats.

    >>> import torch
    >>> nll(torch.tensor([[-0.5, -2.0]])).tolist()
    [[0.5, 2.0]]
    """
    return -token_logp
