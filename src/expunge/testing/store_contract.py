"""What every store must do. Raises ``AssertionError`` that says what was broken, as the checks in ``contracts`` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from expunge.core.errors import StoreError
from expunge.core.evidence import Receipt
from expunge.core.example import Example, Examples, records_digest
from expunge.core.protocols import Store
from expunge.testing.contracts import hold

STATUSES = ("CLEAN", "RESIDUE", "BLIND")


def check_store(make: Callable[[Sequence[Example]], Any], examples: Sequence[Example], gone: Sequence[str]) -> None:
    """Gives back what was put in; its digest depends on nothing else; erasing is whole and leaves the others alone.

    Args:
        make: examples -> a store of them; called more than once.
        examples: to put in, with ids of their own.
        gone: ids of those that are erased.
    """
    store = make(examples)
    hold(isinstance(store, Store), f"{type(store).__name__} lacks a method of Store")
    _check_reading(store, examples)
    turned = make(examples[::-1])
    hold(turned.digest() == store.digest(), "the digest depends on the order of the rows")
    _check_refusal(store, examples)
    left = [e for e in examples if e.record_id not in set(gone)]
    receipt = store.erase(iter([*gone, *gone[:1]]))
    hold(isinstance(receipt, Receipt), f"erase returns a {type(receipt).__name__}")
    hold(receipt.status in STATUSES, f"a receipt says {receipt.status!r}", f"one of {', '.join(STATUSES)}")
    hold(receipt.status != "RESIDUE" or bool(receipt.where), "a receipt names no place of the residue")
    _check_reading(store, left)


def _check_reading(store: Any, examples: Sequence[Example]) -> None:
    ids = [e.record_id for e in examples]
    hold(list(store.ids()) == ids, "ids() gives other ids, or in another order", f"{list(store.ids())!r:.200}")
    hold(len(store.ids()) == len(ids), "len(ids()) is not the number of records")
    shards = store.shards()
    hold(all(isinstance(shard, Examples) for shard in shards), "a shard is no Examples")
    hold([e for shard in shards for e in shard] == list(examples), "the shards are not all records in order")
    hold([e for i in range(len(shards)) for e in shards[i]] == list(examples), "shards by number are not those in turn")
    hold(list(store.get(ids[::-1])) == list(examples[::-1]), "get() does not keep the order that was asked")
    hold(list(store.get(ids[:1] * 2)) == list(examples[:1]) * 2, "get() does not repeat what was asked twice")
    hold(not len(store.get([])), "get([]) gives something")
    hold(store.digest() == records_digest(examples), "digest() is not the records_digest of all records")


def _check_refusal(store: Any, examples: Sequence[Example]) -> None:
    ids = {e.record_id for e in examples}
    unknown = next(name for name in ("nobody", "nobody-2", *(f"x{i}" for i in range(len(ids)))) if name not in ids)
    for ask in (store.get, store.erase):
        try:
            ask([*sorted(ids)[:1], unknown])
        except StoreError as error:
            hold(unknown in str(error), "the error does not name the unknown record")
        else:
            hold(False, f"{ask.__name__}() accepts an unknown record")
    _check_reading(store, examples)
    store.erase([])
    _check_reading(store, examples)
