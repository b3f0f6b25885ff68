"""Placing records for a model that noisy votes publish, and opening one. Source: Gupta et al., arXiv 2106.04378."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from expunge.core.canonical import read_json
from expunge.core.errors import TargetError
from expunge.core.seeds import keyed_mark
from expunge.engine.parts.building import load_sharded
from expunge.targets.shard_manifest import ShardManifest
from expunge.targets.voted.count import AnswerCount
from expunge.targets.voted.model import CARD, LOADER, MEMBERS, PARTS, Voted, Votes


def apart(
    keys: Mapping[str, str], *, shards: int, epochs: tuple[int, ...], share: float, seed: int
) -> tuple[ShardManifest, ...]:
    """Shards that draw their records each for itself: one may be in several of them, or in none.

    Record i is in shard s where sha256(seed, "share", s, key_i), as a share of all values, is below the share; its
    slice there is a hash, too. So what a shard holds depends on no other shard.

    Args:
        keys: record id -> what is hashed: the id, or the subject, whose records then stay together.
        shards: S.
        epochs: of each slice.
        share: probability that a record is in a shard.
        seed: secret.

    >>> whole = apart({i: i for i in "abcdef"}, shards=3, epochs=(2,), share=0.5, seed=7)
    >>> less = apart({i: i for i in "fdb"}, shards=3, epochs=(2,), share=0.5, seed=7)
    >>> [m.without("ace").slices for m in whole] == [m.slices for m in apart(
    ...     {i: i for i in "bdf"}, shards=3, epochs=(2,), share=0.5, seed=7)]
    True
    """
    limit = int(share * 2**256)
    found: list[ShardManifest] = []
    for shard in range(shards):
        slices: list[list[str]] = [[] for _ in epochs]
        for name, key in keys.items():
            if int.from_bytes(keyed_mark(key, seed, "share", shard), "big") < limit:
                slices[int.from_bytes(keyed_mark(key, seed, "slice", shard), "big") % len(epochs)].append(name)
        found.append(ShardManifest(shard, tuple(map(tuple, slices)), epochs))
    return tuple(found)


def load_voted(folder: Path) -> Voted:
    """Open a model that was saved.

    Raises:
        TargetError: there is none, or it changed since it was saved.
    """
    card = read_json(folder / CARD)
    if card.get("loader") != LOADER:
        raise TargetError(f"{folder} holds no model behind a vote", why=f"it is a {card.get('kind')}")
    try:
        votes = TypeAdapter(Votes).validate_python(card["votes"])
    except (KeyError, ValidationError) as error:
        raise TargetError(f"the card of {folder} states no vote", why=str(error).partition("\n")[0]) from error
    members = frozenset(read_json(folder / MEMBERS))
    target = Voted(
        load_sharded(folder / PARTS), votes, members, card["forgotten"], AnswerCount(folder), card.get("columns")
    )
    if target.digest() != card["digest"]:
        raise TargetError(f"the model in {folder} changed since it was saved", why="its digest differs from its card's")
    return target
