"""Several processes in one run: which rows each one takes, and how their gradients and means meet.

A launcher starts the processes and accelerate joins them. Every process draws the same batch and divides by the counts
of the whole of it, so that what a step does never depends on how many they are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from expunge.core.errors import ConfigError
from expunge.core.launch import started
from expunge.core.objective import Loss
from expunge.engine.parallel_shards import sharded
from expunge.engine.views import HEAD_VIEWS
from expunge.targets.model_facts import ModelFacts

SHARD = "EXPUNGE_SHARD"
"""Set to 1, the weights are sharded with torch's ``fully_shard``, also on CPUs. Of the launch and not of the training:
it changes where numbers stand, not what they are."""
APART: ContextVar[bool] = ContextVar("apart", default=False)
"""Whether each process trains a model of its own, the same in each, as one process would."""


PATIENCE = timedelta(days=7)
"""How long a process waits for the others. What only the first does may take hours, such as asking a judging model; a
process that has ended is noticed at once. One process group serves a process, so that whoever joins first sets it."""


def joined(*handlers: Any) -> Any:
    """The accelerator, whose process group waits with patience.

    Args:
        handlers: accelerate's keyword handlers, beside the one that sets the group's timeout.
    """
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    return Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE), *handlers])


class Whole(torch.nn.Module):
    """A model whose forward pass is whatever function it is given: what DDP and ``fully_shard`` wrap.

    Early exits, the head on some positions and terms over two roles then all happen within one call that they see, and
    what it returns leads to every parameter that was used.

    Args:
        model: whose parameters they are.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[[], Tensor]) -> Tensor:
        """What the function returns."""
        return compute()


@dataclass(frozen=True)
class Piece:
    """A part of the batch of a step that one process takes in one forward pass.

    Args:
        index: of the piece.
        of: pieces in all.
        counts: False for a piece that another process counts: this one runs it for company, with weight 0, since the
            others wait for each of its passes.
        last: whether it is the last before the gradients must have met.
    """

    index: int
    of: int
    counts: bool
    last: bool

    def rows(self, positions: list[int]) -> list[int]:
        """The piece of a role's batch.

        >>> Piece(index=1, of=3, counts=True, last=True).rows([10, 20, 30, 40, 50])
        [20, 30]
        """
        return positions[len(positions) * self.index // self.of : len(positions) * (self.index + 1) // self.of]


def pieces(rank: int, processes: int, parts: int, most: int) -> Iterator[Piece]:
    """The pieces of one process, as many for each of them.

    Args:
        rank: of the process.
        processes: how many.
        parts: forward passes in which one process alone would take the batch.
        most: pieces into which it can be cut.

    >>> [(p.index, p.of, p.counts) for p in pieces(rank=1, processes=2, parts=3, most=3)]
    [(1, 3, True), (0, 3, False)]
    """
    rounds = -(-parts // processes)
    of = min(rounds * processes, most)
    rounds = -(-of // processes)
    for turn in range(rounds):
        index = turn * processes + rank
        yield Piece(index if index < of else 0, of, index < of, turn + 1 == rounds)


class Processes:
    """The processes of a run, of which this is one.

    Args:
        loss: what they train.

    Raises:
        ConfigError: the launch is not what it says it is.
    """

    def __init__(self, loss: Loss) -> None:
        from accelerate.utils import DistributedDataParallelKwargs

        # A term that does not go through the head leaves what lies above its layer without a gradient.
        headless = any(not any(n.view in HEAD_VIEWS and not n.model for n in term.formula.needs) for term in loss.terms)
        told = DistributedDataParallelKwargs(find_unused_parameters=headless)
        self.accelerator = joined(told)
        processes: int = self.accelerator.num_processes
        self.count: int = 1 if APART.get() else processes
        self.rank: int = 0 if APART.get() else self.accelerator.process_index
        self.device: torch.device = self.accelerator.device
        kind: str = self.accelerator.distributed_type.name
        check_launch(kind, processes, started(), os.environ)
        self.sharding = self.count > 1 and (kind == "FSDP" or bool(os.environ.get(SHARD)))

    def check_controls(self, shards: Mapping[str, bool]) -> None:
        """Raise where a control is to work on shards and cannot.

        Args:
            shards: name of the control -> whether it can.

        Raises:
            ConfigError: names it.
        """
        whole = [name for name, can in shards.items() if not can]
        if self.sharding and whole:
            raise ConfigError(
                f"{whole[0]} does not work on sharded weights", next="Launch without sharding, or leave the control out"
            )

    def wrap(self, model: Any, facts: ModelFacts) -> tuple[Any, Any]:
        """The model that is trained, and the module through which its passes are made.

        Args:
            model: with its adapter, if it gets one.
            facts: of its architecture.

        Returns:
            The model itself, or under sharding a sharded copy; and a module to be called with a function.
        """
        if self.count == 1:
            return model, Whole(model)
        if not self.sharding:
            whole = Whole(model)
            return model, self.accelerator.prepare_model(whole)
        plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
        whole = sharded(Whole, model, facts, self.device, self.count, plugin)
        return whole.model, whole

    def gathering(self, whole: Any, piece: Piece) -> Any:
        """A context in which gradients stay where they are until the last piece; under sharding they never do."""
        later = self.count > 1 and not self.sharding and not piece.last
        return whole.no_sync() if later else contextlib.nullcontext()

    def weighed(self, total: Tensor, piece: Piece) -> Tensor:
        """A piece's loss, so that the mean over the processes of its gradient, which they take, is the sum."""
        return total if self.count == 1 else total * (self.count if piece.counts else 0)

    def summed(self, means: Mapping[str, float]) -> dict[str, float]:
        """Sums over the processes, the same in each of them."""
        if self.count == 1 or not means:
            return dict(means)
        local = torch.tensor(list(means.values()), dtype=torch.float64, device=self.device)
        total: Any = self.accelerator.reduce(local, reduction="sum")
        return dict(zip(means, total.tolist(), strict=True))

    def agreed(self, value: str) -> str:
        """The main process's value, in each of them."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def wait(self) -> None:
        """Go on once all processes are here."""
        if self.count > 1:
            self.accelerator.wait_for_everyone()


def check_launch(kind: str, joined: int, started: int, environment: Mapping[str, str]) -> None:
    """Raise where processes were started that would not train together, or not in the way that was asked for.

    Args:
        kind: accelerate's word for how they are joined.
        joined: processes that accelerate joined.
        started: processes that the launcher started.
        environment: of the process.

    Raises:
        ConfigError: says which.
    """
    if joined != started:
        raise ConfigError(
            f"{started} processes were started, and accelerate joined {joined} of them",
            why="each would train a model of its own",
            next="On a machine without a GPU set ACCELERATE_USE_CPU=true, and launch again",
        )
    asked = environment.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true")
    if asked and kind != "FSDP":
        raise ConfigError(
            f"FSDP was asked for, and accelerate runs {kind}",
            why="without a GPU it does not shard, and does not say so",
            next=f"Leave FSDP out of the launch; to shard on CPUs set {SHARD}=1",
        )
    if kind not in ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP"):
        raise ConfigError(f"the loop does not run under {kind}", next="Launch it for DDP or FSDP")
    if environment.get(SHARD) and joined == 1:
        raise ConfigError(f"{SHARD} is set in a single process", next="Start several, or unset it")
