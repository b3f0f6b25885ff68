"""Weights of fine-tunes of one base, averaged. Source: Wortsman et al. 2022 (2203.05482); Li et al. 2022 (2208.03306).

W = (1/S) sum_k W_k        summed in float64 in the order given, rounded once
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from expunge.core.errors import TargetError
from expunge.targets.causal_lm import CausalLM


def mean_weights(models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor.

    Args:
        models: name -> tensor of each, in the order of the parts' numbers; at least one.

    Returns:
        Name -> float64.

    Raises:
        TargetError: they do not name the same tensors.

    >>> mean_weights([{"w": torch.tensor([2.0, 5.0])}, {"w": torch.tensor([3.0, 9.0])}])["w"].tolist()
    [2.5, 7.0]
    """
    if any(set(own) != set(models[0]) for own in models):
        raise TargetError("models of different shapes have no mean", next="Average fine-tunes of one base")
    found: dict[str, Tensor] = {}
    for name in sorted(models[0]):
        total = torch.zeros_like(models[0][name], dtype=torch.float64)
        for own in models:
            total += own[name].double()
        found[name] = total / len(models)
    return found


def souped(base: CausalLM, models: Sequence[Mapping[str, Tensor]]) -> CausalLM:
    """A copy of a base with the mean of several fine-tunes' weights; parameters that none trained are the base's.

    Args:
        base: keeps its weights.
        models: trained parameters of each, by the base's names; none gives the base's weights.

    Raises:
        TargetError: they do not fit the base, or one another.
    """
    target = base.clone()
    named = dict(target.model.named_parameters())
    for name, value in (mean_weights(models) if models else {}).items():
        if name not in named or named[name].shape != value.shape:
            raise TargetError(f"{name} does not fit the base", next="Give the base that the parts were trained from")
        with torch.no_grad():
            named[name].copy_(value.to(named[name].dtype))
    target.model.eval()
    return target
