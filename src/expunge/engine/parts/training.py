"""Train one shard slice by slice, a checkpoint after each. Source: arXiv 1912.03817, shards and slices.

A checkpoint is named by its *lineage*: a digest over trainer, seed, and every row and epoch of slices 0, 1, .. r.
It is used again if and only if that is what is wanted now. So a deleted row, wherever in its slice it stood, leaves no
checkpoint from its slice on that could be taken for the right one, and a killed run goes on after its last good slice.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest, digest_folder, read_json
from expunge.core.errors import StoreError
from expunge.core.files import replace_folder, sweep, write_json
from expunge.core.progress import report
from expunge.core.seeds import derive
from expunge.engine.parts.rows import Rows, digest_of, joined, load_rows
from expunge.engine.parts.trainer import trainer_of
from expunge.execution.map import map
from expunge.execution.pool import Pool
from expunge.targets.shard_manifest import MADE, MODEL, ShardManifest, checkpoint_folder, rows_folder, shard_folder

VERSIONED = ("numpy", "scikit-learn", "torch", "transformers")


def lineage(manifest: ShardManifest, *, trainer: str, seed: int) -> tuple[str, ...]:
    """What each checkpoint of a shard is made of: l_r = digest(l_(r-1), r, e_r, digest of every row of slice r).

    Args:
        manifest: with the digests of its slices.
        trainer: digest of the trainer.
        seed: of the run.

    Returns:
        One digest a slice. It changes with any row of its slice or of one before, and with none after.
    """
    found: list[str] = []
    last = digest([trainer, seed, manifest.shard])
    for part, (epochs, rows) in enumerate(zip(manifest.epochs, manifest.digests, strict=True)):
        last = digest([last, part, epochs, rows])
        found.append(last)
    return tuple(found)


def last_good(folder: Path, lines: Sequence[str]) -> int:
    """The latest slice whose checkpoint is made of what is wanted and has the bytes that were written; -1 for none."""
    for part in reversed(range(len(lines))):
        made = checkpoint_folder(folder, part)
        card = read_json(made / MADE) if (made / MADE).exists() else {}
        if card.get("lineage") == lines[part] and card.get("weights") == digest_folder(made / MODEL):
            return part
    return -1


def trained(item: Mapping[str, Any]) -> dict[str, int]:
    """Train a shard from its last good slice on. It runs in a worker: JSON in, JSON out.

    Args:
        item: ``root``, folder of the target; ``shard``; ``trainer`` as ``told`` gives it; ``seed``; ``salt``.

    Returns:
        ``first``, the slice that was trained first, and ``point_epochs``, rows times epochs.

    Raises:
        StoreError: rows on file are not those of the manifest.
        ExpungeError: what the trainer raises.
    """
    folder, seed = shard_folder(Path(item["root"]), item["shard"]), item["seed"]
    manifest, trainer = ShardManifest.read(folder), trainer_of(item["trainer"])
    with _one_thread() if item.get("here") else contextlib.nullcontext():
        lines = lineage(manifest, trainer=trainer.digest(), seed=seed)
        first = last_good(folder, lines) + 1
        parts = (
            [_rows(folder, manifest, part, item["salt"]) for part in range(len(lines))] if first < len(lines) else []
        )
        model = trainer.start(seed=derive(seed, "shard", manifest.shard, "start")) if first == 0 else None
        for part in range(first, len(lines)):
            # Read back even what was just made: a run that goes on and one that was killed then do the same.
            model = trainer.load(checkpoint_folder(folder, part - 1) / MODEL) if part else model
            rows, work = joined(parts[: part + 1]), folder / ".work" / f"{part:04d}"
            if len(rows):
                names = ("shard", manifest.shard, "slice", part)
                model = trainer.train(model, rows, epochs=manifest.epochs[part], seed=seed, names=names, workdir=work)
            with replace_folder(checkpoint_folder(folder, part)) as fresh:
                (fresh / MODEL).mkdir()
                trainer.save(model, fresh / MODEL)
                made = {"lineage": lines[part], "weights": digest_folder(fresh / MODEL), "rows": len(rows)}
                write_json(fresh / MADE, {**made, **environment(here=bool(item.get("here")))})
            shutil.rmtree(folder / ".work", ignore_errors=True)
    return {"first": first, "point_epochs": manifest.point_epochs(first)}


def _rows(folder: Path, manifest: ShardManifest, part: int, salt: str) -> Rows:
    rows = load_rows(rows_folder(folder, part))
    if digest_of(rows, salt=salt) != manifest.digests[part]:
        raise StoreError(
            f"the rows of slice {part} of shard {manifest.shard} are not those of its manifest",
            why="their digest is another",
            next="Restore the folder, or train the model again",
        )
    return rows


def environment(*, here: bool) -> dict[str, Any]:
    """What besides rows, settings and seed may decide the bytes of a checkpoint: threads and versions."""
    held = {name: importlib.metadata.version(name) for name in VERSIONED if importlib.util.find_spec(_module(name))}
    return {"threads": "1" if here else os.environ.get("OMP_NUM_THREADS", ""), "versions": held}


def _module(distribution: str) -> str:
    return {"scikit-learn": "sklearn"}.get(distribution, distribution)


@contextlib.contextmanager
def _one_thread() -> Generator[None]:
    """One thread, as a worker of ``Pool()`` has."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    with contextlib.ExitStack() as stack:
        if importlib.util.find_spec("threadpoolctl"):
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(1))
        if torch and before != 1:
            torch.set_num_threads(1)
            stack.callback(torch.set_num_threads, before)
        yield


def train_shards(
    root: Path, shards: Sequence[int], card: Mapping[str, Any], *, pool: Pool | None, stage: str
) -> list[dict[str, int]]:
    """Train shards of a target in a folder, each from its last good slice on.

    Args:
        root: folder of the target.
        shards: numbers of those that are to be trained.
        card: of the target: ``trainer``, ``seed`` and ``salt``.
        pool: where they are trained; None for this process, at one thread. Neither changes a byte.
        stage: name for progress reports.

    Returns:
        What ``trained`` says of each.

    Raises:
        WorkerLost: the workers of a shard kept dying; the same call continues.
    """
    sweep(root)
    shared = {"root": str(root.resolve()), **{name: card[name] for name in ("trainer", "seed", "salt")}}
    items = [{**shared, "shard": shard} for shard in shards]
    names = [f"shard {shard}" for shard in shards]
    if pool is not None:
        return map(trained, items, pool=pool, names=names, stage=stage)
    done: list[dict[str, int]] = []
    for item, name in zip(items, names, strict=True):
        report(stage, len(done), len(items), name)
        done.append(trained({**item, "here": True}))
    report(stage, len(done), len(items))
    return done
