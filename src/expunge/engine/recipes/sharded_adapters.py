"""A LoRA adapter a shard on a base that never saw what may have to be forgotten. Source: 1912.03817; S3T 2406.16257.

Deleting a record trains the adapter of its shard again, from the record's slice on, and sums the adapters anew. With
``layered`` a slice trains a group of layers, so that a deletion can be answered at once by switching groups off.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from expunge.core.adapter import Adapter
from expunge.core.errors import ConfigError
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.core.training import Training
from expunge.engine.recipes._language_parts import Places, check_records, recipe_digest, train_parts, whole_epochs
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.adapter import AdapterTrainer
from expunge.engine.trainers.layered_adapter import LayeredAdapterTrainer
from expunge.execution.pool import Pool
from expunge.targets.llama_spec import LlamaSpec
from expunge.targets.lm_parts import Inference, PartsLM
from expunge.targets.merged import Combine


@record
class ShardedAdapters:
    """Sharded adapters on one frozen base.

    Args:
        base: a folder or hub name, or the shape of a model whose weights are drawn from ``base_seed``. What it was
            trained on cannot be forgotten: exactness is about the shards.
        training: settings of the loop, in whole epochs; they are divided over the slices so that R slices cost what
            one does.
        adapter: rank, scale and targets of each shard's adapter.
        shards: S.
        slices: R, checkpoints of a shard; with ``layered`` as many groups of layers.
        by: whether a hash of the record's id or of its subject says where it goes.
        places: record id -> shard and slice, in place of the hash; says so for every record.
        slice_epochs: e_r of each slice, in place of those that follow from ``training``.
        inference: ``merge`` sums the adapters into the weights; ``average`` takes the mean of probabilities;
            ``route`` asks the part whose questions are nearest.
        combine: for ``merge``: whether products are averaged or summed.
        layered: a slice trains the next group of layers from the top, as S3T does.
        orders: B, orders of each shard's slices that are all trained; the one with the longest intact prefix answers
            until a deletion is done.
        statement: what the base was trained on, in the words of whoever trains; notes and certificates repeat it.
        on_long: what happens to a record beyond the context: ``error`` or ``truncate``.
        base_seed: of a drawn base.
        salt: hex; keeps digests in manifests and certificates from confirming a guess at the records.
    """

    base: str | LlamaSpec
    training: Training
    adapter: Adapter = Adapter()
    shards: int = 4
    slices: int = 1
    by: Literal["record", "subject"] = "subject"
    places: Places | None = None
    slice_epochs: tuple[int, ...] = ()
    inference: Inference = "merge"
    combine: Combine = "mean"
    layered: bool = False
    orders: int = 1
    statement: str = ""
    on_long: str = "error"
    base_seed: int = 0
    salt: str = ""

    kind = "causal_lm"

    def __post_init__(self) -> None:
        if self.orders < 1:
            raise ConfigError(f"orders cannot be {self.orders}", next="Give at least 1")
        self.sisa()

    def sisa(self) -> SISA:
        """Trainer, partition and epochs.

        Raises:
            ConfigError: settings that do not fit.
        """
        own: dict[str, Any] = {"base": self.base, "training": self.training, "adapter": self.adapter}
        own |= {"on_long": self.on_long, "base_seed": self.base_seed}
        trainer = LayeredAdapterTrainer(groups=self.slices, **own) if self.layered else AdapterTrainer(**own)
        epochs = self.slice_epochs or whole_epochs(self.training.epochs)
        given: dict[str, Any] = {"partition": "explicit", "places": self.places} if self.places is not None else {}
        sizes = {"shards": self.shards, "slices": self.slices}
        return SISA(trainer, epochs=epochs, vote="mean", by=self.by, salt=self.salt, **sizes, **given)

    @property
    def _answers(self) -> str:
        return f"merge {self.combine}" if self.inference == "merge" else self.inference

    def digest(self) -> str:
        """Digest of all but the salt and the statement."""
        return recipe_digest(self.sisa(), recipe="sharded_adapters", answers=self._answers, orders=self.orders)

    def recorded(self, target: PartsLM) -> ShardedAdapters:
        """The same recipe for a run that is to be compared with a target; of one that holds nobody it says so."""
        return self if target.ids else replace(self, places={})

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Args:
            store: that will be trained on.
            seed: of the run.

        Raises:
            ConfigError: a record has no place, or the records have no text.
            TargetError: the base cannot be loaded.
        """
        check_records(self.sisa(), store, seed=seed)

    def train(
        self, store: Store, *, seed: int, stage: str = "training", workdir: Path | None = None, pool: Pool | None = None
    ) -> PartsLM:
        """Train all adapters. Killed, the same call on the same ``workdir`` goes on after the last checkpoint.

        Args:
            store: of examples.
            seed: of the partition, the adapters' first weights, the order of records and dropout.
            stage: name for progress reports.
            workdir: the target stays in ``sharded`` below it; without one, in a folder that goes when the target does.
            pool: where adapters are trained; None for this process, at one thread. Neither changes a byte.

        Raises:
            ConfigError: there is no record, or one has no place.
            ExpungeError: what the training raises.
        """
        made: dict[str, Any] = {"answers": self._answers, "statement": self.statement, "orders": self.orders}
        return train_parts(self.sisa(), store, seed=seed, stage=stage, workdir=workdir, pool=pool, **made)


sharded_adapters = ShardedAdapters
