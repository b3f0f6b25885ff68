"""locuslab/open-unlearning (December 2025): its losses, quirks included.

Each function says what it does that ours does not. Inputs are what the peer has: logits (B, S, V) of the whole
sequence and labels (B, S), unshifted, ``IGNORED`` where nothing is scored.

* The attention mask comes from comparing ids with the pad id: where pad and end are one token, real end tokens are
  hidden. Ours comes from lengths (``data.collate``).
* A loss is a mean over the tokens of a micro-batch, and accumulation averages these means. Ours divides by the tokens
  of the whole optimiser batch, however it was split.
* KL averages over all positions, prompt and padding included. Ours takes those that predict scored tokens.
* SimNPO has its margin inside the product with beta, as its authors' code has. Ours has it outside, as the paper has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from expunge.objectives.dpo import dpo as our_dpo
from expunge.objectives.grad_ascent import grad_ascent as our_grad_ascent
from expunge.objectives.kl import kl as our_kl
from expunge.objectives.nll import nll as our_nll
from expunge.objectives.npo import npo as our_npo
from expunge.objectives.simnpo import simnpo as our_simnpo
from expunge.ops.answer import flat_logp, pad_rows, sum_rows

IGNORED = -100


def attention_mask(input_ids: Tensor, pad_id: int) -> Tensor:
    """1 where an id is not the pad id. Quirk: also 0 on real end tokens when the end token is the pad token.

    >>> attention_mask(torch.tensor([[7, 3, 8, 3, 3]]), pad_id=3).tolist()  # the first two 3 are ends, the last is pad
    [[1, 0, 1, 0, 0]]
    """
    return (input_ids != pad_id).long()


def answer_logp(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each scored token: the ``token_logp`` view, and how many there are in each sequence.

    Args:
        logits: (B, S, V) unnormalised nats.
        labels: (B, S) token ids, ``IGNORED`` where nothing is scored. The first position is never scored.

    Returns:
        (B, T) nats and (B,) tokens.
    """
    next_BS = labels[:, 1:]
    scored_BS = next_BS != IGNORED
    flat = flat_logp(logits[:, :-1][scored_BS], next_BS[scored_BS])
    counts_B = scored_BS.sum(1)
    return pad_rows(flat, counts_B), counts_B


def nll_sum(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Summed negative log-likelihood and number of scored tokens of each sequence, (B,) nats and (B,) tokens."""
    next_BS = labels[:, 1:]
    scored_BS = next_BS != IGNORED
    flat = flat_logp(logits[:, :-1][scored_BS], next_BS[scored_BS])
    counts_B = scored_BS.sum(1)
    return -sum_rows(flat, counts_B), counts_B


def nll(logits: Tensor, labels: Tensor) -> Tensor:
    """What ``model(..., labels).loss`` is: the mean over all scored tokens of the micro-batch, a scalar in nats."""
    token_logp_BT, counts_B = answer_logp(logits, labels)
    return our_nll(token_logp_BT).sum() / counts_B.sum()


def accumulated(losses: Sequence[Tensor]) -> Tensor:
    """Gradient accumulation. Quirk: the mean of the means, so that a token of a short micro-batch weighs more.

    >>> accumulated([torch.tensor(2.0), torch.tensor(5.0)]).item()
    3.5
    """
    return torch.stack(list(losses)).mean()


def grad_ascent(logits: Tensor, labels: Tensor) -> Tensor:
    """GradAscent: minus the mean negative log-likelihood of the micro-batch, a scalar in nats."""
    token_logp_BT, counts_B = answer_logp(logits, labels)
    return our_grad_ascent(token_logp_BT).sum() / counts_B.sum()


def kl(logits: Tensor, logits_ref: Tensor) -> Tensor:
    """The retain term ``KL``, a scalar in nats.

    Quirk: the mean over all B S positions, without mask and without shift, so that padding dilutes it and the value
    depends on which sequences share a batch.

    >>> z, z_ref = torch.tensor([0.25, 0.75]).log(), torch.tensor([0.5, 0.5]).log()
    >>> round(kl(torch.stack([z, z_ref])[None], torch.stack([z_ref, z_ref])[None]).item(), 4)  # 0.1438 / 2 positions
    0.0719
    """
    return our_kl(logits, logits_ref).mean()


def npo(nll_sum: Tensor, nll_sum_ref: Tensor, *, beta: float = 0.1) -> Tensor:
    """NPO: the mean over the sequences of the micro-batch of -(2 / beta) log sigmoid(beta (nll - nll_ref)).

    >>> npo(torch.tensor([4.0]), torch.tensor([2.0]), beta=0.5).item()  # 4 ln(1 + e^-1)
    1.253...
    """
    return our_npo(-nll_sum, -nll_sum_ref, beta=beta).mean()


def simnpo(nll_sum: Tensor, n_tokens: Tensor, *, beta: float = 4.5, delta: float = 0.0) -> Tensor:
    """SimNPO: the mean over the sequences of the micro-batch of -(2 / beta) log sigmoid(beta (nll / n - delta)).

    Quirk: the margin delta, nats per token, is multiplied by beta. The paper's gamma is not: gamma = beta delta.

    >>> simnpo(torch.tensor([3.0]), torch.tensor([6]), beta=4.0, delta=0.2).item()  # 0.5 ln(1 + e^-(4 (0.5 - 0.2)))
    0.131...
    """
    return our_simnpo(-nll_sum, n_tokens, beta=beta, gamma=beta * delta).mean()


def dpo(
    nll_sum: Tensor, nll_sum_ref: Tensor, nll_sum_alt: Tensor, nll_sum_alt_ref: Tensor, *, beta: float = 0.1
) -> Tensor:
    """DPO (IdkDPO, AltPO): the mean over the sequences of the micro-batch, with the factor 2 / beta that ours has too.

    >>> dpo(*torch.tensor([[4.0], [2.0], [3.0], [6.0]]), beta=0.5).item()  # 4 ln(1 + e^-(0.5 (3 + 2)))
    0.3155...
    """
    return our_dpo(-nll_sum, -nll_sum_ref, -nll_sum_alt, -nll_sum_alt_ref, beta=beta).mean()


def total(forget: Tensor, retain: Tensor, *, gamma: float = 1.0, alpha: float = 1.0) -> Tensor:
    """The loss of GradDiff and its descendants: gamma forget + alpha retain.

    >>> total(torch.tensor(-3.0), torch.tensor(2.0), gamma=0.5, alpha=2.0).item()
    2.5
    """
    return gamma * forget + alpha * retain
