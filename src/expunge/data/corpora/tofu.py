"""TOFU: questions and answers about invented authors. Source: Maini et al. 2024 (2401.06121), section 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples
from expunge.data.jsonl import to_example

PER_AUTHOR = 20
FILES = ("full_perturbed", "holdout10", "world_facts_perturbed")


def _rows(folder: Path, name: str) -> list[Mapping[str, Any]]:
    file = folder / f"{name}.json"
    if not file.is_file():
        raise StoreError(
            f"{folder} lacks {file.name}",
            why=f"the road needs {', '.join(FILES)}",
            next="Point --data at a folder with TOFU's files, one JSON array each",
        )
    rows = read_json(file)
    if not isinstance(rows, list) or not rows:
        raise StoreError(f"{file} is not a JSON array of records")
    return rows


def _author(rows: list[Mapping[str, Any]], index: int, *, file: str, role: str) -> list[Example]:
    start = index * PER_AUTHOR
    examples = [
        to_example(row, where=f"{file}, row {start + i + 1}", default_id=f"{file}-{start + i:04d}")
        for i, row in enumerate(rows[start : start + PER_AUTHOR])
    ]
    return [replace(e, subject=f"{file}-author-{index:03d}", role=role) for e in examples]


def tofu(folder: Path, *, authors: int, forget: int) -> Examples:
    """The last authors of the full set, the very last of them to be forgotten, with never-seen authors beside them.

    Args:
        folder: with TOFU's files.
        authors: that the original learns.
        forget: of them that are forgotten.

    Returns:
        Examples of the roles forget, retain, validation and holdout (half of the holdout file's authors each) and
        general (world facts, which no model here is trained on).

    Raises:
        StoreError: a file is missing or malformed, or there are not that many authors.
    """
    full = _rows(folder, "full_perturbed")
    total = len(full) // PER_AUTHOR
    if not 1 <= forget < authors <= total:
        raise StoreError(
            f"cannot forget {forget} of {authors} authors",
            why=f"the data holds {total}, and at least one must stay",
            next="Choose 1 <= forget < authors",
        )
    chosen = range(total - authors, total)
    items: list[Example] = []
    for index in chosen:
        role = "forget" if index >= total - forget else "retain"
        items += _author(full, index, file="full", role=role)
    unseen = _rows(folder, "holdout10")
    count = len(unseen) // PER_AUTHOR
    for index in range(count):
        role = "validation" if index < count // 2 else "holdout"
        items += _author(unseen, index, file="holdout10", role=role)
    facts = _rows(folder, "world_facts_perturbed")
    for i, row in enumerate(facts):
        # World facts have no paraphrase; the answer itself is the right option beside the wrong ones, as in the paper.
        fact = to_example(row, where=f"world_facts_perturbed, row {i + 1}", default_id=f"fact-{i:03d}")
        items.append(replace(fact, role="general", paraphrased_answer=fact.answer))
    return Examples(items)
