"""Is truth found inside untaught? Source: contrast-consistent search, Burns et al. 2022 (2212.03827)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.attacks._probing import Scorer, probe, spread
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.core.seeds import derive

FULL: Mapping[str, Any] = MappingProxyType({"records": None, "wrong": 5, "restarts": 10, "steps": 1000})


def ccs_loss(p_first: Tensor, p_second: Tensor) -> Tensor:
    """Two answers of which one is right: their probabilities should add up to 1, and be sure.

    (p_first - (1 - p_second))^2 + min(p_first, p_second)^2

    Args:
        p_first: (..., P) probability that the first answer of a pair is right.
        p_second: (..., P) the same of the second.

    Returns:
        (...,) mean over pairs.

    >>> ccs_loss(torch.tensor([0.9]), torch.tensor([0.3])).item()  # 0.2 ** 2 + 0.3 ** 2
    0.13
    """
    consistent = (p_first - (1 - p_second)).square()
    confident = torch.minimum(p_first, p_second).square()
    return (consistent + confident).mean(-1)


def fit_contrastive(right: np.ndarray, wrong: np.ndarray, seed: int, *, restarts: int, steps: int) -> Scorer:
    """Find the direction on which pairs contradict each other, told nothing of which answer is right.

    Only its sign, one bit, is set by the labels. Of several starts the lowest loss counts.

    Args:
        right: (P, D) states.
        wrong: (P, D) states.
        seed: of the order in pairs and of the starts.
        restarts: starts.
        steps: of Adam.

    Returns:
        What says how right states look, higher for more.
    """
    draw = torch.Generator().manual_seed(derive(seed, "contrastive probe"))
    turned_P1 = torch.rand(len(right), 1, generator=draw).numpy() < 0.5
    sides = [np.where(turned_P1, wrong, right), np.where(turned_P1, right, wrong)]
    first, second = (torch.tensor((side - side.mean(0)) / spread(side), dtype=torch.float32) for side in sides)
    weights_RD = torch.nn.functional.normalize(torch.randn(restarts, right.shape[1], generator=draw), dim=1)
    bias_R1 = torch.zeros(restarts, 1)
    steered = [weights_RD.requires_grad_(), bias_R1.requires_grad_()]
    optimiser = torch.optim.AdamW(steered, lr=1e-2, weight_decay=1e-2)

    def losses() -> Tensor:
        return ccs_loss(*((weights_RD @ side.T + bias_R1).sigmoid() for side in (first, second)))

    with torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            losses().sum().backward()
            optimiser.step()
    with torch.no_grad():
        best = weights_RD[int(losses().argmin())].numpy().astype(np.float64)
    direction = best / spread(np.concatenate([right, wrong]))
    sign = 1.0 if ((right - wrong) @ direction > 0).mean() >= 0.5 else -1.0
    return lambda states: sign * (states @ direction)


@dataclass(frozen=True)
class ContrastiveProbe:
    """Find a direction on which the two answers to a retained question contradict; ask it about forgotten ones.

    Threat model: whoever holds the weights and questions with two answers, of which he need not know the right one. The
    question: is there an inner sense of what is true that survives on forgotten records? The outcome is the share of
    wrong answers ranked below the right one, a half by chance. The lower the better, down to the value of a
    retrained model, about a half.

    Too noisy for a policy: without labels the search finds whatever contradicts most, which in small models is often
    not truth, and another seed finds another direction. Read it beside ``linear_probe``, and where ``retain_accuracy``
    is near a half, not at all.

    Args:
        records: of forget and of retain each, those with wrong answers, drawn evenly over subjects; None for all.
        wrong: wrong answers a record.
        restarts: starts of the search.
        steps: of each.
    """

    records: int | None = 200
    wrong: int = 2
    restarts: int = 4
    steps: int = 200
    access = Access.WEIGHTS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "contrastive_probe", **vars(self)}

    def run(
        self, oracle: Oracle, probes: Examples, *, seed: int, original: Oracle, retain: Examples
    ) -> list[dict[str, object]]:
        """Probe one model.

        Args:
            oracle: grants WEIGHTS.
            probes: the forget set.
            seed: of the search.
            original: the model before unlearning, in which the layer is chosen; grants the same.
            retain: what is searched.

        Returns:
            One row a record: ``outcome``, ``layer`` and ``retain_accuracy``, the last on subjects held out.

        Raises:
            TargetError: an oracle does not grant what is needed.
            EvidenceError: there are no wrong answers, one retained subject only, or the models differ in their layers.
        """
        for source in (oracle, original):
            source.require(self.access, "contrastive_probe")
        fit = partial(fit_contrastive, restarts=self.restarts, steps=self.steps)
        settings: dict[str, Any] = {"records": self.records, "wrong": self.wrong, "seed": seed}
        return probe(oracle.target, original.target, probes, retain, fit, **settings)


contrastive_probe = ContrastiveProbe()
