"""Noisy steps of a language model on retained records alone. Source: Koloskova et al., arXiv 2506.06985.

The state is one vector, the trained weights less those of a centre, in float64 from the first clip to the last noise;
a step asks the model for its gradient at the weights rounded to float32. What comes out is the last state, rounded
likewise: a function of it, which costs nothing. A gradient that is no number counts as 0: the certificate allows any
function of the weights, while a run that stopped would tell where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.core.errors import TargetError
from expunge.core.example import Examples
from expunge.core.objective import as_loss
from expunge.core.progress import report
from expunge.core.training import Training
from expunge.engine.finetune import LIKELY
from expunge.engine.run import Run
from expunge.engine.threads import threads_for
from expunge.engine.train import only
from expunge.targets.causal_lm import CausalLM
from expunge.targets.noisy.block_schedule import BlockSchedule, fine_tune_blocks
from expunge.targets.noisy.fine_tuning import Gradient, GradientClipping, ModelClipping, fine_tune
from expunge.targets.noisy.noise import F, Normal

Plan = GradientClipping | ModelClipping | BlockSchedule


ALL = (".*",)


def trained_names(model: Any, patterns: Sequence[str] = ALL) -> list[str]:
    """Names of the parameters that match a pattern, sorted as they stand in the vector; frozen ones too."""
    with only(model, tuple(patterns)):
        return sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def flat(tensors: Sequence[Tensor]) -> F:
    """Tensors, one after another, as a vector (d,) in float64."""
    return torch.cat([tensor.detach().double().cpu().reshape(-1) for tensor in tensors]).numpy()


def place(parameters: Sequence[Tensor], vector: F) -> None:
    """Give parameters the values of a vector (d,), each rounded to the parameter's type.

    Raises:
        TargetError: the vector has another length.
    """
    sizes = [parameter.numel() for parameter in parameters]
    if vector.shape != (sum(sizes),):
        raise TargetError(f"{vector.shape} numbers for {sum(sizes)} weights")
    with torch.no_grad():
        for parameter, part in zip(parameters, np.split(vector, np.cumsum(sizes)[:-1]), strict=True):
            parameter.copy_(torch.from_numpy(part).reshape(parameter.shape))


class Taken:
    """Stands where the loop has its optimiser; takes the gradient, and no step.

    Args:
        parameters: in the order of the vector.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters, self.param_groups = parameters, list[dict[str, Any]]()
        self.found = np.zeros(0)

    def step(self) -> None:
        """Keep the gradient (d,) in float64; zeros where a parameter got none."""
        self.found = flat([p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Empty the gradients."""
        for parameter in self.parameters:
            parameter.grad = None


def gradient_at(run: Run, taken: Taken, step: int) -> F:
    """The gradient (d,) of a step's batch at the weights as they are; zeros where it is no number."""
    taken.found = np.zeros(sum(parameter.numel() for parameter in taken.parameters))
    with suppress(TargetError):  # the loop's word for a gradient that is no number; of such a loss it takes no step
        run.step(step)
    taken.zero_grad()
    return taken.found


def steps_of(plan: Plan) -> int:
    """Steps of a plan, all blocks together."""
    return plan.plan.steps * len(plan.sizes) if isinstance(plan, BlockSchedule) else plan.steps


def taken_by(plan: Plan, start: F, gradient: Gradient, rng: Normal) -> F:
    """The state (d,) after all steps of a plan."""
    if isinstance(plan, BlockSchedule):
        return fine_tune_blocks(plan, start, gradient, rng)
    return fine_tune(plan, start, gradient, rng)


def noisy_steps(
    target: CausalLM,
    examples: Examples,
    plan: Plan,
    *,
    centre: Mapping[str, Tensor] | None,
    trainable: Sequence[str] = ALL,
    batch_size: int,
    micro_batch: int = 0,
    seed: int,
    rng: Normal,
    stage: str = "noisy fine-tuning",
) -> int:
    """Take all steps of a plan, in place.

    Args:
        target: its trained weights change.
        examples: that are retained.
        plan: with its certificate.
        centre: parameter -> value, about which the ball lies; None for 0.
        trainable: regular expressions; parameters whose whole name matches one are changed, and no others.
        batch_size: records a step.
        micro_batch: records a pass; 0 for the whole batch. It changes memory, not the result.
        seed: of batches and dropout; it may be known.
        rng: of the noise; nobody may be able to draw it again.
        stage: name for progress reports, which tell of no loss.

    Returns:
        Tokens that went forward and backward.

    Raises:
        ScopeError: there is no record.
        StoreError: a record does not fit into the context.
        TargetError: the result does not fit into float32.
        UnknownName: a pattern matches no parameter.
    """
    total, done = steps_of(plan), 0
    settings = Training(lr=1.0, steps=total, batch_size=batch_size, micro_batch=micro_batch, clip=0.0)
    with threads_for(target.model), only(target.model, tuple(trainable)):
        run = Run(target, as_loss(LIKELY), {"retain": examples}, settings, seed)
        parameters = list(run.named.values())
        run.optimizer = taken = Taken(parameters)
        start = flat(parameters)
        about = np.zeros_like(start) if centre is None else flat([centre[name] for name in run.named])

        def gradient(state: F, _: int) -> F:
            nonlocal done
            place(parameters, about + state)
            found = gradient_at(run, taken, done)
            done += 1
            report(stage, done, total)
            return found

        place(parameters, about + taken_by(plan, start - about, gradient, rng))
    if not all(bool(parameter.isfinite().all()) for parameter in parameters):
        raise TargetError("the weights do not fit into float32", next="Allow a larger epsilon, or a smaller radius")
    target.model.to(run.device).eval()
    return run.report.tokens
