"""An ordinary fine-tune that records what a replay without some of its records needs. Source: by definition.

Rewind to the last checkpoint before the first step that differs, and train on without the forgotten records. Inside
one run of the loop that is seldom far from its start: batches hold sequences of similar length, so that one record
less moves many of them, and every epoch visits every record. What saves work is training in ``parts``, one after
another, each on its own records, and those that may be revoked ``last``.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from expunge.core.adapter import Adapter
from expunge.core.canonical import digest, digest_folder
from expunge.core.counting import tell
from expunge.core.errors import ConfigError
from expunge.core.example import Example, Examples
from expunge.core.launch import started
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.core.seeds import derive
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.engine.finetune import FineTune
from expunge.engine.recipes._language_parts import require_text
from expunge.engine.recorded_run import RecordedRun
from expunge.engine.recording import steps_of
from expunge.execution.pool import Pool
from expunge.targets.causal_lm import CausalLM
from expunge.targets.llama_spec import LlamaSpec
from expunge.targets.replay_record import Order, ReplayRecord
from expunge.targets.replayable import ReplayableLM


@record
class Revocable:
    """Whose records may have to be forgotten. A record is among them if one of the lists says so.

    Args:
        roles: data roles.
        subjects: whom records are about.
        ids: of records.
        salt: hex; keeps the digest of a recipe from telling who is named.
    """

    roles: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    salt: str = ""

    def __contains__(self, example: Example) -> bool:
        return example.role in self.roles or example.subject in self.subjects or example.record_id in self.ids


@record
class Replayable:
    """Train a language model on every record of a store, so that it can be replayed without some of them.

    Args:
        base: a folder or hub name to start from, or the shape of a new model whose weights are drawn from the seed.
        training: settings of the loop; ``save_every`` says how often a checkpoint is kept. Each part has a warm-up
            and a decay of its own, and its optimiser starts anew.
        on_long: what happens to a record beyond the context of a loaded base.
        adapter: trained in place of the weights, and merged into them at the end of each part.
        parts: into how many parts the revocable records are divided, by a keyed hash of their ids: one less moves no
            other. They are trained one after another.
        last: whose records are revocable: all others make a part that is trained before. None: all are revocable.
        steps: of each part, the one of the others first. Empty in a first training, where ``training`` says it;
            then they are pinned, so that neither they nor the decay depend on how many records are left.
    """

    base: str | LlamaSpec
    training: Training
    on_long: str = "error"
    adapter: Adapter | None = None
    parts: int = 1
    last: Revocable | None = None
    steps: tuple[int, ...] = ()

    kind = "causal_lm"

    def __post_init__(self) -> None:
        if self.parts < 1:
            raise ConfigError(f"parts cannot be {self.parts}", next="Give at least 1")
        if self.steps and len(self.steps) != self.parts + 1:
            raise ConfigError(f"{len(self.steps)} numbers of steps for {self.parts + 1} parts")

    def digest(self) -> str:
        """Digest of the recipe; of a base in a folder, of what is in it."""
        base: Any = self.base
        if isinstance(base, str) and Path(base).is_dir():
            base = digest_folder(Path(base))
        return digest({"recipe": "replayable", **{name: getattr(self, name) for name in _FIELDS}, "base": base})

    def start(self, *, seed: int) -> CausalLM:
        """The model before the first step."""
        return FineTune(self.base, self.training, self.on_long).start(seed=seed)

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Args:
            store: that will be trained on.
            seed: of the run.

        Raises:
            ConfigError: the records have no text.
        """
        require_text(store)

    def divided(self, examples: Examples, *, seed: int) -> tuple[Examples, ...]:
        """The records of each part, those that are not revocable first; a part may be empty."""
        parts: list[list[Example]] = [[] for _ in range(self.parts + 1)]
        for example in examples:
            fixed = self.last is not None and example not in self.last
            parts[0 if fixed else 1 + derive(seed, "part", example.record_id) % self.parts].append(example)
        return tuple(Examples(part) for part in parts)

    def naming(self, examples: Examples) -> Replayable:
        """The recipe in which ``last`` names only whoever has a record left; it says the same of all of them."""
        if self.last is None:
            return self
        there = {"ids": set(examples.ids), "subjects": {e.subject for e in examples}}
        left = {name: tuple(n for n in getattr(self.last, name) if n in known) for name, known in there.items()}
        return replace(self, last=replace(self.last, **left))

    def pinned(self, store: Store, *, seed: int) -> Replayable:
        """The recipe with the steps of each part, as they follow from all records of a first training.

        ``epochs`` go over the records of each part; ``steps`` are divided among the parts by their records. A training
        from scratch on fewer records is by the same recipe only if it is by the pinned one.
        """
        if self.steps:
            return self
        sizes = [len(part) for part in self.divided(store.get(store.ids()), seed=seed)]
        if self.training.steps:
            return replace(self, steps=_divided(self.training.steps, sizes))
        batches = [-(-size // min(self.training.batch_size, size)) if size else 0 for size in sizes]
        return replace(self, steps=tuple(self.training.total(count) if count else 0 for count in batches))

    def part_training(self, part: int) -> Training:
        """Settings of the loop for one part, once steps are pinned."""
        return replace(self.training, steps=self.steps[part] or 1, epochs=0.0)

    @staticmethod
    def part_seed(seed: int, part: int) -> int:
        """The first revocable part has the training's own seed: where there is no other it is an ordinary fine-tune."""
        return seed if part == 1 else derive(seed, "part", part)

    def order(self, target: CausalLM, examples: Examples, *, seed: int) -> Order:
        """Record ids of every step of every part, once steps are pinned.

        Args:
            target: its template is asked.
            examples: what is trained on.
            seed: of the training.

        Raises:
            ConfigError: a part has records and no steps.
        """
        parts = self.divided(examples, seed=seed)
        for part, steps in zip(parts, self.steps, strict=True):
            if part and not steps:
                raise ConfigError(f"{len(part)} records fall into a part without steps", next="Leave the steps out")
        return tuple(
            steps_of(target, examples, self.part_training(part), seed=self.part_seed(seed, part))
            for part, examples in enumerate(parts)
        )

    def train(
        self, store: Store, *, seed: int, stage: str = "training", workdir: Path | None = None, pool: Pool | None = None
    ) -> ReplayableLM:
        """Train on all of a store; same seed, data, threads and versions give the same bytes on CPU.

        Args:
            store: the data; without a record the model before the first step is given.
            seed: of weights, order and dropout.
            stage: name for progress reports.
            workdir: where the record of the training and the loop's checkpoints go; the same training continues
                there. None for a folder that lives as long as the target.
            pool: not used: the parts of one model come one after another.

        Raises:
            ConfigError: several processes, pinned steps that do not fit the data, or settings that do not fit.
            StoreError: a record does not fit into the context.
        """
        return self.trained(store.get(store.ids()), seed=seed, stage=stage, workdir=workdir)

    def trained(
        self,
        examples: Examples,
        *,
        seed: int,
        stage: str = "training",
        workdir: Path | None = None,
        earlier: ReplayRecord | None = None,
    ) -> ReplayableLM:
        """``train`` on examples; with the record of an earlier training on more of them, only what differs from it."""
        if started() > 1:
            raise ConfigError("a replayable training runs in one process", why=f"{started()} were started together")
        folder = workdir or Path(tempfile.mkdtemp(prefix="expunge-replayable-"))
        try:
            recipe = self.pinned(MemoryStore(examples), seed=seed)
            run = RecordedRun(recipe, examples, seed=seed, stage=stage, folder=folder, earlier=earlier)
            target = ReplayableLM(run.target, run.train())
        except BaseException:
            if workdir is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        if workdir is None:
            weakref.finalize(target, shutil.rmtree, folder, ignore_errors=True)
        tell(seconds=run.spent["seconds"], steps=int(run.spent["steps"]), tokens=int(run.spent["tokens"]))
        return target


replayable = Replayable
_FIELDS = ("training", "on_long", "adapter", "parts", "last", "steps")


def recipe_of(record: ReplayRecord) -> Replayable:
    """The recipe of a recorded training, its steps pinned."""
    return TypeAdapter(Replayable).validate_python(record.written.recipe)


def _divided(steps: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Steps in proportion to sizes, by largest remainders; at least one wherever there is a record.

    >>> _divided(10, [0, 5, 2])
    (0, 7, 3)
    """
    whole = max(1, sum(sizes))
    floors = [steps * size // whole for size in sizes]
    byrest = sorted(range(len(sizes)), key=lambda i: (-(steps * sizes[i] % whole), i))
    for index in byrest[: steps - sum(floors)]:
        floors[index] += 1
    return tuple(max(count, 1) if size else 0 for count, size in zip(floors, sizes, strict=True))
