"""Checking a whole log: every leaf, mark, node, key and checkpoint is computed anew from the leaves, in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from expunge.core.errors import LedgerError
from expunge.core.progress import report
from expunge.ledger import checkpoint as notes
from expunge.ledger import leaf as leaves
from expunge.ledger import tree
from expunge.ledger.checkpoint import Checkpoint
from expunge.ledger.keys import PublicKey
from expunge.ledger.leaf import Kind, Leaf, Outline, State
from expunge.ledger.log import key_digest, mark, origin_of

MOST = 20
"""Problems after which reading stops."""
REPORT_EVERY = 1 << 14


class History(Protocol):
    """What can be checked: a log, or an export of one."""

    def bodies(self) -> Iterator[tuple[int, bytes]]: ...
    def marks(self) -> Iterator[int] | None: ...
    def nodes(self, level: int) -> Iterator[bytes] | None: ...
    def checkpoints(self) -> Iterator[tuple[int, str]]: ...
    def owners(self) -> list[tuple[int, PublicKey]]: ...


@dataclass(frozen=True)
class Checked:
    """What checking found.

    Args:
        origin: name of the log.
        size: leaves that were read.
        root: over them.
        checkpoints: kept ones that were read.
        key: that signs now; None where it is not known.
        last: the last checkpoint.
        problems: what was tampered with; empty if all holds.
    """

    origin: str
    size: int
    root: bytes
    checkpoints: int
    key: PublicKey | None
    last: Checkpoint | None
    problems: tuple[str, ...]


def check(history: History, against: Mapping[str, Checkpoint] | None = None) -> Checked:
    """Check a log.

    Args:
        history: the log.
        against: checkpoints of it that were kept elsewhere, by a name for messages.

    Returns:
        What was found. That all checkpoints are consistent follows: each has the root of the first leaves of one list.

    Raises:
        LedgerError: it cannot be read at all.
    """
    return _Check(history, against or {}).run()


class _Check:
    def __init__(self, history: History, against: Mapping[str, Checkpoint]) -> None:
        self.history, self.problems = history, list[str]()
        self.known = sorted(((n, c) for n, c in against.items() if c.size), key=lambda item: item[1].size)
        self.frontier, self.prev, self.origin = tree.Frontier(), leaves.NO_LEAF, ""
        self.public = {key_digest(key): key for _, key in history.owners()}
        self.introduced: list[tuple[int, str]] = []
        self.signing: PublicKey | None = None
        self.actor = ""
        self.nodes: list[Iterator[bytes] | None] = []
        self.marks = history.marks()
        self.kept = history.checkpoints()
        self.waiting = next(self.kept, None)
        self.checkpoints, self.last, self.leaf_changed = 0, None, False

    def say(self, problem: str) -> None:
        self.problems.append(problem)

    def run(self) -> Checked:
        for seq, body in self.history.bodies():
            if seq != self.frontier.size:
                self.say(f"leaf {self.frontier.size} is missing: it was dropped")
                break
            self._leaf(seq, body)
            if len(self.problems) >= MOST:
                self.say("reading stopped here")
                break
            if seq % REPORT_EVERY == 0:
                report("checking", seq, seq + 1)
        else:
            self._end()
        report("checking", self.frontier.size, self.frontier.size)
        size, root = self.frontier.size, self.frontier.root()
        return Checked(self.origin, size, root, self.checkpoints, self.signing, self.last, tuple(self.problems))

    def _leaf(self, seq: int, body: bytes) -> None:
        try:
            found = leaves.outline(body)
        except LedgerError as error:
            self.say(f"leaf {seq} was changed: {error.what}, {error.why}")
            found = None
        marked = None if self.marks is None else next(self.marks, None)
        if found is not None:
            if self.marks is not None and marked != mark(found.said):
                self.say(f"mark of leaf {seq} was changed: the leaf would not be found, and could be written again")
            self._order(seq, found)
            if seq == 0:
                self._key(leaves.read(body))
        self._tree(seq, body)
        self._checkpoints()
        if seq and found is not None and found.kind == Kind.KEY:
            self._key(leaves.read(body))

    def _order(self, seq: int, found: Outline) -> None:
        if found.seq != seq:
            self.say(f"leaf {seq} says that it is leaf {found.seq}: leaves were swapped or moved")
        elif found.prev != self.prev:
            self.say(f"leaf {seq} does not follow leaf {seq - 1}: one of them was changed")
        if seq and self.introduced and found.actor != self.actor:
            self.say(f"leaf {seq} was written under another key than the log's")

    def _key(self, leaf: Leaf) -> None:
        seq, state, digests = leaf.seq, leaf.entry.state, leaf.entry.digests
        if not self.introduced:
            if seq or leaf.entry.kind != Kind.KEY or state != State.CREATED or "key" not in digests:
                self.say("leaf 0 does not name the log's first key: the beginning was cut or changed")
                return
            self.origin = origin_of(digests["key"].replace("sha256:", "ed25519:"))
        elif state == State.CREATED:
            self.say(f"leaf {seq} names a first key a second time")
            return
        elif state == State.ROTATED:
            if digests.get("before") != self.introduced[-1][1] or "key" not in digests:
                self.say(f"leaf {seq} hands over from a key that is not the log's")
                return
        else:
            return
        self.introduced.append((seq + 1 if seq else 0, digests["key"]))
        self.signing, self.actor = self.public.get(digests["key"]), digests["key"].replace("sha256:", "ed25519:")
        if digests["key"] not in self.public:
            self.say(f"the public key that leaf {seq} names is missing")

    def _tree(self, seq: int, body: bytes) -> None:
        value = tree.leaf_hash(body)
        self.prev = f"sha256:{value.hex()}"
        for level, found in self.frontier.push(value):
            if level == len(self.nodes):
                self.nodes.append(self.history.nodes(level))
            stored = self.nodes[level]
            if stored is None or next(stored, None) == found:
                continue
            if level == 0:
                self.leaf_changed = True
                self.say(f"leaf {seq} was changed: its hash is not the one in the tree")
            elif not self.leaf_changed:
                self.say(f"node {seq >> level} of level {level} was changed: it is not the hash of its children")

    def _checkpoints(self) -> None:
        size = self.frontier.size
        while self.waiting is not None and self.waiting[0] <= size:
            self._checkpoint(*self.waiting)
            self.waiting = next(self.kept, None)
        while self.known and self.known[0][1].size <= size:
            self._outside(*self.known.pop(0))

    def _checkpoint(self, size: int, note: str) -> None:
        self.checkpoints += 1
        part = f"checkpoint of size {size}"
        try:
            found = self.last = notes.parse(note)
        except LedgerError as error:
            self.say(f"{part} was changed: {error.what}, {error.why}")
            return
        if found.size != size or size != self.frontier.size or found.origin != self.origin:
            self.say(f"{part} was changed: its size or origin is another")
        elif self.signing is None or not found.signed_by(self.signing):
            self.say(f"{part} was changed or re-signed: it is not signed with the log's key at that size")
        elif found.root != self.frontier.root():
            self.say(f"{part}: its root is not that of the first {size} leaves: a leaf was changed and hashed again")

    def _outside(self, name: str, found: Checkpoint) -> None:
        """Compare a checkpoint that was kept elsewhere with the first leaves of this log."""
        part = f"{name}, a checkpoint of size {found.size}"
        if found.origin != self.origin:
            self.say(f"{part}, is of another log: {found.origin}")
        elif self.signing is None or not found.signed_by(self.signing):
            self.say(f"{part}, is not signed with this log's key at that size")
        elif found.root != self.frontier.root():
            self.say(f"{part}, is of another history: the log's key signed both, so it was forked or rewritten")

    def _end(self) -> None:
        size = self.frontier.size
        for left in (self.waiting, next(self.kept, None)):
            if left is not None:
                self.say(f"checkpoint of size {left[0]}, but the log has {size} leaves: its tail was cut")
                break
        else:
            if size and (self.last is None or self.last.size != size):
                self.say(
                    f"no checkpoint holds the last of the {size} leaves: a leaf or checkpoint was added or dropped"
                )
        levels = [*self.nodes, self.history.nodes(len(self.nodes))]
        if any(stored is not None and next(stored, None) is not None for stored in levels):
            self.say(f"the tree has more nodes than {size} leaves give: the tail was cut")
        for name, found in self.known:
            if any(found.signed_by(key) for key in self.public.values()) and found.origin == self.origin:
                end = f"is newer than the log, which has {size} leaves: it was rolled back, or its tail was cut"
                self.say(f"{name}, a checkpoint of size {found.size}, {end}")
            else:
                self.say(f"{name}, a checkpoint of size {found.size}, is not signed with a key of this log")
        if not self.problems and self.introduced != [(n, key_digest(key)) for n, key in self.history.owners()]:
            self.say("the kept public keys are not those that the leaves name")
