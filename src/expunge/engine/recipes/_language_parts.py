"""What the recipes of language models in parts share: where records go, and how the parts become a target."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.counting import tell
from expunge.core.errors import ConfigError
from expunge.core.protocols import Store
from expunge.data.table import Table
from expunge.engine.parts.building import build, card_of
from expunge.engine.parts.folder import place_for
from expunge.engine.parts.orders import orders_of
from expunge.engine.recipes.sisa import FOLDER, SISA
from expunge.execution.pool import Pool
from expunge.targets.lm_parts import LOADER, PartsLM
from expunge.targets.shard_manifest import ShardManifest

Places = Mapping[str, tuple[int, int]]


def whole_epochs(epochs: float) -> int:
    """Epochs of a training, by which slices are counted.

    Raises:
        ConfigError: it counts steps, or parts of an epoch.
    """
    if epochs < 1 or epochs != int(epochs):
        raise ConfigError(
            "parts are trained for whole epochs", why=f"got {epochs:g}", next="Give a Training with epochs=, at least 1"
        )
    return int(epochs)


def check_records(sisa: SISA, store: Store, *, seed: int) -> None:
    """Raise unless every record is text and has a place, and the base is there.

    Args:
        sisa: trainer, partition and epochs.
        store: that will be trained on.
        seed: of the whole run.

    Raises:
        ConfigError: it is a table of numbers, or a record has no place.
        TargetError: the base cannot be loaded.
    """
    require_text(store)
    sisa.check(store, seed=seed)
    trainer: Any = sisa.trainer
    trainer.frozen()


def require_text(store: Store) -> None:
    """Raise unless a store holds records of text.

    Raises:
        ConfigError: it is a table of numbers.
    """
    if isinstance(store, Table):
        raise ConfigError(
            "a language model is trained on text", why="the data is a table of numbers", next="Give records of text"
        )


def ordered(manifests: Sequence[ShardManifest], orders: int) -> tuple[ShardManifest, ...]:
    """Each shard as several parts that differ in the order of its slices: order b of shard k has the number k B + b.

    Args:
        manifests: of the shards.
        orders: B.

    >>> held = [ShardManifest(0, (("a",), ("b",)), (4, 3))]
    >>> [(m.shard, m.slices) for m in ordered(held, 2)]
    [(0, (('a',), ('b',))), (1, (('b',), ('a',)))]
    """
    return tuple(
        replace(m, shard=m.shard * orders + number, slices=tuple(m.slices[part] for part in order))
        for m in manifests
        for number, order in enumerate(orders_of(len(m.slices), orders))
    )


def train_parts(
    sisa: SISA,
    store: Store,
    *,
    answers: str,
    statement: str,
    orders: int = 1,
    seed: int,
    stage: str,
    workdir: Path | None,
    pool: Pool | None,
) -> PartsLM:
    """Train all parts; killed, the same call on the same ``workdir`` goes on after the last checkpoint.

    Args:
        sisa: trainer, partition and epochs.
        store: of examples.
        answers: how the parts answer, as the target's card says it.
        statement: what the base was trained on, in the words of whoever trains.
        orders: B, of each shard's slices.
        seed: of the whole run.
        stage: name for progress reports.
        workdir: the target stays in a folder below it; without one, in a folder that goes when the target does.
        pool: where parts are trained; None for this process.

    Raises:
        ConfigError: there is no record, or one has no place.
        ExpungeError: what the trainer raises.
    """
    started = time.perf_counter()
    manifests = ordered(sisa.manifests(store, seed=seed), orders)
    # Who repeats a run of which nothing is left has no record, and no place either.
    if sisa.places != {} and not any(manifest.ids for manifest in manifests):
        raise ConfigError("there is no record to train on", next="Give a store that holds some")
    sizes = {"shards": len(manifests), "slices": sisa.slices}
    card = card_of(sisa.trainer, seed=seed, salt=sisa.salt, vote=answers, partition=sisa.partition, **sizes)
    card |= {"loader": LOADER, "statement": statement, "orders": orders}
    with place_for(workdir, FOLDER) as place:
        parts = build(place.path, store, manifests, card, pool=pool, stage=stage)
        place.goes_with(parts)
    target = PartsLM(parts)
    tell(seconds=time.perf_counter() - started, steps=0, tokens=target.tokens())
    return target


def recipe_digest(sisa: SISA, **more: Any) -> str:
    """Digest of all but the salt.

    Args:
        sisa: trainer, partition and epochs.
        more: what the recipe has beside it.
    """
    return digest([sisa.digest(), more])
