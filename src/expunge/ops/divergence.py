"""Divergences between next-token distributions. Source: Kullback & Leibler 1951, equation 2.1."""

from __future__ import annotations

from torch import Tensor


def kl_divergence(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """How many nats it costs to code p with q, per position.

    KL(p || q) = sum_v p(v) (log p(v) - log q(v))

    Args:
        logits_p: (..., V) unnormalised nats.
        logits_q: (..., V) unnormalised nats.

    Returns:
        (...) nats, >= 0.

    >>> import torch
    >>> p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    >>> round(kl_divergence(p, q).item(), 4)  # 0.5 ln 2 + 0.5 ln(2/3)
    0.1438
    """
    logp = logits_p.float().log_softmax(-1)
    logq = logits_q.float().log_softmax(-1)
    return (logp.exp() * (logp - logq)).sum(-1)
