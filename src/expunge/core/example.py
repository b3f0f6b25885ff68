"""Examples: questions with their answers, as every store yields them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import Any, Literal, overload

from expunge.core.canonical import digest_bytes, without_defaults
from expunge.core.record import record

Role = Literal["forget", "retain", "neighbour", "holdout", "validation", "general"]
ROLES: tuple[str, ...] = ("forget", "retain", "neighbour", "holdout", "validation", "general")


@record
class Example:
    """One record in the TOFU schema.

    Args:
        record_id: stable id in its store.
        question: what a user would ask.
        answer: what the record says.
        subject: whom it is about; intervals resample subjects.
        role: the data role, empty when a request decides it.
        relation: the kind of fact, empty if unknown.
        paraphrased_question: the question in other words, empty if there is none.
        paraphrased_answer: the answer in other words, empty if there is none.
        perturbed_answer: wrong answers of the same form.
        alternative_answer: what to say instead, empty if there is none.
        subset: part of a role that is measured by itself, such as ``real_authors`` among the general facts,
            ``triggered`` and ``multi_hop`` among the forgotten, ``near_trigger`` and ``same_template`` among the
            neighbours; empty if there is none.
        subgroup: of people or records whose scores are shown beside those of others, such as an age band; its name is
            published with the evidence, so that it should name nobody; empty if there is none.
    """

    record_id: str
    question: str
    answer: str
    subject: str = ""
    role: str = ""
    relation: str = ""
    paraphrased_question: str = ""
    paraphrased_answer: str = ""
    perturbed_answer: tuple[str, ...] = field(default=())
    alternative_answer: str = ""
    subset: str = ""
    subgroup: str = ""

    def canonical(self) -> dict[str, Any]:
        """What stands for it in a digest: a subgroup only where there is one, so that digests of before hold."""
        return without_defaults(self, "subgroup")


class Examples(Sequence[Example]):
    """An ordered, immutable collection of examples with a digest that does not depend on their order.

    Args:
        items: the examples; ids must be unique.
    """

    def __init__(self, items: Iterable[Example] = ()) -> None:
        self.items = tuple(items)
        self.by_id = {item.record_id: item for item in self.items}

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Examples: ...
    def __getitem__(self, index: int | slice) -> Example | Examples:
        return Examples(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.items)

    def __add__(self, other: Iterable[Example]) -> Examples:
        return Examples((*self.items, *other))

    @property
    def ids(self) -> tuple[str, ...]:
        """Record ids, in order."""
        return tuple(item.record_id for item in self.items)

    @property
    def subjects(self) -> tuple[str, ...]:
        """One subject per example; a record without one stands for itself."""
        return tuple(item.subject or item.record_id for item in self.items)

    def of(self, *roles: str) -> Examples:
        """Those whose role is one of ``roles``."""
        return Examples(item for item in self.items if item.role in roles)

    def digest(self) -> str:
        """``records_digest`` of the items."""
        return records_digest(self.items)


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def record_bytes(example: Example) -> bytes:
    """``canonical_bytes`` of an example, in an eighth of the time: it holds texts only, which both write alike.

    >>> record_bytes(Example("r1", "Where?", "Here."))[:45]
    b'{"alternative_answer":"","answer":"Here.","pa'
    """
    body = {**vars(example), "type": "Example"}
    if not example.subgroup:
        del body["subgroup"]
    return _encode(body).encode()


def records_digest(examples: Iterable[Example]) -> str:
    """Digest of a set of records, whatever their order: over the sorted SHA-256 digests of the single records.

    Args:
        examples: read once; 32 bytes of each are held.
    """
    import numpy as np

    found = bytearray()
    for example in examples:
        found += hashlib.sha256(record_bytes(example)).digest()
    rows = np.frombuffer(found, dtype="S32")
    rows.sort()
    return digest_bytes(b"records\n" + bytes(found))
