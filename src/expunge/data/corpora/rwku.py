"""RWKU: probes about well-known people, who are real. Source: Jin et al. 2024 (2406.10890), section 3.

Read are ``forget_level1`` (cloze), ``forget_level2`` (questions), ``forget_level3`` (nine ways of asking past a guard;
its ``type`` says which), ``neighbor_level1`` and ``neighbor_level2``: ``query``, ``answer``, and ``target`` or
``subject``, whose place in the order of names stands for the person everywhere here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of

GET = (
    "Download jinzhuoran/RWKU, and point --data at a folder with forget_level1.json, forget_level2.json,"
    " forget_level3.json, neighbor_level1.json and neighbor_level2.json"
)
FILES: tuple[tuple[str, Role, str], ...] = (
    ("forget_level1", "forget", "level1"),
    ("forget_level2", "forget", "level2"),
    ("forget_level3", "forget", "level3"),
    ("neighbor_level1", "neighbour", "level1"),
    ("neighbor_level2", "neighbour", "level2"),
)


def read(data: str, *, people: int = 0) -> Examples:
    """Probes of what must be gone and of what must stay.

    Args:
        data: folder, or ``jinzhuoran/RWKU``.
        people: of whom the first so many in the order of their names are read; 0 for all.

    Returns:
        Examples of the role forget in the subsets level1, level2 and level3, and of neighbour in level1 and level2.

    Raises:
        StoreError: a file is missing or malformed.
    """
    files = Published(data, GET)
    rows = {name: files.rows(name) for name, _, _ in FILES}
    names = sorted({_person(row, f"{name}, row {i + 1}") for name in rows for i, row in enumerate(rows[name])})
    numbers = {person: number for number, person in enumerate(names) if not people or number < people}
    return Examples(
        example for name, role, subset in FILES for example in _probes(rows[name], name, role, subset, numbers)
    )


def _person(row: Any, where: str) -> str:
    return text_of(row, "target", "subject", where=where)


def _probes(rows: Sequence[Any], name: str, role: Role, subset: str, numbers: Mapping[str, int]) -> list[Example]:
    found: list[Example] = []
    for place, row in enumerate(rows):
        where = f"{name}, row {place + 1}"
        number = numbers.get(_person(row, where))
        if number is None:
            continue
        question, answer = (text_of(row, field, where=where) for field in ("query", "answer"))
        kind = row["type"] if isinstance(row.get("type"), str) else ""
        found.append(
            Example(
                f"{name}-{place:05d}",
                question,
                answer,
                subject=f"person-{number:03d}",
                role=role,
                relation=kind,
                subset=subset,
            )
        )
    return found
