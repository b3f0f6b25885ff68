r"""Noisy fine-tuning of one block of weights after another. Source: arXiv 2601.05134; accounting derived here.

The vector is cut into consecutive blocks, which after a rotation may be any orthogonal subspaces. A block is clipped to
its C0, takes the plan's T noisy steps while all others stand still, and then stays. The noise at any time lies in one
block, so that the gradient sees the rest of the model undisturbed.

What the gradient of a block depends on beyond the block is the same in both worlds where that was noised and given (the
blocks before), and may differ where it was not (the blocks after): both are within the 2 eta C1 that a step of gradient
clipping counts for. So each block costs the rho of its plan whatever the blocks before came to, and the rho add up.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import ClassVar

from expunge.accounting.accountants.gradient_clipping import gradient_clipping
from expunge.accounting.given import count
from expunge.accounting.shifted import largest_rho
from expunge.core.errors import ConfigError
from expunge.core.record import record
from expunge.targets.noisy.fine_tuning import Gradient, GradientClipping, fine_tune
from expunge.targets.noisy.noise import F, Normal, double


@record
class BlockSchedule:
    """The plan that each block follows, and how the vector is cut.

    Args:
        plan: of one block; its clips are those of the block.
        sizes: of the blocks, in order; together all weights.

    >>> one = GradientClipping(start_clip=1.5, gradient_clip=0.5, lr=0.5, decay=0.0, sigma=2.0, steps=4)
    >>> BlockSchedule(plan=one, sizes=(3, 2)).rho  # 2 * 0.78125
    1.5625
    """

    plan: GradientClipping
    sizes: tuple[int, ...]

    accountant: ClassVar[str] = "gradient_clipping"

    def __post_init__(self) -> None:
        if not self.sizes:
            raise ConfigError("there is no block", next="Give the size of each")
        for size in self.sizes:
            count("the size of a block", size, least=1)

    @property
    def rho(self) -> float:
        """D_alpha <= alpha rho between unlearned and retrained."""
        return len(self.sizes) * self.plan.rho

    def renyi(self, order: float) -> float:
        """Renyi divergence of an order alpha > 1, in nats."""
        return order * self.rho

    def epsilon(self, delta: float) -> float:
        """The same as (epsilon, delta)."""
        return gradient_clipping(delta, self.numbers)

    @property
    def numbers(self) -> dict[str, str]:
        """What its accountant reads."""
        return {**self.plan.numbers, "blocks": str(len(self.sizes))}

    def calibrated(self, epsilon: float, delta: float) -> BlockSchedule:
        """The same schedule with the least noise that is (epsilon, delta), rounded up."""
        more = math.sqrt(self.rho / largest_rho(epsilon, delta)) * (1 + 1e-12)
        return replace(self, plan=replace(self.plan, sigma=self.plan.sigma * more))


def fine_tune_blocks(schedule: BlockSchedule, weights: F, gradient: Gradient, rng: Normal) -> F:
    """Weights (..., d) after the noisy steps of every block.

    Args:
        schedule: with its certificate.
        weights: (..., d) float64. The model's, flattened.
        gradient: of all weights (..., d) and the number of the step within the block, on retained data alone.
        rng: of the noise; apart from that of the batches.

    Raises:
        ConfigError: blocks that are not all of the weights, or values that are not finite and double precision.
    """
    now = double(weights, "the weights").copy()
    if sum(schedule.sizes) != now.shape[-1]:
        raise ConfigError(f"blocks of {sum(schedule.sizes)} weights for a vector of {now.shape[-1]}")
    for first, end in pairwise(accumulate(schedule.sizes, initial=0)):

        def of_block(block: F, step: int, first: int = first, end: int = end) -> F:
            now[..., first:end] = block
            return double(gradient(now, step), "the gradients")[..., first:end]

        now[..., first:end] = fine_tune(schedule.plan, now[..., first:end].copy(), of_block, rng)
    return now
