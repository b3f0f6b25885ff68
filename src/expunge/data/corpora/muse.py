"""MUSE: news articles or books, with questions about them. Source: Shi et al. 2024 (2407.06460), section 3.

Read are, by configuration and split: ``verbmem/forget`` (``prompt``, ``gt``), ``knowmem/forget_qa`` and
``knowmem/retain_qa`` (``question``, ``answer``), ``knowmem/forget_qa_icl`` and ``knowmem/retain_qa_icl`` (the solved
examples before each question, if they are there), ``privleak/forget`` and ``privleak/holdout`` (``text``, or bare
texts). Prompts and questions go through the model's own template like every other; the paper continues raw text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of

GET = (
    "Download muse-bench/MUSE-News or muse-bench/MUSE-Books, and point --data at a folder with one JSON Lines file for"
    " each configuration and split, for example knowmem/forget_qa.jsonl"
)


def read(data: str) -> Examples:
    """The data of the first four criteria.

    Args:
        data: folder, or ``muse-bench/MUSE-News``.

    Returns:
        Examples of the role forget in the subsets verbatim, knowledge and text, of retain in knowledge, and of holdout
        in text. A text has no question. There are no subjects: each record stands for itself.

    Raises:
        StoreError: a file is missing or malformed.
    """
    files = Published(data, GET)
    found: list[Example] = []
    for place, row in enumerate(files.rows("verbmem/forget")):
        where = f"verbmem/forget, row {place + 1}"
        prompt, rest = text_of(row, "prompt", where=where), text_of(row, "gt", where=where)
        found.append(Example(f"verbatim-{place:05d}", prompt, rest, role="forget", subset="verbatim"))
    for role in ("forget", "retain"):
        before = _solved(files.rows(f"knowmem/{role}_qa_icl", needed=False), role)
        for place, row in enumerate(files.rows(f"knowmem/{role}_qa")):
            where = f"knowmem/{role}_qa, row {place + 1}"
            question, answer = (text_of(row, name, where=where) for name in ("question", "answer"))
            key = f"knowledge-{role}-{place:05d}"
            found.append(Example(key, before + question, answer, role=role, subset="knowledge"))
    roles: tuple[Role, ...] = ("forget", "holdout")
    for role in roles:
        for place, row in enumerate(files.rows(f"privleak/{role}")):
            text = row if isinstance(row, str) else text_of(row, "text", where=f"privleak/{role}, row {place + 1}")
            found.append(Example(f"text-{role}-{place:05d}", "", text, role=role, subset="text"))
    return Examples(found)


def _solved(rows: Sequence[Any], role: str) -> str:
    """Solved examples, up to where the next question begins; a template's own "Question:" comes before all of it."""
    pairs = [
        [text_of(row, name, where=f"knowmem/{role}_qa_icl, row {place + 1}") for name in ("question", "answer")]
        for place, row in enumerate(rows)
    ]
    return "".join(f"{question}\nAnswer: {answer}\n\nQuestion: " for question, answer in pairs)
