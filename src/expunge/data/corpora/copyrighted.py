"""Protected passages, the facts in them that others tell too, and passages that no model saw.

There is no one published layout: MUSE and DUSK (2505.15209) name the parts. Read are ``passages`` (``prompt``, the
beginning, and ``continuation``, or MUSE's ``gt``), ``facts`` (``question``, ``answer``: facts that documents which stay
tell as well, to be kept), and ``unseen`` (as passages), if it is there. ``title``, of the work, is resampled as one.
"""

from __future__ import annotations

from typing import Any

from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of

GET = (
    "Point --data at a folder with passages.jsonl (prompt, continuation, title), facts.jsonl (question, answer, title)"
    " and, for a comparison with what was never seen, unseen.jsonl (as passages)"
)


def read(data: str) -> Examples:
    """Passages that must not be recited and facts that must stay.

    Args:
        data: folder.

    Returns:
        Examples of the roles forget, in the subset passages, retain, in facts, and holdout, in passages.

    Raises:
        StoreError: a file is missing or malformed.
    """
    files = Published(data, GET)
    roles: tuple[tuple[str, Role, bool], ...] = (("passages", "forget", True), ("unseen", "holdout", False))
    found = [
        _record(row, file, place, role, ("prompt",), ("continuation", "gt"), "passages")
        for file, role, needed in roles
        for place, row in enumerate(files.rows(file, needed=needed))
    ]
    facts = enumerate(files.rows("facts"))
    return Examples(
        [*found, *(_record(r, "facts", i, "retain", ("question",), ("answer",), "facts") for i, r in facts)]
    )


def _record(
    row: Any, file: str, place: int, role: Role, asked: tuple[str, ...], said: tuple[str, ...], subset: str
) -> Example:
    where = f"{file}, row {place + 1}"
    question, answer = (text_of(row, *names, where=where) for names in (asked, said))
    work = text_of(row, "title", where=where) if row.get("title") else ""
    return Example(f"{file}-{place:05d}", question, answer, subject=work, role=role, subset=subset)
