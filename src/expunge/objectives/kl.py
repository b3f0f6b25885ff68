"""Forward KL to the model as it was. Source: TOFU (2401.06121), 3.2, KL minimisation."""

from __future__ import annotations

from torch import Tensor

from expunge.core.objective import objective
from expunge.ops.divergence import kl_divergence


@objective(reduce="token", on="retain")
def kl(logits: Tensor, logits_ref: Tensor) -> Tensor:
    """Keep the next-token distributions where they were.

    l_t = sum_v p_ref(v) (log p_ref(v) - log p(v))

    Only positions that predict scored tokens count. Peers average over all positions, padding included, so that their
    value depends on the batch (see ``compat.open_unlearning``).

    Args:
        logits: (B, T, V) unnormalised nats.
        logits_ref: (B, T, V) unnormalised nats. the same of the model before unlearning.

    Returns:
        (B, T) nats, >= 0.

    >>> import torch
    >>> even, odd = [0.5, 0.5], [0.25, 0.75]
    >>> z, z_ref = torch.tensor([[odd, even]]).log(), torch.tensor([[even, odd]]).log()
    >>> kl(z, z_ref).tolist()  # 0.5 ln 2 + 0.5 ln(2/3), 0.25 ln(1/2) + 0.75 ln(3/2)
    [[0.1438..., 0.1308...]]
    """
    return kl_divergence(logits_ref, logits)
