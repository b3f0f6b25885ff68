"""What a run of a method took, beside its seconds: operations, memory, and how much of the model it changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch

from expunge.core.counting import Counted
from expunge.core.outcome import Cost, PeakOf


def operations(model: Any, tokens: int) -> int:
    """Floating-point operations of tokens that go forward and backward, by the model's own count of weights.

    6 operations a token and weight (2 forward, 4 backward), over all weights but those that are only looked up. What
    attention adds, which grows with a sequence's square, is not counted, nor what early exits and frozen layers save.
    Source: Kaplan et al. 2020 (2001.08361), section 2.1.

    Args:
        model: a transformers causal LM.
        tokens: that went forward and backward.
    """
    weights = sum(p.numel() for p in model.parameters())
    looked_up, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    if head is None or looked_up is not head.weight:
        weights -= looked_up.numel()
    return 6 * weights * tokens


def bytes_changed(before: Any, after: Any) -> int:
    """Bytes of parameters whose value is another one; of a parameter that is new or of another shape, all.

    Args:
        before: a torch module.
        after: a torch module with, as far as they go, the same names.

    >>> one, two = torch.nn.Linear(3, 2, bias=False), torch.nn.Linear(3, 2, bias=False)
    >>> _ = two.load_state_dict(one.state_dict())
    >>> two.weight.data[1, 2] += 1.5
    >>> bytes_changed(one, two)
    4
    """
    was = dict(before.named_parameters())
    total = 0
    for name, now in after.named_parameters():
        then = was.get(name)
        if then is None or then.shape != now.shape or then.dtype != now.dtype:
            total += now.numel() * now.element_size()
        else:
            total += int((then.detach().to(now.device) != now.detach()).sum()) * now.element_size()
    return total


def start_counting() -> None:
    """Forget the peak of what ran before on a GPU. A CPU has no such thing: there the peak is the process's own."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def peak() -> tuple[int, PeakOf]:
    """Most bytes that were held on a GPU since ``start_counting``; without one, most that this process ever held.

    The second is a high-water mark: what ran earlier in the process counts, and after it a smaller run shows nothing of
    its own. The word beside the number says which it is.
    """
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated()), "device"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "process"


def cost_of(before: Any, after: Any, *, seconds: float, steps: int, tokens: int) -> Cost:
    """The cost of a run that changed or made a causal LM.

    Args:
        before: the target before, None where the run made a model anew.
        after: the target after.
        seconds: wall time.
        steps: of the optimiser.
        tokens: that went forward and backward.
    """
    changed = None if before is None else bytes_changed(before.model, after.model)
    held, whose = peak()
    return Cost(seconds, steps, tokens, operations(after.model, tokens), held, changed, whose)


def cost_of_training(before: Any, after: Any, counted: Counted, *, seconds: float) -> Cost:
    """The cost of what a recipe trained: its seconds alone where the recipe told nothing, or makes no causal LM.

    Args:
        before: the target before, None where there was none.
        after: the target after.
        counted: what the recipe told.
        seconds: wall time of this process.
    """
    seconds = max(counted.seconds, seconds)
    if not counted.trainings or getattr(after, "kind", "") != "causal_lm":
        return Cost(seconds)
    return cost_of(before, after, seconds=seconds, steps=counted.steps, tokens=counted.tokens)


def together(before: Any, after: Any, costs: Sequence[Cost]) -> Cost:
    """The cost of several runs, each on what the one before gave; what one of them did not count, nobody knows in sum.

    Args:
        before: the target before the first.
        after: the target after the last.
        costs: of each.
    """
    largest = max(costs, key=lambda cost: cost.peak_bytes or 0)
    flops = [cost.flops for cost in costs if cost.flops is not None]
    held = all(cost.peak_bytes is not None for cost in costs)
    return Cost(
        seconds=sum(cost.seconds for cost in costs),
        steps=sum(cost.steps for cost in costs),
        tokens=sum(cost.tokens for cost in costs),
        flops=sum(flops) if len(flops) == len(costs) else None,
        peak_bytes=largest.peak_bytes if held else None,
        bytes_changed=bytes_changed(before.model, after.model),
        peak_of=largest.peak_of if held else "",
    )
