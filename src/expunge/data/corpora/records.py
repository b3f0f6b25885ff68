"""Anybody's own records: one file a role in the TOFU schema, or one file that says the role of each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from expunge.core.errors import StoreError
from expunge.core.example import ROLES, Example, Examples
from expunge.data.corpora.published import Published
from expunge.data.jsonl import read_examples
from expunge.data.rows import to_example

GET = (
    "Point --data at a folder with forget.jsonl and retain.jsonl (question, answer, subject), and holdout.jsonl with"
    " records that no model saw; or at one file whose records say their role"
)


def read(data: str) -> Examples:
    """Records by role.

    Args:
        data: folder or file.

    Returns:
        Examples of the roles that are there, forget and retain among them.

    Raises:
        StoreError: forget or retain is missing, or a row is malformed.
    """
    if Path(data).is_file():
        found = read_examples(Path(data))
    else:
        files = Published(data, GET)
        found = Examples(
            _record(row, role, place)
            for role in ROLES
            for place, row in enumerate(files.rows(role, needed=role in ("forget", "retain")))
        )
    for role in ("forget", "retain"):
        if not found.of(role):
            raise StoreError(f"{data} holds no {role} records", next=GET)
    return found


def _record(row: object, role: str, place: int) -> Example:
    example = to_example(row, where=f"{role}, row {place + 1}", default_id=f"{role}-{place:05d}")
    return replace(example, role=role)
