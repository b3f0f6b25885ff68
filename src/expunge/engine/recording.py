"""How a run of the loop leaves what a replay needs, and how a replay takes it up; the loop itself stays as it is.

The order of the records is drawn and written before the first step, by the code that the loop draws it with. The loop
writes a checkpoint every ``save_every`` steps and replaces it; its callback takes each into the record before that.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from expunge.core.adapter import Adapter
from expunge.core.canonical import digest, read_json
from expunge.core.errors import TargetError
from expunge.core.example import Examples
from expunge.core.files import replace_folder, write_json
from expunge.core.objective import Loss, as_loss
from expunge.core.training import Training
from expunge.engine.checkpoint import FOLDER
from expunge.engine.finetune import LIKELY
from expunge.engine.prefix_states import frozen_depth
from expunge.engine.streams import encode, segments_of, streams_of
from expunge.engine.threads import threads_for
from expunge.engine.views import Demand
from expunge.targets.causal_lm import CausalLM
from expunge.targets.replay_record import OPTIMIZER, STATE, WEIGHTS, Order, ReplayRecord, link

Steps = tuple[tuple[str, ...], ...]


def loss() -> Loss:
    """What an ordinary fine-tune lowers, on all records."""
    return as_loss(LIKELY)


def steps_of(target: CausalLM, examples: Examples, training: Training, *, seed: int) -> Steps:
    """Record ids of each step of a run of the loop with these arguments.

    Args:
        target: its template is asked, its weights are not.
        examples: what is trained on.
        training: settings of the loop.
        seed: of the run.
    """
    if not examples:
        return ()
    lowered = loss()
    encoded = {segment: encode(target, examples, segment[1]) for segment in segments_of(lowered)}
    stream = streams_of(lowered, encoded, training, seed=seed)["retain"]
    total = training.total(stream.per_epoch)
    return tuple(tuple(examples[i].record_id for i in stream.at(step)) for step in range(total))


def first_change(before: Sequence[Any], after: Sequence[Any]) -> int:
    """How many steps from the first on are the same in two orders.

    >>> first_change([("a", "b"), ("c",), ("d",)], [("a", "b"), ("d",)])
    1
    """
    pairs = zip(before, after, strict=False)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(before), len(after)))


@dataclass(frozen=True)
class Rewind:
    """Where a replay begins and what it costs.

    Args:
        part: the first part whose order changes.
        step: steps of it that are kept.
        replayed: steps that are taken again.
        whole: steps of a training from scratch on the same data.
    """

    part: int
    step: int
    replayed: int
    whole: int


def rewind(record: ReplayRecord, order: Order) -> Rewind:
    """The last checkpoint of a training at which the order without some records had not begun to differ.

    Args:
        record: of the training.
        order: of the same training without them.

    Raises:
        StoreError: the order log is damaged.
    """
    logged, whole, before = record.order(), sum(len(steps) for steps in order), 0
    for part, steps in enumerate(order):
        was = logged[part] if part < len(logged) else ()
        kept = record.steps_kept(part)
        # Of a part that is the same to its end and whose end was not kept, the tail is replayed.
        if was != steps or (steps and len(steps) not in kept):
            same = min(first_change(was, steps), max(0, len(steps) - 1))
            step = max((at for at in kept if at <= same), default=0)
            return Rewind(part, step, whole - before - step, whole)
        before += len(steps)
    return Rewind(len(order), 0, 0, whole)


def carry(earlier: ReplayRecord, own: ReplayRecord, to: Rewind) -> None:
    """Take the checkpoints that a rewind keeps into a new record; those after it saw what is forgotten and stay out.

    Raises:
        StoreError: the tensors of one changed since they were kept.
    """
    for part in range(to.part + 1):
        for step in earlier.steps_kept(part):
            if part < to.part or step <= to.step:
                source = earlier.sound(part, step)
                state = {key: value for key, value in read_json(source / STATE).items() if key != "spent"}
                own.keep(part, step, source, {**state, "carried": True})


def environment(target: CausalLM) -> dict[str, str]:
    """What, beside recipe, data and seed, decides the bytes that a training gives."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "accelerate")}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    with threads_for(target.model):
        threads = str(torch.get_num_threads())
    kind = torch.backends.cpu.get_cpu_capability()
    return {**versions, "device": device, "instructions": kind, "threads": threads}


def identity(target: CausalLM, examples: Examples, training: Training, *, seed: int, adapter: Adapter | None) -> str:
    """By what ``engine.train`` knows a checkpoint of a run as its own: a plain run on the role ``retain``."""
    settings = [loss(), training, seed, None, adapter, [], []]
    return digest([target.digest(), {"retain": examples.digest()}, *settings])


class Keeper:
    """The loop's callback: takes each checkpoint of the loop into the record, one step after it was written.

    Where the lowest layers are frozen the loop computes their states once for all records, in batches that depend on
    which records there are. Rounding may then differ from step 1 on with and without a record; none is kept.

    Args:
        record: where checkpoints are kept.
        part: of the training.
        target: that is being trained.
        workdir: of the loop.
        every: steps between checkpoints.
    """

    def __init__(self, record: ReplayRecord, part: int, target: CausalLM, workdir: Path, every: int) -> None:
        self.first = 0
        self._record, self._part, self._target = record, part, target
        self._checkpoint, self._every = workdir / FOLDER, every

    def __call__(self, taken: int) -> None:
        self.first = self.first or taken
        at = taken - 1
        if at == 0 or at % self._every or not (self._checkpoint / STATE).exists():
            return
        state = read_json(self._checkpoint / STATE)
        if state["step"] == at and not frozen_depth(self._target.model, self._target.facts, Demand(True, ())):
            kept = {"step": at, "carried": False, "recent": state["recent"], "controls": state["controls"]}
            self._record.keep(self._part, at, self._checkpoint, kept)


def take_up(record: ReplayRecord, part: int, workdir: Path, *, run: str) -> int:
    """Lay the last kept checkpoint of a part where the loop looks for its own, unless its own of this run is there.

    Args:
        record: of this training, with what was carried over into it.
        part: that is about to be trained.
        workdir: of the loop.
        run: identity of the run.

    Returns:
        Steps of the part that a kept checkpoint holds.

    Raises:
        StoreError: its tensors changed since they were kept.
    """
    own = workdir / FOLDER
    at = max((step for step in record.steps_kept(part)), default=0)
    known = (own / STATE).exists() and read_json(own / STATE)["run"] == run
    if at and not known:
        source = record.sound(part, at)
        with replace_folder(own) as fresh:
            for name in (WEIGHTS, OPTIMIZER):
                link(source / name, fresh / name)
            write_json(fresh / STATE, {**read_json(source / STATE), "run": run, "seconds": 0.0, "tokens": 0})
    return at


def require_taken_up(keeper: Keeper, at: int) -> None:
    """Raise where the loop began before a checkpoint that was laid out for it.

    Raises:
        TargetError: it did; what it trained is right, but what was told of its cost would not be.
    """
    if keeper.first and keeper.first <= at:
        raise TargetError(f"the loop began at step {keeper.first}, not after the checkpoint of step {at}")
