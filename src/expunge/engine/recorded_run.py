"""One replayable training: part after part, each of which a checkpoint at its end makes unnecessary."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file

from expunge.core.canonical import digest_bytes, read_json
from expunge.core.errors import ClaimError
from expunge.core.example import Examples
from expunge.core.files import sweep
from expunge.engine.recording import (
    Keeper,
    carry,
    environment,
    identity,
    loss,
    require_taken_up,
    rewind,
    take_up,
)
from expunge.engine.train import train
from expunge.targets.adapter import merge
from expunge.targets.replay_record import STATE, WEIGHTS, ReplayRecord, Written, commitments, order_digest, salt_of

if TYPE_CHECKING:
    from expunge.engine.recipes.replayable import Replayable

RECORD = "record"


def _bytes_of(model: Any) -> dict[str, str]:
    """Digest of each parameter."""
    tensors = ((name, p.detach().cpu().contiguous()) for name, p in model.named_parameters())
    return {name: digest_bytes(value.view(torch.uint8).numpy().tobytes()) for name, value in tensors}


class RecordedRun:
    """A training, or what a replay has to repeat of one.

    Args:
        recipe: with pinned steps.
        examples: what is trained on.
        seed: of the training.
        stage: name for progress reports.
        folder: of the record and of the loop's checkpoints; the same training continues there.
        earlier: record of a training on more records, whose checkpoints are taken as far as they are the same.

    Raises:
        ClaimError: the earlier training started from another model, or ran where the same steps give other bytes.
        ConfigError: a part has records and no steps.
        StoreError: a record does not fit into the context, or the earlier order log is damaged.
    """

    def __init__(
        self,
        recipe: Replayable,
        examples: Examples,
        *,
        seed: int,
        stage: str,
        folder: Path,
        earlier: ReplayRecord | None = None,
    ) -> None:
        self.recipe, self.seed, self.stage, self.folder = recipe, seed, stage, folder
        self.target = recipe.start(seed=seed)
        self.spent: dict[str, float] = {"seconds": 0.0, "steps": 0, "tokens": 0}
        self._parts = recipe.divided(examples, seed=seed)
        self._order = recipe.order(self.target, examples, seed=seed)
        self._last = max((part for part, steps in enumerate(self._order) if steps), default=-1)
        sweep(folder)
        salt = salt_of(folder / RECORD)
        written = Written(
            recipe=TypeAdapter(type(recipe)).dump_python(recipe, mode="json"),
            seed=seed,
            start=self.target.digest(),
            environment=environment(self.target),
            salt=salt,
            members=commitments(examples, salt),
            roles={e.record_id: e.role for e in examples},
            order_log=order_digest(self._order, salt),
        )
        if earlier is not None:
            _require_same(earlier.written, written)
        self.record = self._begun(written)
        if earlier is not None:
            carry(earlier, self.record, rewind(earlier, self._order))

    def _begun(self, written: Written) -> ReplayRecord:
        """The record of this training: as a killed one left it, or new, with nothing that another one left."""
        if found := ReplayRecord.found(self.folder / RECORD, written):
            return found
        for left in self.folder.glob("part-*"):
            shutil.rmtree(left)
        return ReplayRecord.begin(self.folder / RECORD, written, self._order)

    def train(self) -> ReplayRecord:
        """Train what no checkpoint holds. The target then is the trained one.

        Raises:
            TargetError: the loss is not finite.
        """
        at_start = _bytes_of(self.target.model)
        behind: Path | None = None
        for part, steps in enumerate(self._order):
            if not steps:
                continue
            if len(steps) in self.record.steps_kept(part):
                behind = self.record.sound(part, len(steps))
                self._count(read_json(behind / STATE).get("spent", {}))
                continue
            if behind is not None:
                self._load(behind)
                behind = None
            self._count(spent := self._part(part))
            if part < self._last:
                self._keep_end(part, at_start, spent)
                shutil.rmtree(self.folder / f"part-{part}", ignore_errors=True)
        if behind is not None:
            self._load(behind)
        finished = self.record.finished(self.target.digest())
        shutil.rmtree(self.folder / f"part-{self._last}", ignore_errors=True)
        return finished

    def _count(self, spent: dict[str, float]) -> None:
        for name, value in spent.items():
            self.spent[name] += value

    def _part(self, part: int) -> dict[str, float]:
        examples, adapter = self._parts[part], self.recipe.adapter
        training, seed = self.recipe.part_training(part), self.recipe.part_seed(self.seed, part)
        workdir = self.folder / f"part-{part}"
        run = identity(self.target, examples, training, seed=seed, adapter=adapter)
        carried, kept = self._carried(part), take_up(self.record, part, workdir, run=run)
        keeper = Keeper(self.record, part, self.target, workdir, training.save_every)
        settings: dict[str, Any] = {"seed": seed, "stage": self.stage, "adapter": adapter}
        data = {"retain": examples}
        done = train(self.target, loss(), data, training, workdir=workdir, look=keeper, **settings)
        require_taken_up(keeper, kept)
        if adapter:
            merge(done.adapter)
        return {"seconds": done.seconds, "steps": done.steps - carried, "tokens": done.tokens}

    def _carried(self, part: int) -> int:
        """Steps of a part that an earlier training took."""
        kept = self.record.steps_kept(part)
        return max((s for s in kept if read_json(self.record.checkpoint(part, s) / STATE)["carried"]), default=0)

    def _keep_end(self, part: int, at_start: dict[str, str], spent: dict[str, float]) -> None:
        """Keep the weights, those alone that are not as they were before the first step."""
        named = dict(self.target.model.named_parameters())
        changed = sorted(name for name, told in _bytes_of(self.target.model).items() if told != at_start[name])
        weights = {name: named[name].detach().cpu().contiguous() for name in changed}
        self.record.keep_weights(part, len(self._order[part]), weights, {"spent": spent, "carried": False})

    def _load(self, checkpoint: Path) -> None:
        named = dict(self.target.model.named_parameters())
        with torch.no_grad():
            for name, value in load_file(checkpoint / WEIGHTS).items():
                named[name].copy_(value)


def _require_same(earlier: Written, now: Written) -> None:
    """Raise where a replay could not give what a training from scratch gives.

    Raises:
        ClaimError: says what is another.
    """
    if earlier.start != now.start:
        raise ClaimError(
            "the model that the training started from is not what it was",
            why="its digest differs from the record's",
            next="Put the base back where it was, or retrain",
        )
    if earlier.environment != now.environment:
        differ = (f"{k}: {v}, now {now.environment.get(k)}" for k, v in earlier.environment.items())
        raise ClaimError(
            "the training ran where the same steps may give other bytes",
            why="; ".join(
                d for d, (k, v) in zip(differ, earlier.environment.items(), strict=True) if now.environment.get(k) != v
            ),
            next="Replay where it was trained, or retrain",
        )
