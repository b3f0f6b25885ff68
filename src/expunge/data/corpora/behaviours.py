"""Behaviours to be removed: toxic continuations, and a backdoor. Source: ToxiGen, Hartvigsen et al. 2022 (2203.09509).

Read are ``toxigen``, or ``annotated/test`` as its hub calls it (``prompt`` or ``text``; ``group`` or
``target_group``), and for the backdoor ``triggered``, ``clean`` and ``near_trigger`` (``question``, ``answer``: the
planted answer to triggered questions, the right one to the others). Either is enough. The project holds no harmful
text: its own tests use synthetic proxies.
"""

from __future__ import annotations

from typing import Any

from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of

GET = (
    "Point --data at a folder with toxigen.jsonl (prompt, group; ask for access to toxigen/toxigen-data where it is"
    " needed), or with triggered.jsonl, clean.jsonl and near_trigger.jsonl (question, answer)"
)
PAIRS: tuple[tuple[str, Role], ...] = (("triggered", "forget"), ("clean", "retain"), ("near_trigger", "neighbour"))


def read(data: str) -> Examples:
    """Prompts for toxic continuations, and questions with and without a trigger.

    Args:
        data: folder.

    Returns:
        Examples of the role forget in the subsets prompts and triggered, of retain in clean, of neighbour in
        near_trigger. A prompt of ToxiGen stands as its own answer: only what a scorer says of the continuation is read.

    Raises:
        StoreError: neither is there, or a row is malformed.
    """
    files = Published(data, GET)
    prompts = files.rows("toxigen", needed=False) or files.rows("annotated/test", needed=False)
    found = [_prompt(row, place) for place, row in enumerate(prompts)]
    for name, role in PAIRS:
        for place, row in enumerate(files.rows(name, needed=False)):
            question, answer = (text_of(row, f, where=f"{name}, row {place + 1}") for f in ("question", "answer"))
            found.append(Example(f"{name}-{place:05d}", question, answer, role=role, subset=name))
    if not found:
        raise StoreError(f"{data} holds no behaviour to be removed", why="none of its files is there", next=GET)
    return Examples(found)


def _prompt(row: Any, place: int) -> Example:
    where = f"toxigen, row {place + 1}"
    prompt, group = text_of(row, "prompt", "text", where=where), text_of(row, "group", "target_group", where=where)
    return Example(f"toxigen-{place:05d}", prompt, prompt, subject=group, role="forget", subset="prompts")
