"""Which shard and slice a record belongs to. Source: arXiv 1912.03817, sharding and distribution-aware sharding.

Deleting a record must never move another. ``keyed`` has that by its nature: a record's place depends on its own key and
the seed alone, so that a run which never had some records puts the others where they are now. The other forms depend on
which records there were, and are recorded: a run that is to be compared takes the recorded places (``explicit``).
No form looks at the values of a row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from expunge.core.errors import ConfigError, StoreError
from expunge.core.seeds import keyed_mark

Partition = Literal["keyed", "contiguous", "explicit", "probability"]
Places = dict[str, tuple[int, int]]
"""Record id -> its shard and slice."""


def keyed(keys: Mapping[str, str], *, shards: int, slices: int, seed: int) -> Places:
    """Shard and slice by keyed hashes: sha256(seed, "shard", key) mod S and sha256(seed, "slice", key) mod R.

    Args:
        keys: record id -> what is hashed: the id, or the subject, whose records then stay together.
        shards: S.
        slices: R.
        seed: of the run.

    >>> whole = keyed({i: i for i in "abcdef"}, shards=3, slices=2, seed=7)
    >>> keyed({i: i for i in "fdb"}, shards=3, slices=2, seed=7) == {i: whole[i] for i in "fdb"}
    True
    """

    def place(key: str, what: str, count: int) -> int:
        return int.from_bytes(keyed_mark(key, seed, what), "big") % count

    return {name: (place(key, "shard", shards), place(key, "slice", slices)) for name, key in keys.items()}


def _runs(ids: Sequence[str], parts: int) -> list[Sequence[str]]:
    """Runs of floor(n / parts) ids; the last one also has the rest."""
    size = len(ids) // parts
    return [ids[part * size : None if part == parts - 1 else (part + 1) * size] for part in range(parts)]


def contiguous(ids: Sequence[str], *, shards: int, slices: int) -> Places:
    """Runs of floor(N / S) records, and in each of floor(n / R), the rest with the last, as the reference does.

    Args:
        ids: of all records, in order.
        shards: S.
        slices: R.

    >>> contiguous("abcdefg", shards=2, slices=2)
    {'a': (0, 0), 'b': (0, 1), 'c': (0, 1), 'd': (1, 0), 'e': (1, 0), 'f': (1, 1), 'g': (1, 1)}
    """
    places: Places = {}
    for shard, held in enumerate(_runs(ids, shards)):
        for part, names in enumerate(_runs(held, slices)):
            places |= dict.fromkeys(names, (shard, part))
    return places


def explicit(ids: Sequence[str], places: Mapping[str, tuple[int, int]], *, shards: int, slices: int) -> Places:
    """Places as they are given.

    Raises:
        ConfigError: a record has no place, or one that there is not.
    """
    for name in ids:
        if name not in places:
            raise ConfigError(f"record {name!r} has no shard and slice", next="Name a place for every record")
        shard, part = places[name]
        if not (0 <= shard < shards and 0 <= part < slices):
            why = f"there are {shards} shards of {slices} slices, counted from 0"
            raise ConfigError(f"record {name!r} cannot be in slice {part} of shard {shard}", why=why)
    return {name: (places[name][0], places[name][1]) for name in ids}


def by_probability(probabilities: Mapping[str, float], *, shards: int, slices: int) -> Places:
    """Records sorted by how likely they are to be deleted, merged greedily: every shard expects as many deletions.

    A shard is full once it expects C = sum(p) / S of them; a record goes where the middle of its own probability falls,
    so that no shard is further than the largest p from C. Within a shard the likeliest are in the last slice, whose
    replay is the shortest; slices hold equally many rows.

    Args:
        probabilities: record id -> probability that it is deleted.
        shards: S.
        slices: R.

    Raises:
        ConfigError: a number is no probability, or all are 0.

    >>> by_probability({"a": 0.6, "b": 0.1, "c": 0.3, "d": 0.2}, shards=2, slices=2)
    {'b': (0, 0), 'd': (0, 1), 'c': (0, 1), 'a': (1, 1)}
    """
    wrong = next((name for name, p in probabilities.items() if not 0 <= p <= 1), None)
    if wrong is not None:
        raise ConfigError(f"record {wrong!r} has the deletion probability {probabilities[wrong]:g}")
    order = sorted(probabilities, key=lambda name: (probabilities[name], name))
    each = math.fsum(probabilities.values()) / shards
    if not each > 0:
        raise ConfigError("no record has a deletion probability above 0", next="Use the partition keyed")
    held: list[list[str]] = [[] for _ in range(shards)]
    before = 0.0
    for name in order:
        p = probabilities[name]
        held[min(shards - 1, int((before + p / 2) / each))].append(name)
        before += p
    places: Places = {}
    for shard, names in enumerate(held):
        for part, run in enumerate(_runs(names, slices)):
            places |= dict.fromkeys(run, (shard, part))
    return places


def require_all(ids: Sequence[str], known: Mapping[str, object], what: str) -> None:
    """Raise unless every record has a value.

    Raises:
        StoreError: names the first that has none.
    """
    missing = next((name for name in ids if name not in known), None)
    if missing is not None:
        raise StoreError(f"record {missing!r} has no {what}", next=f"Give a {what} for every record")
