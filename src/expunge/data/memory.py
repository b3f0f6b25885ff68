"""A store in memory: for corpora made on the spot and for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.example import Example, Examples, records_digest
from expunge.data.rows import require_known


class MemoryStore:
    """Examples held in memory, addressed by record id.

    Args:
        examples: with unique ids.

    Raises:
        StoreError: two records share an id.
    """

    def __init__(self, examples: Iterable[Example]) -> None:
        items = tuple(examples)
        self._items = {item.record_id: item for item in items}
        if len(self._items) != len(items):
            seen: set[str] = set()
            twice = next(i.record_id for i in items if i.record_id in seen or seen.add(i.record_id))
            raise StoreError(f"two records share the id {twice!r}", next="Give every record an id of its own")

    def ids(self) -> Sequence[str]:
        """All ids, in order."""
        return tuple(self._items)

    def get(self, ids: Iterable[str]) -> Examples:
        """The examples with these ids, in the order asked.

        Raises:
            StoreError: an id is not in the store.
        """
        wanted = tuple(ids)
        require_known([i for i in wanted if i not in self._items])
        return Examples(self._items[i] for i in wanted)

    def all(self) -> Examples:
        """Every example."""
        return Examples(self._items.values())

    def shards(self) -> Sequence[Examples]:
        """One shard."""
        return (self.all(),)

    def erase(self, ids: Iterable[str]) -> Receipt:
        """Forget the records. Memory is not scanned, so the receipt is BLIND.

        Raises:
            StoreError: an id is not in the store.
        """
        for example in self.get(dict.fromkeys(ids)):
            del self._items[example.record_id]
        return Receipt(store="memory", status="BLIND")

    def digest(self) -> str:
        """Digest over all records, whatever their order."""
        return records_digest(self._items.values())
