"""A model of parts, each trained on one shard, slice by slice. Source: arXiv 1912.03817, SISA."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from expunge.core.canonical import digest
from expunge.core.counting import tell
from expunge.core.errors import ConfigError
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.data.table import Table
from expunge.engine.parts.building import build, card_of
from expunge.engine.parts.epochs import Rounding, epochs_of
from expunge.engine.parts.folder import place_for
from expunge.engine.parts.partition import Partition, Places, by_probability, contiguous, explicit, keyed, require_all
from expunge.engine.parts.rows import subjects_of
from expunge.engine.parts.trainer import Trainer, told, trainer_of
from expunge.execution.pool import Pool
from expunge.targets.shard_manifest import ShardManifest, assignment
from expunge.targets.sharded import Sharded, Vote

FOLDER = "sharded"


@record
class SISA:
    """Shard, isolate, slice, aggregate: a deletion trains one shard again, from the slice of the record on.

    Args:
        trainer: one of ``engine.trainers``, or its name and settings.
        shards: S, parts that vote.
        slices: R, checkpoints of a part.
        epochs: e', of a part without slices, from which those of each slice follow; or e_r of each slice.
        rounding: of the epochs of a slice: ``carried`` as the reference implementation, or ``nearest``.
        vote: ``majority``, ``mean``, or ``weighted`` by the rows that a part has now.
        partition: ``keyed`` by a hash, so that a record's place depends on nothing but its key and the seed;
            ``contiguous`` by position; ``probability``, so that shards expect as many deletions; ``explicit``.
        by: what ``keyed`` hashes: the record's id, or its subject, whose records then stand together.
        places: for ``explicit``: record id -> shard and slice. ``contiguous`` and ``probability`` take them, too, once
            they are settled by all records of a first training.
        probabilities: for ``probability``: record id -> probability that it is deleted.
        salt: hex; keeps digests in manifests and certificates from confirming a guess at the rows.
    """

    trainer: Any
    shards: int = 5
    slices: int = 1
    epochs: int | tuple[int, ...] = 1
    rounding: Rounding = "carried"
    vote: Vote = "majority"
    partition: Partition = "keyed"
    by: Literal["record", "subject"] = "record"
    places: Mapping[str, tuple[int, int]] | None = None
    probabilities: Mapping[str, float] | None = None
    salt: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.trainer, Mapping):
            object.__setattr__(self, "trainer", trainer_of(self.trainer))
        if not isinstance(self.trainer, Trainer):
            raise ConfigError(
                "SISA needs a trainer", next="Give one of expunge.engine.trainers, such as estimator(...)"
            )
        if self.shards < 1:
            raise ConfigError(f"a model cannot have {self.shards} shards", next="Give at least 1")
        if self.partition == ("keyed" if self.places is not None else "explicit"):
            raise ConfigError("places belong to the partition explicit, which needs them")
        if (self.partition == "probability") != (self.probabilities is not None):
            raise ConfigError("probabilities belong to the partition probability, which needs them")
        if isinstance(self.epochs, tuple) and (len(self.epochs) != self.slices or min(self.epochs, default=0) < 1):
            raise ConfigError(f"{self.slices} slices need as many numbers of epochs, each at least 1")
        self.slice_epochs  # noqa: B018

    @property
    def kind(self) -> str:
        """Of the targets that it makes."""
        return self.trainer.kind

    @property
    def slice_epochs(self) -> tuple[int, ...]:
        """e_r of each slice.

        Raises:
            ConfigError: too few epochs for so many slices.
        """
        if isinstance(self.epochs, tuple):
            return self.epochs
        return epochs_of(self.epochs, self.slices, self.rounding)

    def settings(self) -> dict[str, Any]:
        """All settings as JSON; ``SISA(**settings)`` is the recipe again."""
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**body, "trainer": told(self.trainer)}

    def digest(self) -> str:
        """Digest of all but the salt."""
        body = {name: value for name, value in self.settings().items() if name != "salt"}
        return digest({**body, "trainer": self.trainer.digest(), "recipe": "sisa"})

    def manifests(self, store: Store, *, seed: int) -> tuple[ShardManifest, ...]:
        """Which record goes into which slice of which shard.

        Args:
            store: only its ids, and its subjects where ``by`` says so, are read.
            seed: of the run.

        Raises:
            ConfigError: a record has no place, or a table has no subjects that ``by`` asks for.
            StoreError: a record has no probability.
        """
        places = self._places(store, seed)
        held: list[list[list[str]]] = [[[] for _ in range(self.slices)] for _ in range(self.shards)]
        for name, (shard, part) in places.items():
            held[shard][part].append(name)
        parts = [tuple(tuple(part) for part in shard) for shard in held]
        return tuple(ShardManifest(shard, slices, self.slice_epochs) for shard, slices in enumerate(parts))

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Args:
            store: that will be trained on.
            seed: of the run.

        Raises:
            ConfigError: a record has no place, the rows have no labels, or the trainer cannot start with its settings.
            TargetError: what the trainer names is not there, or is of another kind.
        """
        self.manifests(store, seed=seed)
        if isinstance(store, Table) and store.y is None:
            raise ConfigError("the rows have no labels", next="Name their column: --label, or label= of open_table")
        self.trainer.start(seed=seed)
        self._rehearse(store, seed, strict=True)

    def _rehearse(self, store: Store, seed: int, *, strict: bool) -> None:
        """Have a trainer try a few rows, where it can: nobody trains for hours what cannot be kept."""
        if isinstance(store, Table) and hasattr(self.trainer, "rehearse"):
            self.trainer.rehearse(store, seed=seed, strict=strict)

    def _places(self, store: Store, seed: int) -> Places:
        ids, sizes = tuple(store.ids()), {"shards": self.shards, "slices": self.slices}
        if self.places is not None:
            return explicit(ids, self.places, **sizes)
        if self.probabilities is not None:
            require_all(ids, self.probabilities, "deletion probability")
            return by_probability({name: self.probabilities[name] for name in ids}, **sizes)
        if self.partition == "contiguous":
            return contiguous(ids, **sizes)
        if self.by == "subject" and isinstance(store, Table) and store.subjects is None:
            raise ConfigError(
                "nothing says whom the rows are about",
                why="records are to stand with others of their subject",
                next="Name the column with --subject, or leave by: subject out",
            )
        return keyed(subjects_of(store) if self.by == "subject" else {name: name for name in ids}, **sizes, seed=seed)

    def pinned(self, store: Store, *, seed: int) -> SISA:
        """The recipe with the places that follow from all records of a first training; of a hash none need be kept.

        The digest of the data says nothing of the order of its records, which ``contiguous`` goes by.
        """
        if self.partition == "keyed" or self.places is not None:
            return self
        return replace(self, places=self._places(store, seed))

    def recorded(self, target: Sharded) -> SISA:
        """The same recipe for a run that is to be compared with a target.

        Places that a hash gives are found anew, and those that the recipe states stay. Others follow from records that
        are gone, and are the target's: its own choice.
        """
        if target.ids and (self.partition == "keyed" or self.places is not None):
            return self
        return replace(self, partition="explicit", places=assignment(target.manifests), probabilities=None)

    def train(
        self,
        store: Store,
        *,
        seed: int,
        stage: str = "training",
        workdir: Path | None = None,
        pool: Pool | None = None,
    ) -> Sharded:
        """Train all parts. Killed, the same call on the same ``workdir`` goes on after the last checkpoint.

        Args:
            store: a table, or a store of examples.
            seed: of the partition, the first weights, the order of rows and all that a trainer draws.
            stage: name for progress reports.
            workdir: the target stays in ``sharded`` below it; without one, in a folder that goes when the target does.
            pool: where parts are trained; None for this process, at one thread. Neither changes a byte.

        Raises:
            ConfigError: a record has no place in the partition.
            StoreError: the store has no records.
            ExpungeError: what the trainer raises.
        """
        started = time.perf_counter()
        manifests = self.manifests(store, seed=seed)
        # Who repeats a run of which nothing is left has no record, and no place either.
        if self.places != {} and not any(manifest.ids for manifest in manifests):
            raise ConfigError("there is no record to train on", next="Give a store that holds some")
        self._rehearse(store, seed, strict=False)
        made = {"vote": self.vote, "partition": self.partition, "shards": self.shards, "slices": self.slices}
        card = card_of(self.trainer, seed=seed, salt=self.salt, **made)
        with place_for(workdir, FOLDER) as place:
            target = build(place.path, store, manifests, card, pool=pool, stage=stage)
            place.goes_with(target)
        tell(seconds=time.perf_counter() - started, steps=0, tokens=0)
        return target


sisa = SISA
