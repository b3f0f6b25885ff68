"""Train again from the last checkpoint that never saw what is forgotten. Source: by definition; Thudi et al. 2022."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import digest
from expunge.core.counting import counting
from expunge.core.errors import ClaimError, StoreError
from expunge.core.evidence import Replay as Digests
from expunge.core.example import Examples
from expunge.core.guarantee import Exact, Guarantee
from expunge.core.outcome import Outcome
from expunge.core.provenance import Replayable
from expunge.core.provenance_check import require_kind, require_provenance, require_whole
from expunge.core.selection import Selection
from expunge.methods.exact._kept import salt_of, salted


@dataclass(frozen=True)
class Replay:
    """Rewind an ordinary fine-tune and train on without the forgotten records.

    The recorded order of the batches is compared with the order without them. Training goes on from the last checkpoint
    before the first step that differs, with the training's own seed and number of steps; what comes out is, bit for
    bit, what the same recipe gives from scratch on what is kept. Its record holds no checkpoint that saw the forgotten.

    Args:
        name: public name.
        version: raised when the method changes.
    """

    name: str = "replay"
    version: str = "1"

    needs = Replayable

    @property
    def claim(self) -> Guarantee:
        """The most that it can claim."""
        return Exact("bitwise")

    def digest(self) -> str:
        """Digest of the method; the recipe stands in the target's record."""
        return digest({"name": self.name, "version": self.version})

    def unlearn(self, target: Any, selection: Selection, *, seed: int, workdir: Path | None = None) -> Outcome[Any]:
        """Return the target that a training without the forgotten records gives, itself replayable.

        Args:
            target: the original; it and its folder stay valid.
            selection: what to forget; everything else that was trained on is among what it retains.
            seed: noted only: a replay draws nothing of its own.
            workdir: where the new record and the checkpoints go; a killed replay continues there.

        Raises:
            ClaimError: the target is no replayable language model, retain is a sample, the weights are not those of
                the record, or the training cannot be repeated here bit for bit.
            StoreError: a record was not trained on, one that was is missing, or has another content now.
        """
        from expunge.engine.recipes.replayable import recipe_of
        from expunge.engine.recording import rewind
        from expunge.engine.spent import cost_of, start_counting

        self.check(target, selection, seed=seed)
        start_counting()
        started = time.perf_counter()
        record, kept = target.record, _kept(target.record, selection)
        recipe, own = recipe_of(record).naming(kept), record.written.seed
        to = rewind(record, recipe.order(target, kept, seed=own))
        with counting() as counted:
            fresh = recipe.trained(kept, seed=own, stage="replaying", workdir=workdir, earlier=record)
        before, after = target.digest(), fresh.digest()
        seconds = max(counted.seconds, time.perf_counter() - started)
        return Outcome(
            target=fresh,
            before=before,
            method=f"{self.name}/{self.version}",
            recipe=self.digest(),
            claim=self.claim,
            selection=selection,
            original=target,
            seed=seed,
            cost=cost_of(target, fresh, seconds=seconds, steps=counted.steps, tokens=counted.tokens),
            replay=Digests(before=before, after=after, data=salted(kept.digest(), salt_of(fresh))),
            notes={
                "rewound_to": {"part": to.part, "step": to.step},
                "steps_replayed": to.replayed,
                "share_of_retraining": to.replayed / to.whole if to.whole else 0.0,
            },
        )

    def check(self, target: Any, selection: Selection, *, seed: int, whole: bool = True) -> None:
        """Raise what ``unlearn`` would raise before it trains, short of loading the model that training began with.

        Raises:
            ClaimError: the target is no replayable language model, retain is a sample, the weights are not those of
                the record, or the training cannot be repeated here bit for bit.
            StoreError: a record was not trained on, one that was is missing, or has another content now.
            TargetError: the folder that the training began with is gone.
        """
        from expunge.engine.recipes.replayable import recipe_of
        from expunge.targets.based import require_base

        require_kind(self.name, ("causal_lm",), target)
        require_provenance(self.name, self.needs, target)
        require_whole(self.name, "retain", selection)
        record = getattr(target, "record", None)
        if record is None or target.digest() != record.written.result:
            raise ClaimError(
                "the weights are not those that the recorded training gave", next="Retrain, or restore them"
            )
        require_base(recipe_of(record).base, "the model")
        _kept(record, selection)


def _kept(record: Any, selection: Selection) -> Examples:
    """What was trained on and is not forgotten, as it was then.

    Raises:
        StoreError: a record was not trained on, one that was is missing, or has another content now.
    """
    from expunge.targets.replay_record import commitments

    members, salt = record.written.members, record.written.salt
    forgotten = set(selection.forget.ids)
    unknown = sorted(forgotten - set(members))
    if unknown:
        raise StoreError(
            f"record {unknown[0]!r} was not trained on",
            why=f"{len(unknown)} such records",
            next="Leave out what is not in this model, or was forgotten before",
        )
    found = {e.record_id: e for role in ("neighbour", "general", "retain") for e in selection.role(role)}
    missing = sorted(set(members) - forgotten - set(found))
    if missing:
        raise StoreError(
            f"record {missing[0]!r} was trained on and is not retained",
            why=f"{len(missing)} such records",
            next="Resolve the scope against all of the data that was trained on",
        )
    kept = Examples(replace(found[n], role=record.written.roles[n]) for n in members if n not in forgotten)
    now = commitments(kept, salt)
    changed = [name for name, told in now.items() if told != members[name]]
    if changed:
        raise StoreError(
            f"record {changed[0]!r} is not what was trained on",
            why=f"{len(changed)} such records",
            next="Restore the data as it was, or retrain",
        )
    return kept


replay = Replay()
