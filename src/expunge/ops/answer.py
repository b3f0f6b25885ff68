"""Log-probabilities of answer tokens, flat over a ragged batch. Source: teacher forcing, as in every causal LM.

N is the number of scored tokens in a batch, B the number of examples, T the longest answer, V the vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor


def flat_logp(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each label, in float32.

    log p(y) = z_y - logsumexp(z)

    Args:
        logits: (N, V) unnormalised nats.
        labels: (N,) token ids.

    Returns:
        (N,) nats.

    >>> z = torch.log(torch.tensor([[1.0, 3.0], [2.0, 2.0]]))
    >>> flat_logp(z, torch.tensor([1, 0])).exp().tolist()
    [0.75, 0.5]
    """
    logits_NV = logits.float()
    return logits_NV.gather(1, labels[:, None])[:, 0] - logits_NV.logsumexp(1)


def flat_moments(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of log p over the vocabulary, under p itself.

    mu = sum_v p log p,  sigma = sqrt(sum_v p (log p)^2 - mu^2)

    Args:
        logits: (N, V) unnormalised nats.

    Returns:
        mu (N,) nats, sigma (N,) nats.

    >>> import math
    >>> mu, sigma = flat_moments(torch.log(torch.tensor([[0.5, 0.25, 0.25]])))
    >>> round(mu.item() / math.log(2), 4), round(sigma.item() / math.log(2), 4)
    (-1.5, 0.5)
    """
    _, mu_N, sigma_N = flat_logp_moments(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
    return mu_N, sigma_N


def flat_logp_moments(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What ``flat_logp`` and ``flat_moments`` give, from exponentials that are taken once.

    log p(y) = z_y - log s,  mu = (1 / s) sum_v e_v z_v - log s,  sigma^2 = (1 / s) sum_v e_v (z_v - mu - log s)^2,
    with z less its largest, e_v = exp z_v, s = sum_v e_v

    Args:
        logits: (N, V) unnormalised nats.
        labels: (N,) token ids.

    Returns:
        log p (N,) nats, mu (N,) nats, sigma (N,) nats.

    >>> import math
    >>> found = flat_logp_moments(torch.log(torch.tensor([[4.0, 2.0, 2.0]])), torch.tensor([2]))
    >>> [round(value.item() / math.log(2), 4) for value in found]
    [-2.0, -1.5, 0.5]
    """
    z_NV = logits.float()
    z_NV = z_NV - z_NV.amax(1, keepdim=True)
    e_NV = z_NV.exp()
    s_N = e_NV.sum(1)
    logp_N = z_NV.gather(1, labels[:, None])[:, 0] - s_N.log()
    mean_N = torch.einsum("nv,nv->n", e_NV, z_NV) / s_N
    # Squared after the mean is taken off: the difference of two large squares would lose every digit. A log p of minus
    # infinity has weight 0 in both sums.
    spread_NV = z_NV.sub_(mean_N[:, None]).square_()
    var_N = torch.einsum("nv,nv->n", e_NV, spread_NV) / s_N
    return logp_N, mean_N - s_N.log(), var_N.sqrt()


def pad_rows(flat: Tensor, counts: Tensor) -> Tensor:
    """Lay a flat ragged tensor out as padded rows, zeros on the right.

    Args:
        flat: (N, ...) rows one after another.
        counts: (B,) tokens in each row; they sum to N.

    Returns:
        (B, T, ...).

    >>> pad_rows(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2, 1])).tolist()
    [[1.0, 2.0], [3.0, 0.0]]
    """
    mask_BT = row_mask(counts)
    padded = flat.new_zeros((*mask_BT.shape, *flat.shape[1:]))
    padded[mask_BT.bool()] = flat
    return padded


def row_mask(counts: Tensor) -> Tensor:
    """1 on scored tokens, 0 on padding.

    Args:
        counts: (B,) tokens in each row.

    Returns:
        (B, T) float32.

    >>> row_mask(torch.tensor([2, 1])).tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """
    longest = int(counts.max()) if counts.numel() else 0
    return (torch.arange(longest, device=counts.device)[None, :] < counts[:, None]).float()


def sum_rows(flat: Tensor, counts: Tensor) -> Tensor:
    """Sum a flat ragged tensor row by row.

    Args:
        flat: (N,) values.
        counts: (B,) tokens in each row.

    Returns:
        (B,).

    >>> sum_rows(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2, 1])).tolist()
    [3.0, 4.0]
    """
    rows = torch.repeat_interleave(torch.arange(len(counts), device=flat.device), counts)
    return flat.new_zeros(len(counts)).index_add(0, rows, flat)
