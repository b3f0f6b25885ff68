"""Which records are in which slice of a shard, and how many epochs each is trained. Source: arXiv 1912.03817."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from expunge.core.canonical import digest, read_json
from expunge.core.errors import StoreError
from expunge.core.files import write_json
from expunge.core.record import record

NAME, MADE, MODEL, ROWS = "manifest.json", "made.json", "model", "rows"


def shard_folder(root: Path, shard: int) -> Path:
    """Where a target keeps a shard: its manifest, the rows of each slice, and a checkpoint after each slice.

    >>> shard_folder(Path("m"), 12).as_posix()
    'm/shards/0012'
    """
    return root / "shards" / f"{shard:04d}"


def checkpoint_folder(shard: Path, part: int) -> Path:
    """Where a shard keeps what it was after a slice: ``model`` and ``made.json``, which says what it was made of."""
    return shard / "slices" / f"{part:04d}"


def rows_folder(shard: Path, part: int) -> Path:
    """Where a shard keeps the rows of a slice."""
    return shard / ROWS / f"{part:04d}"


@record
class ShardManifest:
    """One shard.

    Args:
        shard: its number.
        slices: record ids of each slice; slice r is trained together with all slices before it.
        epochs: e_r, passes over slices 0..r once slice r joins.
        digests: of each slice, salted, over every one of its rows; empty before the rows are known.
    """

    shard: int
    slices: tuple[tuple[str, ...], ...]
    epochs: tuple[int, ...]
    digests: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """All records of the shard."""
        return tuple(name for part in self.slices for name in part)

    @property
    def held(self) -> tuple[int, ...]:
        """Rows in slices 0..r, for each r.

        >>> ShardManifest(0, (("a", "b"), ("c",), ("d", "e", "f")), (4, 3, 3)).held
        (2, 3, 6)
        """
        return tuple(accumulate(len(part) for part in self.slices))

    def point_epochs(self, first: int = 0) -> int:
        """Rows times epochs that training from a slice on takes: sum over r >= first of e_r |slices 0..r|.

        Args:
            first: slice that is trained first; those before it are on file.

        >>> ShardManifest(0, (("a", "b"), ("c",), ("d", "e", "f")), (4, 3, 3)).point_epochs(1)
        27
        """
        return sum(e * n for e, n in zip(self.epochs[first:], self.held[first:], strict=True))

    def without(self, ids: Iterable[str]) -> ShardManifest:
        """The same shard without records: no other moves to another slice. The digests are to be taken again."""
        gone = set(ids)
        return ShardManifest(
            self.shard, tuple(tuple(i for i in part if i not in gone) for part in self.slices), self.epochs
        )

    def digest(self) -> str:
        """Digest over the rows of every slice, through their salted digests, and the epochs."""
        return digest([self.shard, self.epochs, self.digests])

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``."""
        write_json(folder / NAME, TypeAdapter(ShardManifest).dump_python(self, mode="json"))

    @classmethod
    def read(cls, folder: Path) -> ShardManifest:
        """Read ``manifest.json``.

        Raises:
            StoreError: missing or no manifest of a shard.
        """
        try:
            return TypeAdapter(ShardManifest).validate_python(read_json(folder / NAME))
        except ValidationError as error:
            raise StoreError(f"{folder / NAME} is no manifest of a shard", why=error.errors()[0]["msg"]) from error


def assignment(manifests: Iterable[ShardManifest]) -> dict[str, tuple[int, int]]:
    """Record id -> its shard and slice.

    >>> assignment([ShardManifest(3, (("a",), ("b",)), (4, 3))])
    {'a': (3, 0), 'b': (3, 1)}
    """
    return {name: (m.shard, r) for m in manifests for r, part in enumerate(m.slices) for name in part}


def require_placed(manifests: Iterable[ShardManifest], ids: Sequence[str]) -> None:
    """Raise unless every record is in a slice.

    Args:
        manifests: of all shards.
        ids: of the records.

    Raises:
        StoreError: one is in none, as one that was deleted before.
    """
    places = assignment(manifests)
    unknown = [name for name in ids if name not in places]
    if unknown:
        raise StoreError(
            f"record {unknown[0]!r} is not in this model",
            why=f"{len(unknown)} of {len(ids)} records are in no slice: never learned, or deleted before",
            next="Leave them out; nothing was changed",
        )
