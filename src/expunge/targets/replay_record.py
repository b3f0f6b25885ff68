"""What a replayable training leaves in a folder: who was trained on, in which order, and checkpoints along the way."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from expunge.core.canonical import digest, digest_bytes, digest_file, read_json
from expunge.core.errors import StoreError
from expunge.core.example import Example, record_bytes
from expunge.core.files import replace_folder, write_json, write_text
from expunge.core.record import record

CARD, ORDER, CHECKPOINTS = "record.json", "order.jsonl", "checkpoints"
STATE, WEIGHTS, OPTIMIZER = "state.json", "weights.safetensors", "optimizer.safetensors"
TENSORS = "tensors"
"""Field of a checkpoint's state: file -> digest of its bytes."""

Order = tuple[tuple[tuple[str, ...], ...], ...]
"""Record ids of every step of every part."""


@record
class Written:
    """What is written of a training before its first step; the last two fields after its last.

    Args:
        recipe: settings of the recipe as JSON, its steps pinned.
        seed: of the training.
        start: digest of the model before the first step.
        environment: versions, device and threads; with others the same steps give other bytes.
        salt: hex; keeps the commitments from telling who was trained on.
        members: record id -> salted commitment to the record, its role left out: a request may give it another.
        roles: record id -> its role when it was trained on.
        order_log: digest over the salted commitments of all steps.
        checkpoints: their names, in the order of the steps.
        result: digest of the trained target; empty until then.
    """

    recipe: dict[str, Any]
    seed: int
    start: str
    environment: dict[str, str]
    salt: str
    members: dict[str, str]
    roles: dict[str, str]
    order_log: str
    checkpoints: tuple[str, ...] = ()
    result: str = ""


def commitments(examples: Iterable[Example], salt: str) -> dict[str, str]:
    """Record id -> digest of the salt and the record without its role, by id.

    Args:
        examples: whoever is trained on.
        salt: hex.
    """
    key = bytes.fromhex(salt)
    given = sorted(examples, key=lambda e: e.record_id)
    return {e.record_id: digest_bytes(key + record_bytes(e, role="")) for e in given}


def _lines(order: Order, salt: str) -> list[dict[str, Any]]:
    steps = [(part, step, list(ids)) for part, batches in enumerate(order) for step, ids in enumerate(batches)]
    return [{"part": p, "step": s, "ids": ids, "commitment": digest([salt, p, s, ids])} for p, s, ids in steps]


def order_digest(order: Order, salt: str) -> str:
    """Digest over the salted commitments of all steps: it tells nobody who was in which batch."""
    return digest([line["commitment"] for line in _lines(order, salt)])


def salt_of(folder: Path) -> str:
    """The salt of the record in a folder, so that the same training finds itself again; a new one where there is none.

    Raises:
        StoreError: what is there is no record.
    """
    return ReplayRecord.read(folder).written.salt if (folder / CARD).exists() else secrets.token_hex(32)


def link(source: Path, place: Path) -> None:
    """Give a file a second name, or copy it where the file system cannot. Nothing here is ever changed in place."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)


@dataclass(frozen=True)
class ReplayRecord:
    """The folder of one training.

    Args:
        folder: where the card, the order log and the checkpoints are.
        written: the card.
    """

    folder: Path
    written: Written

    @classmethod
    def read(cls, folder: Path) -> ReplayRecord:
        """The record in a folder.

        Raises:
            StoreError: missing or damaged.
        """
        try:
            return cls(folder, TypeAdapter(Written).validate_python(read_json(folder / CARD)))
        except ValidationError as error:
            raise StoreError(
                f"{folder / CARD} is no record of a training", why=str(error).partition("\n")[0]
            ) from error

    @classmethod
    def found(cls, folder: Path, written: Written) -> ReplayRecord | None:
        """The record in a folder, if it is of this very training."""
        if not (folder / CARD).exists():
            return None
        there = cls.read(folder)
        return there if replace(there.written, checkpoints=(), result="") == written else None

    @classmethod
    def begin(cls, folder: Path, written: Written, order: Order) -> ReplayRecord:
        """A new record, in the place of what is there. The order stands on disk before the first step."""
        with replace_folder(folder) as fresh:
            lines = (json.dumps(line, sort_keys=True, ensure_ascii=False) for line in _lines(order, written.salt))
            write_text(fresh / ORDER, "".join(f"{line}\n" for line in lines))
            write_json(fresh / CARD, _plain(written))
        return cls(folder, written)

    def finished(self, result: str) -> ReplayRecord:
        """Note the digest of the trained target and the checkpoints that are there."""
        names = [p.name for p in (self.folder / CHECKPOINTS).glob("part-*") if (p / STATE).exists()]
        written = replace(self.written, result=result, checkpoints=tuple(sorted(names, key=place_of)))
        write_json(self.folder / CARD, _plain(written))
        return replace(self, written=written)

    def order(self) -> Order:
        """Record ids of every step of every part, as logged.

        Raises:
            StoreError: the log is missing, damaged, or not the one that the card commits to.
        """
        parts: dict[int, list[tuple[str, ...]]] = {}
        try:
            for line in (self.folder / ORDER).read_text().splitlines():
                row = json.loads(line)
                parts.setdefault(int(row["part"]), []).append(tuple(row["ids"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"cannot read the order log in {self.folder}", why=str(error)) from error
        found = tuple(tuple(parts.get(part, ())) for part in range(max(parts, default=-1) + 1))
        if order_digest(found, self.written.salt) != self.written.order_log:
            raise StoreError(f"the order log in {self.folder} changed", why="its digest differs from the card's")
        return found

    def checkpoint(self, part: int, step: int) -> Path:
        """Folder of the checkpoint after so many steps of a part."""
        return self.folder / CHECKPOINTS / f"part-{part}-step-{step}"

    def steps_kept(self, part: int) -> list[int]:
        """After which steps of a part there is a checkpoint, sorted."""
        found = (
            place_of(p.name) for p in (self.folder / CHECKPOINTS).glob(f"part-{part}-step-*") if (p / STATE).exists()
        )
        return sorted(step for _, step in found)

    def keep(self, part: int, step: int, source: Path, state: dict[str, Any]) -> None:
        """Take the tensors of another checkpoint into this record, by a second name for the same bytes.

        Args:
            part: which part.
            step: steps taken in it.
            source: folder with the tensors.
            state: JSON that stands beside them here.
        """
        place = self.checkpoint(part, step)
        if (place / STATE).exists():
            return
        with replace_folder(place) as fresh:
            for name in (WEIGHTS, OPTIMIZER):
                if (source / name).exists():
                    link(source / name, fresh / name)
            write_json(fresh / STATE, {**state, TENSORS: _tensors_of(fresh)})

    def keep_weights(self, part: int, step: int, weights: dict[str, Any], state: dict[str, Any]) -> None:
        """Keep the weights after the last step of a part, by parameter name; no optimiser goes on from there."""
        from safetensors.torch import save_file

        with replace_folder(self.checkpoint(part, step)) as fresh:
            save_file(weights, fresh / WEIGHTS)
            write_json(fresh / STATE, {**state, "step": step, TENSORS: _tensors_of(fresh)})

    def sound(self, part: int, step: int) -> Path:
        """Folder of a checkpoint whose tensors are those that were kept.

        Raises:
            StoreError: they changed since.
        """
        place = self.checkpoint(part, step)
        if read_json(place / STATE).get(TENSORS) != _tensors_of(place):
            raise StoreError(
                f"the checkpoint in {place} changed since it was kept",
                why="the digest of its tensors is another",
                next="Restore it, or retrain",
            )
        return place

    def copy_to(self, folder: Path) -> ReplayRecord:
        """The same record in another folder that is not there yet, its tensors by a second name."""
        with replace_folder(folder) as fresh:
            for path in sorted(p for p in self.folder.rglob("*") if p.is_file()):
                place = fresh / path.relative_to(self.folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                link(path, place)
        return replace(self, folder=folder)


def _tensors_of(folder: Path) -> dict[str, str]:
    return {name: digest_file(folder / name) for name in (OPTIMIZER, WEIGHTS) if (folder / name).exists()}


def place_of(name: str) -> tuple[int, int]:
    """Part and step of a checkpoint by its name.

    >>> place_of("part-2-step-150")
    (2, 150)
    """
    _, part, _, step = name.split("-")
    return int(part), int(step)


def _plain(written: Written) -> dict[str, Any]:
    return TypeAdapter(Written).dump_python(written, mode="json")
