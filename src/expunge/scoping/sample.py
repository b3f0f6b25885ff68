"""A sample of a stream that depends on the ids in it, not on their order."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from expunge.core.example import Example, Examples
from expunge.core.seeds import keyed_mark


class KeyedSample:
    """The records that come first in the keyed order. Adding or removing one never changes the order of the others.

    Args:
        size: most records to hold.
        seed: of the order.
        role: what is sampled; roles have orders of their own.
        always: records that are held beside the sample, whatever their place in the order.
    """

    def __init__(self, size: int, seed: int, role: str, *, always: Callable[[Example], bool] = lambda _: False) -> None:
        self.size, self.seed, self.role, self.always = size, seed, role, always
        self.seen = 0
        self._held: list[tuple[int, str, Example]] = []
        self._beside: list[Example] = []

    def add(self, example: Example) -> None:
        """Offer a record."""
        self.seen += 1
        if self.always(example):
            self._beside.append(example)
            return
        mark = keyed_mark(example.record_id, self.seed, "sample", self.role)
        # A heap gives its smallest first, and the one to let go is the last in the order.
        item = (-int.from_bytes(mark), example.record_id, example)
        if len(self._held) < self.size:
            heapq.heappush(self._held, item)
        elif item > self._held[0]:
            heapq.heapreplace(self._held, item)

    def drawn(self) -> Examples:
        """What is held, in the keyed order."""
        return Examples([*(item[2] for item in sorted(self._held, reverse=True)), *self._beside])
