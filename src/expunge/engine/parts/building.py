"""Sharded targets in a folder: laid out, trained, deleted from, opened. Source: arXiv 1912.03817, SISA.

A folder is a target once ``target.json`` is there, which is written last. All before it can be done again: what is
already as it should be is kept, so that the same call continues a killed one.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import TargetError
from expunge.core.files import delete, replace_folder, write_json
from expunge.engine.parts.plan import Plan
from expunge.engine.parts.rows import digest_of, load_rows, rows_of, save_rows
from expunge.engine.parts.trainer import Trainer, told, trainer_of
from expunge.engine.parts.training import train_shards
from expunge.execution.pool import Pool
from expunge.targets.based import require_base
from expunge.targets.shard_manifest import MADE, NAME, ROWS, ShardManifest, checkpoint_folder, rows_folder, shard_folder
from expunge.targets.sharded import CARD, Sharded, link_tree

LOADER = "sharded"


def card_of(
    trainer: Trainer, *, seed: int, salt: str, vote: str, partition: str, shards: int, slices: int
) -> dict[str, Any]:
    """What ``target.json`` says of a target, its digest apart."""
    sizes = {"shards": shards, "slices": slices}
    made = {"trainer": told(trainer), "seed": seed, "salt": salt, "vote": vote, "partition": partition}
    return {"kind": trainer.kind, "loader": LOADER, **made, **sizes}


def build(
    folder: Path, store: Any, manifests: Sequence[ShardManifest], card: dict[str, Any], *, pool: Pool | None, stage: str
) -> Sharded:
    """Train all shards from the start, or go on with what was done of it.

    Args:
        folder: of the target.
        store: has the rows.
        manifests: of all shards; their digests are taken here.
        card: of ``card_of``.
        pool: where shards are trained; None for this process.
        stage: name for progress reports.

    Raises:
        StoreError: a row is not in the store.
        ExpungeError: what the trainer raises.
    """
    _open(folder, card)
    for manifest in manifests:
        parts = [rows_of(store, ids) for ids in manifest.slices]
        digests = tuple(digest_of(rows, salt=card["salt"]) for rows in parts)
        place = shard_folder(folder, manifest.shard)
        whole = ShardManifest(manifest.shard, manifest.slices, manifest.epochs, digests)
        if not _as_wanted(place, whole):
            with replace_folder(place) as fresh:
                for part, rows in enumerate(parts):
                    _put(rows, rows_folder(fresh, part))
                whole.write(fresh)
    train_shards(folder, range(card["shards"]), card, pool=pool, stage=stage)
    return _close(folder, card)


def build_without(target: Sharded, plan: Plan, folder: Path, *, pool: Pool | None, stage: str) -> Sharded:
    """The target without some records, in another folder; the given one stays as it is.

    Shards without a deleted record are linked, as are the rows and checkpoints of slices before the first deleted one.

    Args:
        target: to delete from.
        plan: of the deletion.
        folder: of the new target; what an interrupted call left in it is gone on with.
        pool: where shards are trained; None for this process.
        stage: name for progress reports.

    Raises:
        StoreError: the rows on file are not those of the manifests.
        ExpungeError: what the trainer raises.
    """
    card = {name: value for name, value in target.card.items() if name != "digest"}
    _open(folder, card)
    hit = {part.shard: part for part in plan.shards}
    for old in target.manifests:
        source, place = shard_folder(target.folder, old.shard), shard_folder(folder, old.shard)
        if old.shard in hit:
            _lay_without(source, place, old, hit[old.shard].kept, hit[old.shard].first, card)
        elif not _as_wanted(place, old):
            with replace_folder(place) as fresh:
                link_tree(source, fresh)
    train_shards(folder, sorted(hit), card, pool=pool, stage=stage)
    return _close(folder, card)


def build_again(target: Sharded, folder: Path, *, pool: Pool | None = None, stage: str = "replaying") -> Sharded:
    """Train a target anew from its rows and manifests alone, with none of its checkpoints: what an audit compares with.

    Raises:
        StoreError: the rows on file are not those of the manifests.
        ExpungeError: what the trainer raises.
    """
    card = {name: value for name, value in target.card.items() if name != "digest"}
    _open(folder, card)
    for manifest in target.manifests:
        place = shard_folder(folder, manifest.shard)
        if not _as_wanted(place, manifest):
            with replace_folder(place) as fresh:
                link_tree(shard_folder(target.folder, manifest.shard) / ROWS, fresh / ROWS)
                manifest.write(fresh)
    train_shards(folder, range(card["shards"]), card, pool=pool, stage=stage)
    return _close(folder, card)


def environments(target: Any) -> list[dict[str, Any]]:
    """Threads and versions under which the checkpoints of a target were made; one entry where they were the same.

    Args:
        target: with ``folder`` and ``manifests``.
    """
    found: list[dict[str, Any]] = []
    for manifest in target.manifests:
        for part in range(len(manifest.slices)):
            made = read_json(checkpoint_folder(shard_folder(target.folder, manifest.shard), part) / MADE)
            told = {name: made[name] for name in ("threads", "versions")}
            found += [told] if told not in found else []
    return found


def load_sharded(folder: Path) -> Sharded:
    """Open a target that was built or saved.

    Raises:
        TargetError: there is none, it is unfinished, its base is gone, or it changed since it was made.
        UnknownName: no trainer has the name that it states.
    """
    if not (folder / CARD).is_file():
        raise TargetError(
            f"no target in {folder}", why=f"there is no {CARD}", next="Run the command that made it again"
        )
    card = read_json(folder / CARD)
    if card.get("loader") != LOADER:
        raise TargetError(f"{folder} holds no model of parts", why=f"it is a {card.get('kind')}")
    trainer: Any = trainer_of(card["trainer"])
    require_base(getattr(trainer, "base", None), f"the model in {folder}")
    target = Sharded(folder, trainer, card)
    if target.digest() != card["digest"]:
        raise TargetError(f"the model in {folder} changed since it was saved", why="its digest differs from its card's")
    return target


def _open(folder: Path, card: dict[str, Any]) -> None:
    """Make the folder no target until it is finished, and take out shards that the new one has not."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CARD).exists():
        delete(folder / CARD)
    known = {shard_folder(folder, shard) for shard in range(card["shards"])}
    for stray in (folder / "shards").iterdir() if (folder / "shards").is_dir() else ():
        if stray not in known:
            shutil.rmtree(stray)


def _close(folder: Path, card: dict[str, Any]) -> Sharded:
    target = Sharded(folder, trainer_of(card["trainer"]), card)
    target.card["digest"] = target.digest()
    write_json(folder / CARD, target.card)
    return target


def _as_wanted(place: Path, manifest: ShardManifest) -> bool:
    return (place / NAME).exists() and ShardManifest.read(place) == manifest


def _put(rows: Any, folder: Path) -> None:
    folder.mkdir(parents=True)
    save_rows(rows, folder)


def _lay_without(
    source: Path, place: Path, old: ShardManifest, kept: ShardManifest, first: int, card: dict[str, Any]
) -> None:
    """Lay out a shard that records leave: rows without them, and the checkpoints that never saw them."""
    digests, parts = list(old.digests), {}
    for part, (before, after) in enumerate(zip(old.slices, kept.slices, strict=True)):
        if before != after:
            parts[part] = rows_of(load_rows(rows_folder(source, part)), after)
            digests[part] = digest_of(parts[part], salt=card["salt"])
    whole = ShardManifest(kept.shard, kept.slices, kept.epochs, tuple(digests))
    if _as_wanted(place, whole):
        return
    with replace_folder(place) as fresh:
        for part in range(len(whole.slices)):
            if part in parts:
                _put(parts[part], rows_folder(fresh, part))
            else:
                link_tree(rows_folder(source, part), rows_folder(fresh, part))
        for part in range(first):
            link_tree(checkpoint_folder(source, part), checkpoint_folder(fresh, part))
        whole.write(fresh)
