"""RippleEdits: what follows from an edit and what must not change. Source: Cohen et al. 2023 (2307.12976), section 3.

Read are ``recent``, ``random`` and ``popular``, of which one is enough: of each case the six lists of tests, and of
each test ``test_queries`` and ``condition_queries`` (``prompt``, ``answers`` of ``value`` and ``aliases``) and
``test_condition`` (``OR`` or ``AND``). A test counts only if the original answers all of its condition queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of, texts_of, value_of

NAMES = ("recent", "random", "popular")
CRITERIA: dict[str, tuple[str, Role]] = {
    "Logical_Generalization": ("logical", "forget"),
    "Compositionality_I": ("composed", "forget"),
    "Compositionality_II": ("composed_into", "forget"),
    "Subject_Aliasing": ("alias", "forget"),
    "Forgetfulness": ("preserved", "neighbour"),
    "Relation_Specificity": ("specific", "neighbour"),
}
"""List of a case -> subset and role. ``Forgetfulness`` tests what the paper calls preservation."""
GET = "Download recent.json, random.json or popular.json of RippleEdits, and point --data at their folder"


def read(data: str) -> Examples:
    """The tests of six criteria with their conditions.

    Args:
        data: folder with at least one of the three files.

    Returns:
        As ``tests``.

    Raises:
        StoreError: no file is there, or one is malformed.
    """
    files = Published(data, GET)
    found = [e for name in NAMES for e in tests(files.rows(name, needed=False), name)]
    if not found:
        raise StoreError(f"{data} holds no tests of RippleEdits", why="none of its three files is there", next=GET)
    return Examples(found)


def tests(rows: Sequence[Any], name: str) -> Iterator[Example]:
    """Examples of the role forget or neighbour in the criterion's subset, its conditions in one that ends in ``_if``.

    Any alias of an answer counts; they are lines of the other wordings. All queries of a test must be answered
    (``recent-3-logical-0&1``), or any of them where the test says OR (``recent-3-logical-0|1``).
    """
    for place, row in enumerate(rows):
        where, case = f"{name}, row {place + 1}", f"{name}-{place:05d}"
        for field, (subset, role) in CRITERIA.items():
            for t, test in enumerate(row.get(field) or () if isinstance(row, dict) else ()):
                key = f"{case}-{subset}-{t}"
                mark = "|" if value_of(test, "test_condition", str, where=where) == "OR" else "&"
                for list_of, sign, part in (("test_queries", mark, subset), ("condition_queries", "?", f"{subset}_if")):
                    for q, query in enumerate(value_of(test, list_of, list, where=where)):
                        if wordings := _wordings(query, where):
                            yield Example(
                                f"{key}{sign}{q}",
                                text_of(query, "prompt", where=where),
                                wordings[0],
                                subject=case,
                                role=role,
                                subset=part,
                                paraphrased_answer="\n".join(wordings[1:]),
                            )


def _wordings(query: Any, where: str) -> list[str]:
    """Every wording of every answer; a query without any is left out."""
    found: list[str] = []
    for answer in value_of(query, "answers", list, where=where):
        found += [text_of(answer, "value", where=where), *texts_of(answer, "aliases", where=where)]
    return [wording for wording in dict.fromkeys(found) if wording.strip()]
