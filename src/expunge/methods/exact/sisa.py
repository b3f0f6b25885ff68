"""Delete records by training the slices again that saw them. Source: Bourtoule et al. 2021 (arXiv 1912.03817), SISA."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.evidence import Replay
from expunge.core.guarantee import Exact, Guarantee
from expunge.core.outcome import Cost, Outcome
from expunge.core.provenance import Sharded
from expunge.core.provenance_check import require_provenance
from expunge.core.selection import Selection
from expunge.methods.exact._kept import kept_digest, require_as_filed, salt_of


@dataclass(frozen=True)
class Sisa:
    """Drop the records from their slices, restore the checkpoint before, and train what comes after again.

    The result is bit for bit what training on the rest gives, in the same environment: no place, no order of rows and
    nothing that is drawn depends on a record that is gone. Randomness comes from the seed of the training. Requests are
    assumed not to depend on what the models said (Gupta et al. 2021, arXiv 2106.04378): the equality holds all the
    same, but whoever chooses them by the answers may choose by the seed, too.

    Args:
        pool: where shards are trained; None for this process, at one thread. It changes no byte.
        name: public name.
        version: raised when the method changes.
    """

    pool: Any = None
    name: str = "sisa"
    version: str = "1"

    needs = Sharded

    def with_pool(self, pool: Any) -> Sisa:
        """The same method on workers."""
        return replace(self, pool=pool)

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim: bit for bit, once an independent run was compared."""
        return Exact("bitwise")

    def digest(self) -> str:
        """Digest of the method."""
        return digest({"name": self.name, "version": self.version})

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return a target in a new folder; the given one stays as it is, whatever happens.

        Killed, the same call on the same ``workdir`` goes on after the last checkpoint.

        Args:
            target: of parts, in a folder.
            selection: its forget role is deleted.
            seed: not used; the training's decides.
            workdir: where the new folder stands; without one, it goes when the new target does.

        Raises:
            ClaimError: the target is not made of parts.
            StoreError: a record is not in the target, or rows on file were changed.
        """
        from expunge.engine.parts.building import build_without, environments
        from expunge.engine.parts.folder import place_for
        from expunge.engine.parts.plan import plan_of

        self.check(target, selection, seed=seed)
        started = time.perf_counter()
        plan, before = plan_of(target.manifests, selection.forget.ids), target.digest()
        name = digest([before, sorted(selection.forget.ids)]).removeprefix("sha256:")[:16]
        with place_for(workdir, f"without-{name}") as place:
            build_without(target, plan, place.path, pool=self.pool, stage="replaying")
            after = target.at(place.path)
            place.goes_with(after)
        tokens, told = _told(after, plan)
        silent = _silenced(after, plan)
        # Under other versions than before, what was replayed need not be what either alone would give.
        mixed = {"environments": made} if len(made := environments(after)) > 1 else {}
        data = kept_digest(selection, after.ids, salt=salt_of(after))
        replay = Replay(before=before, after=after.digest(), data=data)
        return Outcome(
            target=after,
            before=before,
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=self.claim,
            selection=selection,
            original=target,
            seed=seed,
            cost=Cost(seconds=time.perf_counter() - started, tokens=tokens),
            replay=replay,
            notes={"replayed": {**plan.told(), **told}, **silent, **mixed, **(after.notes() if told else {})},
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise before it trains.

        Raises:
            ClaimError: the target is not made of parts.
            StoreError: a record is not in the target, or is not what it was trained on.
        """
        from expunge.engine.parts.plan import plan_of

        require_provenance(self.name, self.needs, target)
        plan_of(target.manifests, selection.forget.ids)
        require_as_filed(target, selection)


def _told(after: Any, plan: Any) -> tuple[int, dict[str, Any]]:
    """Tokens of the replay beside those of training every part anew, where the target counts them."""
    if not hasattr(after, "tokens"):
        return 0, {}
    tokens, whole = after.tokens([(part.shard, part.first) for part in plan.shards]), after.tokens()
    return tokens, {"tokens": tokens, "tokens_of_all": whole, "share_of_retraining": tokens / whole if whole else 0.0}


def _silenced(after: Any, plan: Any) -> dict[str, Any]:
    """Which of the parts that were replayed have too few rows left to vote, and why, if any."""
    told = getattr(after, "why_silent", None)
    left = [part.shard for part in plan.shards if part.kept.ids] if told else []
    silent = {str(shard): why for shard in left if told and (why := told(shard))}
    return {"silent": silent} if silent else {}


sisa = Sisa()
