"""Named rows that several learners share: immutable blocks, and a mask of what is still held.

Taking a row out copies a mask of one byte a row, never the rows. What leaves this process or is copied
(``compact``) holds live rows only. A block of which more than half is gone is written anew.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from expunge.core.errors import StoreError

Found = dict[int, NDArray[np.intp]]


class Numbers(Sequence[str]):
    """The names "0" to "n-1", of which none has to be kept, or looked for in memory."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[str]:
        return map(str, range(self.n))

    def __getitem__(self, i: Any) -> Any:
        return [str(j) for j in range(self.n)[i]] if isinstance(i, slice) else str(range(self.n)[i])

    def places(self, names: Sequence[str]) -> NDArray[np.intp]:
        """The number that each name is; -1 for one that is none of these."""
        text = f",{','.join(names)},"
        digits = text.isascii() and text.replace(",", "").isdecimal() and text.count(",") == len(names) + 1
        if digits and ",," not in text and text.count(",0") == text.count(",0,"):  # as str(int(name)) would be
            numbers = np.fromstring(text[1:-1], np.intp, sep=",")
            return np.where(numbers < self.n, numbers, -1)
        known = {name: int(name) for name in names if name.isdecimal() and len(name) <= len(str(self.n))}
        found = [known.get(name, -1) for name in names]
        return np.array(
            [i if i < self.n and str(i) == name else -1 for i, name in zip(found, names, strict=True)], np.intp
        )


def _of(ids: Sequence[str], X: NDArray[Any], y: NDArray[Any] | None) -> Block:
    """A block that nobody writes to, whose texts take no more room than the longest of them."""
    if y is not None and y.dtype.kind == "U" and y.size:
        y = y.astype(f"U{max(1, int(np.char.str_len(y).max()))}", copy=False)
    for array in (X, y):
        if array is not None:
            array.setflags(write=False)
    return Block(ids, X, y)


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that arrived together. ``X`` is (n, ...), ``y`` (n, ...) or None, and neither is written to again."""

    ids: Sequence[str]
    X: NDArray[Any]
    y: NDArray[Any] | None

    def __getstate__(self) -> dict[str, Any]:
        """Without what follows from these."""
        return {"ids": self.ids, "X": self.X, "y": self.y}

    @functools.cached_property
    def place(self) -> dict[str, int]:
        """Where each id stands."""
        return {name: i for i, name in enumerate(self.ids)}

    @functools.cached_property
    def order(self) -> NDArray[np.intp]:
        """Where the rows stand, sorted by id."""
        names = list(self.ids)
        return np.array(sorted(range(len(names)), key=names.__getitem__), np.intp)

    def places(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Where each name stands; -1 for one that does not."""
        if isinstance(self.ids, Numbers):
            return self.ids.places(names)
        place = self.place
        return np.array([place.get(name, -1) for name in names], np.intp)


@dataclass(frozen=True, eq=False)
class Held:
    """A block with what is live of it."""

    block: Block
    live: NDArray[np.bool_]
    count: int

    def places(self, names: Sequence[str]) -> NDArray[np.intp]:
        """Where each name stands; -1 for one of which no row is live."""
        at = self.block.places(names)
        return np.where(self.live.take(at), at, -1)

    @property
    def order(self) -> NDArray[np.intp]:
        """Where the live rows stand, sorted by id: a block is sorted once, whatever is taken out of it."""
        return self.block.order[self.live[self.block.order]]

    def compact(self) -> Held:
        """The live rows alone, in the order of the block."""
        if self.count == len(self.block.ids):
            return self
        at = np.flatnonzero(self.live)
        y = self.block.y
        ids = tuple(self.block.ids[i] for i in at.tolist())
        block = _of(ids, self.block.X[at], None if y is None else y[at])
        return Held(block, np.ones(len(at), bool), len(at))


def _joined(parts: Sequence[Held]) -> Held:
    blocks = [part.compact().block for part in parts]
    ids = tuple(name for block in blocks for name in block.ids)
    X = np.concatenate([block.X for block in blocks])
    targets = [block.y for block in blocks if block.y is not None]
    return Held(_of(ids, X, np.concatenate(targets) if targets else None), np.ones(len(ids), bool), len(ids))


@dataclass(frozen=True, eq=False)
class Rows:
    """A set of named rows.

    Args:
        parts: the later, the shorter by half at least, so that appending n rows one by one copies each log2 n times.
    """

    parts: tuple[Held, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Without what follows from these."""
        return {"parts": self.parts}

    def __len__(self) -> int:
        return sum(part.count for part in self.parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.holds([name])[0])

    def holds(self, names: Sequence[str]) -> NDArray[np.bool_]:
        """Which names a row has."""
        held = np.zeros(len(names), bool)
        for part in self.parts:
            held |= part.places(names) >= 0
        return held

    @property
    def like(self) -> Block | None:
        """A block that shows the shape and the kind of all rows."""
        return self.parts[0].block if self.parts else None

    def plus(self, ids: Sequence[str], X: NDArray[Any], y: NDArray[Any] | None) -> Rows:
        """With further rows; the arrays become this object's own.

        Raises:
            StoreError: an id is given twice or held already.
        """
        names = ids if isinstance(ids, Numbers) else tuple(ids)
        if isinstance(names, tuple) and len(set(names)) != len(names):
            twice = next(name for i, name in enumerate(names) if name in names[:i])
            raise StoreError(f"row {twice!r} is given twice", why="a row is unlearned by its id, which must be its own")
        if self.parts and (held := self.holds(list(names))).any():
            known = names[int(held.argmax())]
            raise StoreError(f"row {known!r} is held already", next="Unlearn it first, or give the new row another id")
        block = Block(names, X, y)
        if not names:
            return self
        parts = [*self.parts, Held(block, np.ones(len(names), bool), len(names))]
        while len(parts) > 1 and parts[-2].count < 2 * parts[-1].count:
            parts[-2:] = [_joined(parts[-2:])]
        return Rows(tuple(parts))

    def find(self, ids: Sequence[str]) -> Found:
        """Block and place of each id, in the order of the rows, which is how memory is read fastest.

        Raises:
            StoreError: an id is given twice, or no row has it (any more).
        """
        found: Found = {}
        left = list(ids)
        for b, part in enumerate(self.parts):
            at = part.places(left)
            here = at >= 0
            if not here.all():
                left, at = [name for name, known in zip(left, here.tolist(), strict=True) if not known], at[here]
            else:
                left = []
            if len(at):
                at.sort()
                if (at[1:] == at[:-1]).any():
                    twice = part.block.ids[int(at[:-1][at[1:] == at[:-1]][0])]
                    raise StoreError(f"row {twice!r} is to be unlearned twice", why="it would be taken out twice")
                found[b] = at
            if not left:
                return found
        if left:
            raise StoreError(f"no row {left[0]!r} is held", why="it was never learned, or unlearned before")
        return found

    def take(self, found: Found) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """X and y of found rows, copied, in the order of blocks and of their rows."""
        blocks = [(self.parts[b].block, at) for b, at in sorted(found.items())]
        if len(blocks) == 1:
            block, at = blocks[0]
            return block.X.take(at, axis=0), None if block.y is None else block.y.take(at, axis=0)
        X = np.concatenate([block.X[at] for block, at in blocks])
        targets = [block.y[at] for block, at in blocks if block.y is not None]
        return X, np.concatenate(targets) if targets else None

    def without(self, found: Found) -> Rows:
        """Without found rows; this object stays as it is."""
        parts: list[Held] = []
        for b, part in enumerate(self.parts):
            if b in found:
                live = part.live.copy()
                live[found[b]] = False
                part = Held(part.block, live, part.count - len(found[b]))
                part = part.compact() if 2 * part.count < len(live) else part
            if part.count:
                parts.append(part)
        return Rows(tuple(parts))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Ids of the live rows, sorted."""
        found: list[str] = []
        for part in self.parts:
            ids = list(part.block.ids)
            found += [ids[i] for i in part.order.tolist()]
        return tuple(sorted(found) if len(self.parts) > 1 else found)

    @functools.cached_property
    def ordered(self) -> Block:
        """Live rows alone, sorted by id, so that nothing depends on when a row came or what went before it."""
        if not self.parts:
            raise StoreError("no row is held")
        part = self.parts[0] if len(self.parts) == 1 else _joined(self.parts)
        block, at = part.block, part.order
        if len(at) == len(block.ids) and (at[1:] > at[:-1]).all():
            return _of(self.names, block.X, block.y)
        return _of(self.names, block.X[at], None if block.y is None else block.y[at])

    def compact(self) -> Rows:
        """The same rows, nothing of others, in one block sorted by id."""
        return Rows((Held(self.ordered, np.ones(len(self), bool), len(self)),)) if self.parts else self


def rows_of(ids: Sequence[str], X: NDArray[Any], y: NDArray[Any] | None) -> Rows:
    """The first rows of a learner."""
    return Rows().plus(ids, X, y)
