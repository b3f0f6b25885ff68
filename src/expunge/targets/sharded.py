"""A model of parts, each trained on its own shard of the records, in a folder. Source: arXiv 1912.03817, SISA."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expunge.core import provenance as kinds
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest, digest_folder, read_json
from expunge.core.errors import TargetError
from expunge.core.files import replace_folder
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Provenance
from expunge.ops.votes import shares, votes_cast
from expunge.targets.shard_manifest import MODEL, ShardManifest, checkpoint_folder, shard_folder

CARD = "target.json"
Vote = Literal["majority", "mean", "weighted"]
"""``majority``: a vote each. ``mean``: of outputs. ``weighted``: of outputs, by the rows that a part has now.
Numbers are always averaged."""


@dataclass(frozen=True)
class Answer:
    """What one part said of a row.

    Args:
        shard: its number.
        says: label that it finds likeliest, or its value.
        outputs: (K) its numbers.
        weight: of its voice among the parts, summing to 1.
        agrees: whether it said what was answered.
    """

    shard: int
    says: Any
    outputs: tuple[float, ...]
    weight: float
    agrees: bool


@dataclass(frozen=True)
class Explained:
    """How the answer for a row came about.

    Args:
        answer: label or value.
        shares: (K) of each class after the vote.
        margin: share of the answer above the next class; 0 for a tie, which the lowest class wins.
        parts: what each part said.
        silent: shards that say nothing: without a record left, or with too few for their trainer.
    """

    answer: Any
    shares: tuple[float, ...]
    margin: float
    parts: tuple[Answer, ...]
    silent: tuple[int, ...]


class Sharded:
    """Parts in a folder, loaded when they are first asked.

    Args:
        folder: with ``target.json`` and ``shards``.
        trainer: what the parts were trained with, for ``load`` and ``outputs``.
        card: what ``target.json`` holds; read where it is not given.
    """

    def __init__(self, folder: Path, trainer: Any, card: Mapping[str, Any] | None = None) -> None:
        self.folder, self.trainer = Path(folder), trainer
        self.card = dict(card or read_json(self.folder / CARD))
        self._models: dict[int, Any] = {}

    @property
    def kind(self) -> Any:
        """What the parts are."""
        return self.trainer.kind

    @cached_property
    def manifests(self) -> tuple[ShardManifest, ...]:
        """Of all shards, in order."""
        return tuple(ShardManifest.read(shard_folder(self.folder, k)) for k in range(self.card["shards"]))

    @property
    def ids(self) -> frozenset[str]:
        """Records that are in the model."""
        return frozenset(name for manifest in self.manifests for name in manifest.ids)

    @property
    def provenance(self) -> Provenance:
        """Sharded: the digest of each manifest, over every row through salted digests."""
        return kinds.Sharded(tuple(manifest.digest() for manifest in self.manifests), self.card["slices"])

    def model_folder(self, shard: int) -> Path:
        """Where a part's last checkpoint holds the model."""
        return checkpoint_folder(shard_folder(self.folder, shard), self.card["slices"] - 1) / MODEL

    @cached_property
    def weights(self) -> tuple[str, ...]:
        """SHA-256 over the bytes of each part as it answers now: weights, optimiser, counters."""
        return tuple(digest_folder(self.model_folder(manifest.shard)) for manifest in self.manifests)

    def digest(self) -> str:
        """Digest over the weights, the manifests, the trainer, the seed and the vote; not over the folder's place."""
        body = {name: self.card[name] for name in ("seed", "vote", "slices")}
        made = [manifest.digest() for manifest in self.manifests]
        return digest({**body, "trainer": self.trainer.digest(), "manifests": made, "weights": self.weights})

    def model(self, shard: int) -> Any:
        """The part of a shard, as its trainer loads it."""
        if shard not in self._models:
            self._models[shard] = self.trainer.load(self.model_folder(shard))
        return self._models[shard]

    def why_silent(self, shard: int) -> str:
        """Why a part with records does not vote, as where they are too few to train it; empty where it does."""
        told = getattr(self.trainer, "silent", None)
        return told(self.model(shard)) if told else ""

    def outputs(self, inputs: Any) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """What the parts say: outputs (S, n, K), weights (S) and their shards; the silent ones are left out.

        Args:
            inputs: X (n, d), or examples.

        Raises:
            TargetError: no part has a record left, or all are silent.
        """
        held = [manifest for manifest in self.manifests if manifest.ids]
        if not held:
            raise TargetError("this model holds no record any more", why="all were deleted", next="Train it again")
        live = [manifest for manifest in held if not self.why_silent(manifest.shard)]
        if not live:
            why = f"of part {held[0].shard}: {self.why_silent(held[0].shard)}"
            raise TargetError("no part of this model can answer", why=why, next="Train it on more rows")
        said = np.stack([self.trainer.outputs(self.model(manifest.shard), inputs) for manifest in live])
        even = self.card["vote"] != "weighted"
        weights = np.array([1.0 if even else len(manifest.ids) for manifest in live])
        return said, weights, [manifest.shard for manifest in live]

    @property
    def _classes(self) -> tuple[Any, ...]:
        return tuple(getattr(self.trainer, "classes", ()))

    def predict_proba(self, inputs: Any) -> np.ndarray:
        """Shares (n, K): of votes for ``majority``, else the mean of the parts' outputs.

        Args:
            inputs: X (n, d), or examples.

        Raises:
            TargetError: no part has a record left, all are silent, or the parts predict numbers.
        """
        if not self._classes:
            raise TargetError("parts that predict numbers have no probabilities", next="Use predict")
        said, weights, _ = self.outputs(inputs)
        return self._voted(said, weights)

    def _voted(self, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return shares(votes_cast(said) if self.card["vote"] == "majority" and self._classes else said, weights)

    def predict(self, inputs: Any) -> np.ndarray:
        """Labels (n), of equal shares the lowest class; or values (n) or (n, m).

        Args:
            inputs: X (n, d), or examples.

        Raises:
            TargetError: no part has a record left, or all are silent.
        """
        said, weights, _ = self.outputs(inputs)
        return self._named(self._voted(said, weights))

    def _named(self, told: np.ndarray) -> np.ndarray:
        if self._classes:
            return np.asarray(self._classes)[told.argmax(axis=1)]
        return told[:, 0] if told.shape[1] == 1 else told

    def explain(self, inputs: Any) -> list[Explained]:
        """Which part answered what, and how that came to the answer, for each row.

        Args:
            inputs: X (n, d), or examples.

        Raises:
            TargetError: no part has a record left, or all are silent.
        """
        said, weights, shards = self.outputs(inputs)
        together, voices = self._voted(said, weights), weights / weights.sum()
        answers, single = self._named(together), [self._named(part) for part in said]
        silent = tuple(manifest.shard for manifest in self.manifests if manifest.shard not in shards)
        found: list[Explained] = []
        for row, answer in enumerate(answers):
            parts = tuple(
                Answer(
                    shard,
                    _plain(own[row]),
                    tuple(said[at, row].tolist()),
                    float(voices[at]),
                    bool(np.all(own[row] == answer)),
                )
                for at, (shard, own) in enumerate(zip(shards, single, strict=True))
            )
            ordered = np.sort(together[row])
            margin = float(ordered[-1] - ordered[-2]) if self._classes else 0.0
            found.append(Explained(_plain(answer), tuple(together[row].tolist()), margin, parts, silent))
        return found

    def oracle(self, access: Access) -> Oracle:
        """A handle that grants the weights."""
        return Oracle(self, access & Access.WEIGHTS)

    def at(self, folder: Path) -> Sharded:
        """The target in another folder that was built with the same trainer."""
        return Sharded(folder, self.trainer)

    def save(self, path: Path) -> Manifest:
        """Write the folder elsewhere: links to the same bytes where the file system allows it, else copies.

        Nothing ever writes into a file of a target; each is replaced whole, so that a linked one stays as it was.
        """
        place = Path(path)
        if place.resolve() != self.folder.resolve():
            with replace_folder(place) as fresh:
                link_tree(self.folder, fresh)
        files = sorted(p for p in place.rglob("*") if p.is_file())
        return Manifest(tuple(entry(place, p, personal=True) for p in files))


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def link_tree(source: Path, place: Path) -> None:
    """Fill a folder with links to the files below another, or with copies where there can be no links."""
    for path in sorted(source.rglob("*")):
        goal = place / path.relative_to(source)
        if path.is_dir():
            goal.mkdir(parents=True, exist_ok=True)
            continue
        goal.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, goal)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            shutil.copy2(path, goal)
