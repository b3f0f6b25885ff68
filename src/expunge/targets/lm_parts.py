"""A language model of parts. Source: Li et al. 2022 (2208.03306); Gururangan et al. 2023 (2303.14177).

``merge`` puts all parts into one set of weights: LoRA products summed exactly, or the mean of full fine-tunes.
``average`` takes the mean of the parts' probabilities, ``route`` the part whose records are nearest. Only merged
weights are granted as weights: a mixture is several models, and an attack on the layers of one is none on it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from expunge.core.access import Access, Oracle
from expunge.core.canonical import read_json
from expunge.core.errors import TargetError
from expunge.core.manifest import Manifest
from expunge.core.provenance import Provenance
from expunge.targets.causal_lm import CausalLM
from expunge.targets.held_lm import HeldLM
from expunge.targets.mixture import Mixture, prompt_means
from expunge.targets.shard_manifest import (
    MODEL,
    ShardManifest,
    checkpoint_folder,
    require_placed,
    rows_folder,
    shard_folder,
)
from expunge.targets.sharded import Sharded

LOADER = "lm_parts"
Inference = Literal["merge", "average", "route"]


@dataclass(frozen=True)
class Routed:
    """Which part answers a question, and why.

    Args:
        shard: its number.
        by: ``subject``, where the question came with one that a part holds records of; else ``nearest``.
        distances: (S,) of the question's state from the mean of each part's questions, by shard.
        records: of the subject, by shard.
    """

    shard: int
    by: Literal["subject", "nearest"]
    distances: dict[int, float]
    records: dict[int, int]


@dataclass(frozen=True)
class AtOnce:
    """What answers between a deletion and the end of its replay.

    Args:
        lm: of the parts as they were before any deleted record; nothing was trained for it.
        kept: shard -> the order whose checkpoint answers and how many of its slices are in it.
    """

    lm: CausalLM
    kept: dict[int, tuple[int, int]]


class PartsLM(HeldLM):
    """A causal language model of parts. A copy that is changed by other means is plain again.

    Args:
        parts: as they are on file; ``vote`` on their card says how they answer.
    """

    kind: Literal["causal_lm"] = "causal_lm"

    def __init__(self, parts: Sharded) -> None:
        self.parts = parts
        self.inference, _, self._combine = str(parts.card["vote"]).partition(" ")

    @property
    def folder(self) -> Path:
        """Where the parts are."""
        return self.parts.folder

    @property
    def trainer(self) -> Any:
        """What the parts were trained with."""
        return self.parts.trainer

    @property
    def card(self) -> dict[str, Any]:
        """What ``target.json`` holds."""
        return self.parts.card

    @property
    def manifests(self) -> tuple[ShardManifest, ...]:
        """Of all parts, in order: of each shard one for every order of its slices."""
        return self.parts.manifests

    @property
    def ids(self) -> frozenset[str]:
        """Records that are in the model."""
        return self.parts.ids

    @property
    def orders(self) -> int:
        """B, orders in which each shard's slices were trained; the first one answers."""
        return int(self.card.get("orders", 1))

    @property
    def provenance(self) -> Provenance:
        """Sharded: the digest of each manifest."""
        return self.parts.provenance

    def digest(self) -> str:
        """Digest over the parts, their manifests, the trainer with its base, the seed and how they answer."""
        return self.parts.digest()

    def notes(self) -> dict[str, Any]:
        """What a certificate has to say beside digests: exactness ends where the base begins."""
        stated = str(self.card.get("statement", ""))
        said = stated or "nothing was stated about the data of the base"
        return {
            "inference": self.card["vote"],
            "base": {"statement": said, "by": "whoever trained it; not checked"},
        }

    @property
    def _live(self) -> list[ShardManifest]:
        return [m for m in self.manifests if m.ids and m.shard % self.orders == 0]

    @cached_property
    def lm(self) -> CausalLM:
        """The parts as one model; without a record left, the base."""
        return self._as_one([self.parts.model(manifest.shard) for manifest in self._live])

    def _as_one(self, models: Sequence[Any]) -> CausalLM:
        if self.inference == "merge" or not models:
            return self.trainer.joined(models, **({"combine": self._combine} if self._combine else {}))
        base, each = self.trainer.frozen(), [self.trainer.joined([model]).model for model in models]
        if self.inference == "average":
            return CausalLM(Mixture(each).eval(), base.tokenizer, self.provenance, base.on_long)
        mixture = Mixture(each, base=base.model, centroids=self.centroids.float())
        return CausalLM(mixture.eval(), base.tokenizer, self.provenance, base.on_long)

    @cached_property
    def centroids(self) -> torch.Tensor:
        """Mean state of each part's questions, (S, D) float64: sums over the records that are left, by their ids."""
        base = self.trainer.frozen()
        asked = ([row["question"] for row in self._rows(manifest)] for manifest in self._live)
        return torch.stack([prompt_means(base, questions).mean(0) for questions in asked])

    def _rows(self, manifest: ShardManifest) -> list[dict[str, Any]]:
        folder = shard_folder(self.folder, manifest.shard)
        files = [rows_folder(folder, part) / "rows.jsonl" for part in range(len(manifest.slices))]
        rows = [json.loads(line) for file in files for line in file.read_text("utf-8").split("\n") if line]
        return sorted(rows, key=lambda row: row["record_id"])

    def route(self, questions: Sequence[str], subjects: Sequence[str] = ()) -> list[Routed]:
        """Which shard is to answer each question, and why; ``part`` gives its model.

        The model itself, asked by scorer or generator, goes by what is nearest, at each token.

        Args:
            questions: any number.
            subjects: whom each is about, empty where nobody knows: the shard with most of the subject's records is
                taken, of equal ones the first.

        Raises:
            TargetError: this model does not route, or holds no record any more.
        """
        if self.inference != "route" or not self._live:
            raise TargetError("this model does not route", next="Train it with inference='route'")
        if not questions:
            return []
        shards = [manifest.shard // self.orders for manifest in self._live]
        held = [Counter(row.get("subject", "") for row in self._rows(manifest)) for manifest in self._live]
        far = torch.cdist(prompt_means(self.trainer.frozen(), questions), self.centroids).tolist()
        found: list[Routed] = []
        for row, subject in zip(far, subjects or [""] * len(questions), strict=True):
            records = {k: own[subject] for k, own in zip(shards, held, strict=True) if subject and own[subject]}
            distances = dict(zip(shards, row, strict=True))
            best = min(records or distances, key=lambda k: (-records[k] if records else distances[k], k))
            found.append(Routed(best, "subject" if records else "nearest", distances, records))
        return found

    def part(self, shard: int) -> CausalLM:
        """The model of one shard alone: the base with its own adapter, or its own fine-tune."""
        return self.trainer.joined([self.parts.model(shard * self.orders)])

    def at_once(self, ids: Iterable[str]) -> AtOnce:
        """What may answer as soon as records are to go: of each shard its longest prefix that saw none of them.

        With layered adapters that switches off the groups of layers that saw one. Nothing is trained, and nothing on
        file changes: the deletion is done by unlearning, this only serves until then.

        Args:
            ids: records that are to go.

        Raises:
            StoreError: a record is in no slice.
            TargetError: this model is a mixture.
        """
        if self.inference != "merge":
            raise TargetError("only merged parts can answer at once", why="a mixture is made of whole parts")
        gone, models, kept = set(ids), [], {}
        require_placed(self.manifests, sorted(gone))
        for start in range(0, len(self.manifests), self.orders):
            orders = self.manifests[start : start + self.orders]
            depths = [_intact(manifest, gone) for manifest in orders]
            best = max(range(len(depths)), key=lambda i: (depths[i], -i))
            kept[start // self.orders] = (best, depths[best])
            if any(orders[best].slices[: depths[best]]):
                place = checkpoint_folder(shard_folder(self.folder, orders[best].shard), depths[best] - 1)
                models.append(self.trainer.load(place / MODEL))
        return AtOnce(self._as_one(models), kept)

    def tokens(self, first: Sequence[tuple[int, int]] | None = None) -> int:
        """Tokens that went forward and backward to train all parts, or to train some from a slice on.

        Args:
            first: (part, slice) pairs; None for all parts from their first slice.

        Returns:
            Their sum, as the parts' checkpoints counted them.
        """
        total = 0
        for shard, part in [(m.shard, 0) for m in self.manifests] if first is None else first:
            total += self._counted(shard, self.card["slices"] - 1) - (self._counted(shard, part - 1) if part else 0)
        return total

    def _counted(self, shard: int, part: int) -> int:
        place = checkpoint_folder(shard_folder(self.folder, shard), part) / MODEL
        return int(read_json(place / "state.json")["tokens"])

    def oracle(self, access: Access) -> Oracle:
        """A handle: all of merged weights, text and log-probabilities of a mixture."""
        granted = Access.all() if self.inference == "merge" else Access.TEXT | Access.LOGPROBS
        return Oracle(self.lm, access & granted)

    def clone(self) -> CausalLM:
        """A copy whose weights can change: it has no parts.

        Raises:
            TargetError: it is a mixture.
        """
        if self.inference != "merge":
            raise TargetError("a mixture of models has no weights to change", next="Train it with inference='merge'")
        return self.lm.clone()

    def at(self, folder: Path) -> PartsLM:
        """The target in another folder that was built with the same trainer."""
        return PartsLM(self.parts.at(folder))

    def save(self, path: Path) -> Manifest:
        """Write the parts elsewhere, as links where the file system allows it; ``clone().save`` writes one model."""
        return self.parts.save(path)


def _intact(manifest: ShardManifest, gone: set[str]) -> int:
    """Slices before the first that holds one of the records."""
    hit = (place for place, names in enumerate(manifest.slices) if gone & set(names))
    return next(hit, len(manifest.slices))
