"""SISA that says labels only, by a noisy vote of its parts. Source: Gupta et al., arXiv 2106.04378.

Who sees what parts fit can ask for the deletion of just that, and what is left then differs from a model trained anew,
although each deletion is exact. Published votes that are private in the placement of records bound by how much.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from expunge.accounting.given import probability
from expunge.core.canonical import digest, read_json
from expunge.core.counting import tell
from expunge.core.errors import ConfigError
from expunge.core.files import write_bytes
from expunge.core.protocols import Store
from expunge.core.record import record
from expunge.data.table import Table
from expunge.engine.parts.building import build, card_of
from expunge.engine.parts.folder import place_for
from expunge.engine.parts.rows import subjects_of
from expunge.engine.parts.voting import apart
from expunge.engine.recipes.sisa import SISA
from expunge.execution.pool import Pool
from expunge.targets.shard_manifest import ShardManifest
from expunge.targets.voted.count import BEFORE, AnswerCount
from expunge.targets.voted.model import PARTS, Voted, Votes

FOLDER, KEY = "voted", "key.json"


@record
class AdaptiveSISA:
    """Train parts as SISA does, from a secret key of the operating system, and publish noisy votes of them.

    Args:
        sisa: the parts: trainer, shards, slices, epochs; by majority, placed by a hash, without a salt.
        epsilon: nats, of one answer, where as many votes change as one coordinate of the placement reaches.
        answers: most that may ever be given; each row that is asked is one.
        delta: probability, of the statement about all answers.
        share: probability by which a record is in a shard, in each by itself: in several, or in none. None: each record
            is in one shard. Apart, one coordinate reaches one vote, and there are as many as shards: with a hundred
            shards and more, far less is told by an answer.
    """

    sisa: SISA
    epsilon: float
    answers: int
    delta: float = 0.0
    share: float | None = None

    def __post_init__(self) -> None:
        if self.share is not None:
            probability("share", self.share, one=True)
        if (self.sisa.vote, self.sisa.partition, self.sisa.salt) != ("majority", "keyed", ""):
            raise ConfigError(
                "parts that vote in secret are placed by a hash, have one vote each, and no salt that is given",
                next="Leave vote, partition and salt out",
            )
        if not getattr(self.sisa.trainer, "classes", ()):
            raise ConfigError("a vote needs classes", why="the parts predict numbers", next="Name the classes")
        self.votes(1)

    hides_records = True

    @property
    def kind(self) -> str:
        """Of the targets that it makes."""
        return self.sisa.kind

    @property
    def repeats(self) -> bool:
        """Whether a second training comes to the same weights: each draws a key of its own."""
        return False

    def votes(self, records: int) -> Votes:
        """The vote over parts that are trained on so many records.

        Raises:
            ConfigError: a number is out of range.
        """
        shards = self.sisa.shards
        voters, coordinates = (2, records + shards) if self.share is None else (1, shards)
        return Votes(self.epsilon, self.answers, self.delta, shards, voters, coordinates)

    def settings(self) -> dict[str, Any]:
        """All settings as JSON; ``AdaptiveSISA(**settings)`` is the recipe again."""
        numbers = {name: getattr(self, name) for name in ("epsilon", "answers", "delta", "share")}
        return {"sisa": self.sisa.settings(), **numbers}

    def digest(self) -> str:
        """Digest of all settings."""
        return digest({**self.settings(), "sisa": self.sisa.digest(), "recipe": "adaptive_sisa"})

    def manifests(self, store: Store, *, seed: int) -> tuple[ShardManifest, ...]:
        """Which record goes into which shards.

        Args:
            store: only its ids, and its subjects where records go by them, are read.
            seed: secret.
        """
        if self.share is None:
            return self.sisa.manifests(store, seed=seed)
        keys = subjects_of(store) if self.sisa.by == "subject" else {name: name for name in store.ids()}
        more = {"shards": self.sisa.shards, "epochs": self.sisa.slice_epochs}
        return apart(keys, **more, share=self.share, seed=seed)

    def check(self, store: Store, *, seed: int) -> None:
        """Raise what can be known to be wrong before the training is committed to.

        Raises:
            ConfigError: the rows have no labels or subjects, or the trainer cannot start with its settings.
            TargetError: what the trainer names is not there, or is of another kind.
        """
        self.sisa.check(store, seed=seed)

    def train(
        self,
        store: Store,
        *,
        seed: int,
        stage: str = "training",
        workdir: Path | None = None,
        pool: Pool | None = None,
    ) -> Voted:
        """Train all parts. Killed, the same call on the same ``workdir`` goes on after the last checkpoint.

        Args:
            store: a table, or a store of examples.
            seed: noted by whoever trains; placement and parts are drawn from a key that nobody can guess.
            stage: name for progress reports.
            workdir: the target stays in ``voted`` below it; without one, in a folder that goes when the target does.
            pool: where parts are trained; None for this process, at one thread.

        Raises:
            ConfigError: the store has no records, or no subjects where records go by them.
            ExpungeError: what the trainer raises.
        """
        if not (members := frozenset(store.ids())):
            raise ConfigError("there is no record to train on", next="Give a store that holds some")
        started = time.perf_counter()
        with place_for(workdir, FOLDER) as place:
            key = _key_in(place.path)
            manifests = self.manifests(store, seed=key)
            made = {name: getattr(self.sisa, name) for name in ("vote", "partition", "shards", "slices")}
            card = card_of(self.sisa.trainer, seed=key, salt=digest([key, "salt"])[-64:], **made)
            parts = build(place.path / PARTS, store, manifests, card, pool=pool, stage=stage)
            count = AnswerCount.begin(place.path)
            columns = store.X.shape[1] if isinstance(store, Table) else None
            target = Voted(parts, self.votes(len(members)), members, 0, count, columns)
            place.goes_with(parts)
        tell(seconds=time.perf_counter() - started, steps=0, tokens=0)
        return target


def _key_in(folder: Path) -> int:
    """The secret of a training that is gone on with, else a new one: one whose count was handed over is over."""
    path = folder / KEY
    if path.is_file() and not ((folder / BEFORE).is_file() and AnswerCount(folder).handed_to):
        return int(read_json(path)["key"], 16)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    write_bytes(path, json.dumps({"key": secrets.token_hex(32)}).encode(), mode=0o600)
    return int(read_json(path)["key"], 16)


adaptive_sisa = AdaptiveSISA
