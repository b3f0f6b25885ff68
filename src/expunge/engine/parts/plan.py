"""What a deletion replays: which shards, from which slice on, at what cost. Source: arXiv 1912.03817, SISA."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from expunge.core.record import record
from expunge.targets.shard_manifest import ShardManifest, assignment, require_placed


@record
class ShardReplay:
    """One shard that is replayed.

    Args:
        shard: its number.
        deleted: records that leave it.
        first: earliest slice with a deleted record; the checkpoint before it is restored.
        kept: the shard without the records.
    """

    shard: int
    deleted: tuple[str, ...]
    first: int
    kept: ShardManifest

    @property
    def point_epochs(self) -> int:
        """Rows times epochs: sum over r >= first of e_r |slices 0..r without the deleted|."""
        return self.kept.point_epochs(self.first)


@record
class Plan:
    """All shards that a deletion replays, and what a whole training without the records would take.

    Args:
        shards: in order; those that are not named stay as they are.
        whole: rows times epochs of training every shard anew.
    """

    shards: tuple[ShardReplay, ...]
    whole: int

    @property
    def point_epochs(self) -> int:
        """Rows times epochs of the replay."""
        return sum(part.point_epochs for part in self.shards)

    def told(self) -> dict[str, Any]:
        """The plan without ids, as notes and ``--dry-run`` state it."""
        rows = [
            {
                "shard": part.shard,
                "records": len(part.deleted),
                "from_slice": part.first,
                "slices": len(part.kept.slices) - part.first,
                "point_epochs": part.point_epochs,
            }
            for part in self.shards
        ]
        return {"shards": rows, "point_epochs": self.point_epochs, "point_epochs_of_all": self.whole}


def plan_of(manifests: Sequence[ShardManifest], ids: Iterable[str]) -> Plan:
    """The replay of a deletion.

    Args:
        manifests: of all shards.
        ids: records that are to go, in one batch; each shard is replayed once.

    Raises:
        StoreError: a record is in no slice, as one that was deleted before.

    >>> held = [ShardManifest(0, (("a", "b"), ("c",)), (4, 3)), ShardManifest(1, (("d",), ("e", "f")), (4, 3))]
    >>> [(p.shard, p.first, p.point_epochs) for p in plan_of(held, ["f", "e", "b"]).shards]
    [(0, 0, 10), (1, 1, 3)]
    """
    wanted = tuple(dict.fromkeys(ids))
    require_placed(manifests, wanted)
    found: list[ShardReplay] = []
    kept: list[ShardManifest] = []
    for manifest in manifests:
        # Not by the places of all: several parts may hold a record, as where a shard is trained in several orders.
        own = assignment([manifest])
        gone = tuple(name for name in wanted if name in own)
        kept.append(manifest.without(gone) if gone else manifest)
        if gone:
            first = min(own[name][1] for name in gone)
            found.append(ShardReplay(manifest.shard, gone, first, kept[-1]))
    return Plan(tuple(found), sum(manifest.point_epochs() for manifest in kept))
