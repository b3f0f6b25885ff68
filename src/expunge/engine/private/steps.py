"""The steps of DP-SGD. Source: Abadi et al., arXiv 1607.00133, algorithm 1, with Poisson samples.

    g = (sum over drawn units of clip(gradient, C) + N(0, sigma^2 C^2 I)) / lot

What the optimiser makes of g is free. Clipping is opacus'; its noise is not used: torch's generator on a CPU reads 32
bits of a seed, which can be tried one by one. Noise is drawn and added in float64, under a key of 128 bits.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from expunge.accounting.given import positive
from expunge.core.errors import TargetError
from expunge.core.progress import report
from expunge.core.seeds import derive
from expunge.engine.private.clipping import Ghost, Rows, without_hook_notes
from expunge.engine.private.sampling import packed, samples
from expunge.engine.threads import threads_for
from expunge.targets.noisy.noise import drawn_from, noised
from expunge.targets.private.account import Mechanism

Losses = Callable[[Sequence[int]], Tensor]
"""Loss (B,) of each of some rows, given by their positions."""


def private_steps(
    clipper: Rows | Ghost,
    optimizer: torch.optim.Optimizer,
    groups: Sequence[list[int]],
    losses: Losses,
    mechanism: Mechanism,
    *,
    seed: int,
    lot: float,
    at_once: int,
    stage: str = "private training",
) -> None:
    """Take all steps of a mechanism.

    Args:
        clipper: around the module that is trained.
        optimizer: of its trained parameters.
        groups: rows of each unit.
        losses: of rows.
        mechanism: DP-SGD in numbers.
        seed: of samples and noise, where the mechanism says so.
        lot: what the noisy sum is divided by.
        at_once: rows a pass; more for a unit that has more.
        stage: name for progress reports.

    Raises:
        TargetError: a loss or gradient is no finite number; nothing is released then.
        ConfigError: lot is no number above 0.
    """
    positive("lot", lot)
    rng = drawn_from(mechanism.randomness, seed, "private", "noise")
    try:
        with threads_for(clipper.wrapped), torch.random.fork_rng(), without_hook_notes():
            for step, drawn in enumerate(samples(mechanism, len(groups), seed=seed)):
                torch.manual_seed(
                    secrets.randbits(63) if mechanism.randomness != "seed" else derive(seed, "private", "step", step)
                )
                _summed(clipper, [groups[at] for at in drawn], losses, at_once)
                for parameter in clipper.trained:
                    total = noised(parameter.summed_grad.double().cpu().numpy(), mechanism.sigma * mechanism.clip, rng)
                    parameter.grad = torch.from_numpy(total / lot).to(parameter)
                optimizer.step()
                report(stage, step + 1, mechanism.steps)
    finally:
        for parameter in clipper.trained:
            for name in ("summed_grad", "grad_sample", "_norm_sample", "_forward_counter"):
                vars(parameter).pop(name, None)
            parameter.grad = None


def _summed(clipper: Rows | Ghost, drawn: Sequence[list[int]], losses: Losses, at_once: int) -> None:
    """Leave in ``summed_grad`` of each parameter the sum of the clipped gradients of drawn units; zeros for none."""
    for parameter in clipper.trained:
        parameter.summed_grad = None
    for groups in packed(list(drawn), at_once):
        rows = [row for group in groups for row in group]
        numbers = torch.tensor([at for at, group in enumerate(groups) for _ in group])
        norms = clipper.add(losses(rows), numbers)
        if not torch.isfinite(norms).all():
            raise TargetError("a gradient is no finite number", next="Lower the learning rate")
    for parameter in clipper.trained:
        if parameter.summed_grad is None:
            parameter.summed_grad = torch.zeros_like(parameter)
