"""Exact deletion from parts that only a noisy vote publishes. Source: Gupta et al., arXiv 2106.04378, theorem 3.1.

Below, the parts that had the records are trained again without them, which is exact for requests that were fixed
before: alpha = beta = 0. For requests that depend on the answers, alpha' = e1 and beta' = d1, what all answers of the
budget can tell of the internal randomness, either way round: neither what is left nor parts trained anew are likelier
by more. That holds for any number of requests in any order; what runs out is the
answers, of which the model gives no more than the budget.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest, read_json
from expunge.core.errors import ClaimError
from expunge.core.evidence import Proof
from expunge.core.example import Examples
from expunge.core.files import write_json
from expunge.core.guarantee import Certified, Guarantee
from expunge.core.outcome import Outcome
from expunge.core.provenance import Guarded
from expunge.core.registry import methods
from expunge.core.selection import Selection
from expunge.targets.voted.model import Voted

ASSUMPTIONS = (
    "Nothing of the model was ever published but answers of the vote and digests: no weights, votes or parts, and not "
    "where a record is. Whoever asks for deletions has no other source.",
    "How long training, answers and deletions take was not seen, or told nothing: it depends on how many records the "
    "parts have that are trained again.",
    "One copy answers. A version from which was deleted, or that was copied, refuses; a folder that is copied or "
    "restored by other means would spend the budget a second time.",
    "Placement and parts follow by SHA-256 from a secret key of 256 bits; its values are taken for independent draws.",
    "Chances of an answer are computed in double precision; their last bits are not accounted for.",
    "What is bounded, either way round, is what the parts tell after the deletion, together with the requests, beside "
    "parts trained anew without the records. Answers given before stay where they went, and may tell of a record by "
    "themselves.",
)


def proof_of(target: Voted) -> Proof:
    """The argument behind the epsilon of a vote, with what it rests on.

    Args:
        target: after the deletion.
    """
    votes, (epsilon, delta) = target.votes, target.votes.loss()
    told = ("answers", "coordinates", "shards", "voters")
    return Proof(
        "max_information",
        ASSUMPTIONS,
        tuple(sorted({"epsilon": repr(votes.epsilon), **{name: str(getattr(votes, name)) for name in told}}.items())),
        epsilon=epsilon,
        delta=delta,
        adversary="adaptive",
        after=target.digest(),
        units=target.forgotten,
        retained="not protected: answers are noisy towards where records are, not towards what they say",
    )


@dataclass(frozen=True)
class AdaptiveSisa:
    """Train again, without the records, the parts that had them; the vote and its budget of answers stay.

    The version before answers no more once the result is saved: both speak of one placement, and have one budget.

    Args:
        pool: where parts are trained; None for this process, at one thread. It changes no byte.
        name: public name.
        version: raised when the method changes.
    """

    pool: Any = None
    name: str = "adaptive_sisa"
    version: str = "1"

    needs = Guarded

    def with_pool(self, pool: Any) -> AdaptiveSisa:
        """The same method on workers."""
        return replace(self, pool=pool)

    @property
    def claim(self) -> Guarantee:
        """The kind of claim, with the epsilon of no answer; that of a vote is in its outcome."""
        return Certified(0.0, 0.0, "adaptive")

    def digest(self) -> str:
        """Digest of the method."""
        return digest({"name": self.name, "version": self.version})

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return the model without the records; the given one stays as it is until the result is saved.

        Neither cost nor parts are told: both would tell where the records were. Killed, the same call on the same
        ``workdir`` goes on after the last checkpoint.

        Args:
            target: of the recipe ``adaptive_sisa``.
            selection: its forget role is deleted.
            seed: not used; the secret of the training decides.
            workdir: where the new parts stand; without one, they go when the new target does.

        Raises:
            ClaimError: another target, or one that a later version follows.
            StoreError: a record is not in the target, or rows on file were changed.
        """
        from expunge.engine.parts.building import build_without
        from expunge.engine.parts.folder import place_for
        from expunge.engine.parts.plan import plan_of

        self._require(target)
        before = target.digest()
        name = digest([before, sorted(selection.forget.ids)]).removeprefix("sha256:")[:16]
        token = _token(workdir, name)
        target.answered.require_open(token)
        self._check_parts(target, selection, seed=seed)
        plan = plan_of(target.parts.manifests, _placed(target, selection).ids)
        with place_for(workdir, f"without-{name}") as place:
            place.path.mkdir(parents=True, exist_ok=True)
            place.path.chmod(0o700)
            build_without(target.parts, plan, place.path, pool=self.pool, stage="replaying")
            parts = target.parts.at(place.path)
            place.goes_with(parts)
        after = target.without(selection.forget.ids, parts, token=token)
        proof = self.prove(after)
        return Outcome(
            target=after,
            before=before,
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=Certified(proof.epsilon, proof.delta, "adaptive"),
            selection=selection,
            original=target,
            seed=seed,
            proof=proof,
            notes={"cost": "not told: how long it took tells how large the parts are that had the records"},
        )

    def prove(self, target: Any) -> Proof:
        """The argument for all that was forgotten so far; it follows from the target alone.

        Raises:
            ClaimError: another target.
        """
        self._require(target)
        return proof_of(target)

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise before it trains.

        Raises:
            ClaimError: another target.
            StoreError: a record is not in the target, or is not what it was trained on.
        """
        self._require(target)
        self._check_parts(target, selection, seed=seed)

    def _require(self, target: Any) -> None:
        if not isinstance(target, Voted):
            raise ClaimError(
                f"{self.name} needs a target with provenance Guarded by a noisy vote",
                why=f"this {target.kind} has {type(target.provenance).__name__}",
                next="Train it with the recipe adaptive_sisa",
            )

    def _check_parts(self, target: Voted, selection: Selection, *, seed: int) -> None:
        if unknown := sorted(set(selection.forget.ids) - target.members):
            raise ClaimError(
                f"record {unknown[0]!r} is not in this model",
                why="never learned, or deleted before",
                next="Leave it out",
            )
        placed = _placed(target, selection)
        if placed:
            found: Any = methods.get("sisa")
            found.check(target.parts, replace(selection, forget=placed), seed=seed)


def _placed(target: Voted, selection: Selection) -> Examples:
    """The forgotten records that a part has."""
    held = target.parts.ids
    return Examples(e for e in selection.forget if e.record_id in held)


def _token(workdir: Path | None, name: str) -> str:
    """Of one deletion: a killed one that goes on in its folder has the same."""
    if workdir is None:
        return secrets.token_hex(16)
    path = Path(workdir) / f"without-{name}.json"
    if not path.is_file():
        Path(workdir).mkdir(parents=True, exist_ok=True)
        write_json(path, {"token": secrets.token_hex(16)})
    return read_json(path)["token"]


adaptive_sisa = AdaptiveSisa()
