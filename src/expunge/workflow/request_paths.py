"""Where the parts of a request are, and what is read from there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from expunge.core.errors import ScopeError
from expunge.core.example import Example, Examples
from expunge.core.selection import Selection, check_disjoint
from expunge.data.opening import read_records
from expunge.data.rows import stem_of

ROLES = ("forget", "retain", "holdout", "validation", "general")


@dataclass(frozen=True)
class Paths:
    """Where the parts of a request are.

    Args:
        model: folder or hub name.
        forget: records to forget.
        retain: records to keep.
        holdout: records that no model saw, None for none.
        validation: more of them, for calibration, None for none.
        general: facts that must survive, None for none.
    """

    model: str
    forget: Path
    retain: Path | None = None
    holdout: Path | None = None
    validation: Path | None = None
    general: Path | None = None


def read_selection(paths: Paths) -> Selection:
    """Read and check the files.

    Raises:
        StoreError: a file is missing or malformed.
        ScopeError: nothing to forget, or a record is in two roles.
    """
    files: dict[str, Path] = {role: path for role in ROLES if (path := getattr(paths, role)) is not None}
    stems = [stem_of(path) for path in files.values()]
    found: dict[str, Any] = {}
    for role, path in files.items():
        stem = stem_of(path) if stems.count(stem_of(path)) > 1 else ""
        found[role] = Examples(_in_role(role, stem, read_records(path)))
    if not found["forget"]:
        raise ScopeError("the forget set is empty", why=f"{paths.forget} holds no record", next="Name what to forget")
    check_disjoint(**found)
    return Selection(**found)


def _in_role(role: str, shared_stem: str, examples: Examples) -> Iterator[Example]:
    """Examples with their role. Rows without an id are named after their file, which two files may be called alike."""
    for index, example in enumerate(examples):
        unnamed = example.record_id == f"{shared_stem}-{index:05d}"
        yield replace(example, role=role, record_id=f"{role}-{index:05d}" if unnamed else example.record_id)
