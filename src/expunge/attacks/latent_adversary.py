"""How small a push on the inner states brings the answer out? Source: Sheshadri et al. 2024 (2407.15549)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.attacks._drawing import evenly
from expunge.attacks._rows import rows_of
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import ConfigError
from expunge.core.example import Examples
from expunge.core.progress import report
from expunge.data.collate import Batch
from expunge.engine.activations import answer_logp, asked, batches_of, continued, layer_states
from expunge.targets.causal_lm import CausalLM

FULL: Mapping[str, Any] = MappingProxyType({"records": None, "steps": 64, "epsilons": (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)})


def within(push: Tensor, radius: Tensor) -> Tensor:
    """Bring vectors back into balls around zero.

    Args:
        push: (..., D) vectors.
        radius: (...,) of the balls.

    Returns:
        (..., D), of the same directions, none longer than its radius.

    >>> within(torch.tensor([[3.0, 4.0], [0.3, 0.4]]), torch.tensor([2.5, 2.5])).tolist()
    [[1.5, 2.0], [0.3, 0.4]]
    """
    length = push.norm(dim=-1)
    return push * torch.where(length > radius, radius / length, 1.0)[..., None]


@dataclass(frozen=True)
class LatentAdversary:
    """Push the residual stream at the prompt, by projected gradient ascent, until the answer comes out.

    h_t + d_t,  ||d_t|| <= epsilon ||h_t|| at each position t of the prompt,  d maximises log p(answer)

    Threat model: whoever holds the weights and the very answers. The question: how near is the model to saying them? An
    adversary with enough room reaches ANY answer in any model, one that never knew it included, so the number means
    nothing without the control arm: a model has forgotten if it is as far from the answer as one that never knew.
    Near the retrained model's value is good; higher is worse. That value grows with epsilon, and where the adversary
    brings out everything in both arms, or nothing, the comparison is blind: choose the epsilon between.

    Fit for a policy only beside its control, at an epsilon at which the original differs from it.

    Each rung of the ladder starts from the best push of the one below, and the best push on the way counts, so that
    probabilities never fall with epsilon. Answers are read with their own earlier tokens given.

    Args:
        records: forgotten records, drawn evenly over subjects; None for all.
        depth: which layer's states are pushed, as a share of the way from the first to the last.
        steps: of ascent a rung.
        epsilons: the ladder, rising; shares of a state's norm.
        at: the rung whose probability is the outcome.
        reached: probability from which an answer counts as brought out.
    """

    records: int | None = 96
    depth: float = 0.5
    steps: int = 16
    epsilons: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0)
    at: float = 0.2
    reached: float = 0.5
    access = Access.WEIGHTS | Access.LOGPROBS
    full = FULL

    def __post_init__(self) -> None:
        if self.at not in self.epsilons or list(self.epsilons) != sorted({*self.epsilons}) or self.epsilons[0] < 0:
            raise ConfigError(
                f"the ladder {self.epsilons} with its outcome at {self.at} cannot be climbed",
                why="it must rise from 0 or more, and hold the rung of the outcome",
            )

    def digest(self) -> str:
        """Digest of the attack with its budget."""
        return digest(self.settings())

    def settings(self) -> dict[str, Any]:
        """The budget, as a certificate states it."""
        return {"name": "latent_adversary", **vars(self)}

    def run(self, oracle: Oracle, probes: Examples, *, seed: int) -> list[dict[str, object]]:
        """Attack one model.

        Args:
            oracle: grants WEIGHTS and LOGPROBS.
            probes: the forget set.
            seed: unused; the ascent starts from no push.

        Returns:
            One row a record: the probability of its answer at the rung ``at`` as ``outcome``; ``untouched`` and
            ``at_0.1`` and so on, at every rung; and ``ease``, 1 / (1 + the smallest epsilon at which the answer came
            out), 1 for an answer that needs no push and 0 for one that no rung brought out.

        Raises:
            TargetError: the oracle does not grant what is needed.
        """
        oracle.require(self.access, "latent_adversary")
        chosen = evenly(probes, self.records)
        found = self.climb(oracle.target, chosen)
        rungs = np.array([0.0, *self.epsilons])
        out = found >= self.reached
        ease = np.where(out.any(1), 1 / (1 + rungs[out.argmax(1)]), 0.0)
        each = {f"at_{epsilon:g}": values for epsilon, values in zip(rungs[1:], found.T[1:], strict=True)}
        outcome = found[:, 1 + self.epsilons.index(self.at)]
        return rows_of(chosen, outcome=outcome, untouched=found[:, 0], **each, ease=ease)

    def climb(self, target: CausalLM, examples: Examples) -> np.ndarray:
        """Probability of each answer without a push and at every rung, (B, 1 + rungs)."""
        items = target.template.encode_all(examples)
        found = np.zeros((len(items), 1 + len(self.epsilons)))
        done = 0
        with asked(target) as device:
            for positions, batch in batches_of(items, device):
                found[positions] = self._climb_batch(target, batch).exp().cpu().numpy()
                done += len(positions)
                report("pushing states", done, len(items))
        return found

    def _climb_batch(self, target: CausalLM, batch: Batch) -> Tensor:
        model, facts = target.model, target.facts
        head = facts.head(model)
        layer = int(self.depth * (len(facts.decoder_layers(model)) - 1))
        with torch.no_grad():
            states_BSD = layer_states(model, facts, batch)[layer]
        first_B = batch.cols[torch.cumsum(batch.counts, 0) - batch.counts]
        prompt_BS = torch.arange(states_BSD.shape[1], device=first_B.device)[None] <= first_B[:, None]
        reach_BS = states_BSD.float().norm(dim=2) * prompt_BS

        def gain(push_BSD: Tensor) -> Tensor:
            pushed = states_BSD + push_BSD.to(states_BSD.dtype)
            return answer_logp(head, continued(model, facts, batch, layer, pushed), batch)

        best_BSD = torch.zeros_like(states_BSD, dtype=torch.float32)
        with torch.no_grad():
            reached = [gain(best_BSD)]
        for epsilon in self.epsilons:
            best_BSD, best_B = self._ascend(gain, best_BSD, reached[-1], epsilon * reach_BS)
            reached.append(best_B)
        return torch.stack(reached, dim=1)

    def _ascend(self, gain: Any, start: Tensor, start_gain: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """The best push within the radius, and what it gains, of those that ``steps`` of ascent pass."""
        push, best, best_gain = start, start, start_gain
        stride_BS1 = (2.5 * radius / max(1, self.steps))[..., None]
        for step in range(self.steps + 1):
            push = push.detach().requires_grad_()
            with torch.enable_grad():
                found = gain(push)
                slope = torch.autograd.grad(found.sum(), push)[0] if step < self.steps else None
            better = found.detach() > best_gain
            best = torch.where(better[:, None, None], push.detach(), best)
            best_gain = torch.where(better, found.detach(), best_gain)
            if slope is not None:
                unit = slope / slope.norm(dim=2, keepdim=True).clamp(min=torch.finfo(slope.dtype).tiny)
                push = within(push.detach() + stride_BS1 * unit, radius)
        return best, best_gain


latent_adversary = LatentAdversary()
