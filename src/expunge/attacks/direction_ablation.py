"""Is forgetting one direction? Source: Arditi et al. 2024 (2406.11717); Łucki et al. 2024 (2409.18025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from expunge.attacks._drawing import evenly, halves
from expunge.attacks._rows import known, rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.example import Examples
from expunge.engine.activations import Change, changing, pooled, require_alike

FULL: Mapping[str, Any] = MappingProxyType({"records": None})
ROUNDING = 1e-5
"""A mean difference that is a smaller share of the states' own size is none."""


def forgetting_directions(shift: Tensor, shift_retain: Tensor, size: Tensor) -> Tensor:
    """The direction, at each layer, that unlearning moved forgotten records and not retained ones.

    u = d - (d . r) r / ||r||^2,  then u / ||u||

    Args:
        shift: (L, D) d, mean of (attacked - original) states over forgotten records.
        shift_retain: (L, D) r, the same over retained records.
        size: (L,) norm of a state, below ``ROUNDING`` of which a shift counts as none.

    Returns:
        (L, D) unit vectors; zeros where there is no such direction.

    >>> forgetting_directions(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]]), torch.tensor([5.0])).tolist()
    [[0.0, 1.0]]
    """
    floor_L1 = (ROUNDING * size)[:, None]
    shared_L1 = shift_retain.norm(dim=1, keepdim=True)
    unit_LD = torch.where(shared_L1 > floor_L1, shift_retain / shared_L1, 0.0)
    own_LD = shift - (shift * unit_LD).sum(1, keepdim=True) * unit_LD
    length_L1 = own_LD.norm(dim=1, keepdim=True)
    return torch.where(length_L1 > floor_L1, own_LD / length_L1, 0.0)


def without(direction: Tensor) -> Change:
    """Take a direction out of states: h - (h . u) u.

    Args:
        direction: (D,) unit vector u, or zeros.

    Returns:
        What is done to the states of a layer.

    >>> without(torch.tensor([0.6, 0.8]))(torch.tensor([[[5.0, 10.0]]])).tolist()
    [[[-1.6, 1.2]]]
    """

    def change(states_BSD: Tensor) -> Tensor:
        u_D = direction.to(states_BSD)
        return states_BSD - (states_BSD @ u_D)[..., None] * u_D

    return change


@dataclass(frozen=True)
class DirectionAblation:
    """Project out of every layer the direction in which forgotten records were moved, and ask the answers.

    Threat model: whoever holds the weights, those from before, and some of the forgotten records. The question: is
    forgetting a switch, as refusals are, that one direction in each layer turns off? The direction is found on half of
    the subjects and what it shares with retained records is taken from it; the other half is asked. The lower the
    better, down to the value of a model that was retrained from the original's first weights, which moved in no such
    direction and answers about as before.

    Not for a policy. States are set beside each other, which means something only where one model came from the other:
    a reference that was retrained from other first weights lies in another basis, and what is projected out of it is no
    move. Silence where forgetting was no single direction says nothing of other attacks. The original, attacked, has no
    direction to lose and answers as it does.

    Args:
        records: records of each half of forget, and of retain, drawn evenly over subjects; None for all.
    """

    records: int | None = 200
    access = Access.WEIGHTS | Access.LOGPROBS
    full = FULL

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "direction_ablation", **vars(self)}

    def run(
        self, oracle: Oracle, probes: Examples, *, seed: int, original: Oracle, retain: Examples
    ) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants WEIGHTS and LOGPROBS.
            probes: the forget set.
            seed: unused; nothing is drawn from it.
            original: the model before unlearning; grants the same.
            retain: whose moves are no part of forgetting.

        Returns:
            One row an asked record: the probability of its answer as ``outcome``, and ``untouched``, that of the model
            as it is.

        Raises:
            TargetError: an oracle does not grant what is needed.
            EvidenceError: the models' states cannot be compared, or there is one subject only.
        """
        for source in (oracle, original):
            source.require(self.access, "direction_ablation")
        shown, held_out = (evenly(half, self.records) for half in halves(probes))
        kept = evenly(retain, self.records)
        require_alike(oracle.target, original.target, shown + kept)
        shifts: list[Tensor] = []
        for examples in (shown, kept):
            items = oracle.target.template.encode_all(examples)
            before_BLD, after_BLD = pooled(original.target, items, "mean"), pooled(oracle.target, items, "mean")
            shifts += [(after_BLD - before_BLD).mean(0), before_BLD.norm(dim=2).mean(0)]
        directions_LD = forgetting_directions(shifts[0], shifts[2], shifts[1])
        target = oracle.target
        untouched = known(target, held_out)
        with changing(target.model, target.facts, {i: without(u) for i, u in enumerate(directions_LD)}):
            found = known(target, held_out)
        return rows_of(held_out, outcome=found, untouched=untouched)


direction_ablation = DirectionAblation()
