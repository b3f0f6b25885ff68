"""A model of parts that says labels only, by a noisy vote. Source: Gupta et al., arXiv 2106.04378."""

from __future__ import annotations

import math
import secrets
import warnings
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from expunge.accounting.adaptive import vote_probabilities, votes_information
from expunge.accounting.composition import Loss
from expunge.accounting.given import count, positive, probability
from expunge.core.access import Access, Oracle
from expunge.core.canonical import digest
from expunge.core.errors import ConfigError, StoreError
from expunge.core.files import replace_folder, write_json
from expunge.core.manifest import Manifest, entry
from expunge.core.provenance import Guarded
from expunge.core.record import record
from expunge.ops.votes import votes_cast
from expunge.targets.sharded import Sharded
from expunge.targets.voted.count import BEFORE, HANDED, SINCE, AnswerCount

CARD, MEMBERS, PARTS, LOADER = "target.json", "members.json", "parts", "voted"
STEEPEST = 60.0
"""Nats between all votes for a class and none, above which an answer is no secret and weights leave doubles."""


@record
class Votes:
    """The vote in numbers.

    Args:
        epsilon: nats, of one answer, where ``voters`` votes change.
        answers: most that may be given in all, before and after deletions; each row that is asked is one.
        delta: probability, of the statement about all answers.
        shards: parts that vote.
        voters: that one coordinate of the internal randomness reaches.
        coordinates: independent ones of the internal randomness.
    """

    epsilon: float
    answers: int
    delta: float
    shards: int
    voters: int
    coordinates: int

    def __post_init__(self) -> None:
        positive("epsilon", self.epsilon)
        probability("delta", self.delta, zero=True)
        for name in ("answers", "shards", "voters", "coordinates"):
            count(name, getattr(self, name), least=1)
        if self.steepness > STEEPEST:
            raise ConfigError(
                f"epsilon {self.epsilon:g} an answer is no noise",
                why=f"{self.shards} votes for a class make it e^{self.steepness:.0f} times as likely as another",
                next="Give a smaller epsilon",
            )

    @property
    def steepness(self) -> float:
        """Nats by which all votes for a class make it likelier than another."""
        return self.epsilon * self.shards / (2 * self.voters)

    def loss(self) -> Loss:
        """(epsilon, delta) of all answers together: what adaptivity adds to an exact deletion; delta is all or none."""
        more = {"voters": self.voters, "shards": self.shards, "coordinates": self.coordinates}
        epsilon, delta = votes_information(self.answers, epsilon=self.epsilon, slack=self.delta, **more)
        return epsilon, self.delta if delta else 0.0


def drawn(counts_NK: np.ndarray, votes: Votes) -> np.ndarray:
    """A class (n,) for each row of counts (n, K), by the exponential mechanism, from the operating system's randomness.

    Chances are doubles; the draw from them is exact, so that rare classes keep theirs.
    """
    p_NK = vote_probabilities(counts_NK, epsilon=votes.epsilon, voters=votes.voters)
    found = np.zeros(len(p_NK), dtype=np.int64)
    for row, p_K in enumerate(p_NK):
        ends = np.cumsum([int(math.ldexp(p, 160)) for p in p_K.tolist()], dtype=object)
        at = secrets.randbelow(ends[-1])
        found[row] = next(k for k, end in enumerate(ends) if at < end)
    return found


@dataclass(frozen=True)
class Voted:
    """Parts behind a noisy vote, with a budget of answers.

    What adaptive requests may depend on is the answers, and these tell little of the placement of records. Whoever has
    the folder has the parts and the placement: it stays with whoever trained.

    Args:
        parts: a model of SISA; each part has one vote.
        votes: the vote.
        members: records that were trained on and not forgotten, whether a part has them or none.
        forgotten: records that were forgotten so far.
        answered: the count, which a version before and after a deletion share until the latter is saved.
        columns: of the rows that may be asked; None where the parts are asked examples.
        token: of the saving that may take the count; drawn where none is given.
    """

    parts: Sharded
    votes: Votes
    members: frozenset[str]
    forgotten: int
    answered: AnswerCount
    columns: int | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    unlisted = (PARTS, MEMBERS, BEFORE, SINCE, HANDED)
    """Files whose digests no certificate states: they show who is in which part, and which parts a deletion changed."""

    @property
    def kind(self) -> Any:
        """What the parts are."""
        return self.parts.kind

    @property
    def ids(self) -> frozenset[str]:
        """Records that are in the model."""
        return self.members

    @property
    def salt(self) -> str:
        """Of the digests of rows."""
        return self.parts.card["salt"]

    @property
    def provenance(self) -> Guarded:
        """Parts that only votes get out of."""
        told = f"labels by a noisy vote of {self.votes.shards} parts, epsilon {self.votes.epsilon:g} each"
        return Guarded(self.parts.digest(), told)

    @property
    def left(self) -> int:
        """Answers that may still be given."""
        return max(0, self.votes.answers - self.answered.given)

    def digest(self) -> str:
        """Digest over the parts, whose secret seed salts it, the vote, members and columns; not over the count."""
        body = [self.parts.digest(), self.votes, sorted(self.members), self.forgotten, self.columns]
        return digest(body)

    def predict(self, inputs: Any) -> np.ndarray:
        """Labels (n,), drawn anew each time; n answers of the budget are spent before any part is asked.

        A part that cannot answer, for whatever reason, does not vote: an error would tell where records are.

        Args:
            inputs: X (n, d), or examples.

        Raises:
            ClaimError: fewer answers are left; none is given, and none is spent.
            StoreError: they cannot be counted, or X is not what rows of this model are; none is spent.
            TargetError: a part cannot be loaded; none is spent.
        """
        classes, asked = np.asarray(self.parts.trainer.classes), self._checked(inputs)
        for manifest in self.parts.manifests:
            if manifest.ids:
                self.parts.model(manifest.shard)
        self.answered.take(len(asked), budget=self.votes.answers)
        return classes[drawn(self._counts(asked, len(classes)), self.votes)]

    def _checked(self, inputs: Any) -> Any:
        """Rows as numbers, looked at by what is public alone; examples as they are.

        Raises:
            StoreError: they are not finite numbers in as many columns as the records have.
        """
        if self.columns is None:
            return inputs
        try:
            X = np.asarray(inputs, np.float64)
        except (TypeError, ValueError) as error:
            raise StoreError("the rows are not numbers", why=str(error), next="Give an array of numbers") from error
        if X.ndim != 2 or X.shape[1] != self.columns:
            raise StoreError(f"rows of shape {X.shape}", why=f"records have {self.columns} columns", next="Give (n, d)")
        if not np.isfinite(X).all():
            raise StoreError("the rows are not finite", next="Look for NaN and infinity in them")
        return X

    def _counts(self, asked: Any, classes: int) -> np.ndarray:
        """Votes (n, K). That a part has no record left, or cannot answer, must not show: it has no vote."""
        counts_NK = np.zeros((len(asked), classes))
        for manifest in self.parts.manifests:
            with warnings.catch_warnings(), suppress(Exception):
                warnings.simplefilter("ignore")
                if manifest.ids and not self.parts.why_silent(manifest.shard):
                    said_NK = self.parts.trainer.outputs(self.parts.model(manifest.shard), asked)
                    counts_NK = counts_NK + votes_cast(said_NK[None])[0]
        return counts_NK

    def without(self, ids: Collection[str], parts: Sharded, *, token: str) -> Voted:
        """The version after a deletion; it shares the count.

        Args:
            ids: that were forgotten.
            parts: without them.
            token: the same where a killed deletion is done again.
        """
        gone = self.members.intersection(ids)
        return Voted(
            parts, self.votes, self.members - gone, self.forgotten + len(gone), self.answered, self.columns, token
        )

    def oracle(self, access: Access) -> Oracle:
        """A handle that grants answers, never weights."""
        return Oracle(self, access & Access.TEXT)

    def save(self, path: Path) -> Manifest:
        """Write the folder elsewhere, and hand it the count: from then on it answers, and this one no more.

        Raises:
            ClaimError: the count was handed over before.
        """
        path = Path(path)
        with replace_folder(path) as fresh:
            self.parts.save(fresh / PARTS)
            # The card has the key of the placement, the rest of the folder the placement.
            (fresh / PARTS / CARD).chmod(0o600)
            (fresh / PARTS).chmod(0o700)
            write_json(fresh / MEMBERS, sorted(self.members))
            told = {
                "votes": TypeAdapter(Votes).dump_python(self.votes),
                "forgotten": self.forgotten,
                "columns": self.columns,
            }
            write_json(fresh / CARD, {"kind": self.kind, "loader": LOADER, "digest": self.digest(), **told})
            self.answered.hand_over(path, fresh, token=self.token)
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return Manifest(tuple(entry(path, p, personal=True) for p in files))
