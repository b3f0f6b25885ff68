"""Examples: questions with their answers, as every store yields them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from json.encoder import encode_basestring as quoted
from typing import Any, Literal, overload

from pydantic import TypeAdapter

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


def with_role(example: Example, role: str) -> Example:
    """The same record with a role; itself where it has that one."""
    if example.role == role:
        return example
    told: dict[str, Any] = {**vars(example), "role": role}
    return Example(**told)


@functools.cache
def _many() -> TypeAdapter[list[Example]]:
    return TypeAdapter(list[Example])


def examples_of(rows: Iterable[Mapping[str, Any]]) -> list[Example]:
    """An example of the fields in each row, checked as one by itself is, in half of the time.

    >>> examples_of([{"record_id": "r1", "question": "Where?", "answer": "Here."}])[0].answer
    'Here.'
    """
    return _many().validate_python(list(rows))


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


def record_bytes(example: Example, *, role: str | None = None) -> bytes:
    """``canonical_bytes`` of an example, many times faster: it holds texts only, and its fields are known.

    Args:
        example: any.
        role: written in the place of its own; None for its own.

    >>> record_bytes(Example("r1", "Where?", "Here."))[:45]
    b'{"alternative_answer":"","answer":"Here.","pa'
    """
    e, wrong = example, ",".join(map(quoted, example.perturbed_answer))
    own = e.role if role is None else role
    subgroup = f'"subgroup":{quoted(e.subgroup)},' if e.subgroup else ""
    return (
        f'{{"alternative_answer":{quoted(e.alternative_answer)},"answer":{quoted(e.answer)},'
        f'"paraphrased_answer":{quoted(e.paraphrased_answer)},'
        f'"paraphrased_question":{quoted(e.paraphrased_question)},"perturbed_answer":[{wrong}],'
        f'"question":{quoted(e.question)},"record_id":{quoted(e.record_id)},"relation":{quoted(e.relation)},'
        f'"role":{quoted(own)},{subgroup}"subject":{quoted(e.subject)},"subset":{quoted(e.subset)},'
        '"type":"Example"}'
    ).encode()


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
