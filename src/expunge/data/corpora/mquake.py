"""MQuAKE: questions over several hops, one of which is in scope. Source: Zhong et al. 2023 (2305.14795), section 3.

Read is ``MQuAKE-CF-3k-v2`` (the first version contradicts itself): of each case ``requested_rewrite`` (``question``,
``target_true.str``, ``subject``), ``questions`` (three wordings of one chain), ``answer``, ``answer_alias`` and
``single_hops`` (``question``, ``answer``, ``answer_alias``). What is read is the world before the edit: here its facts
are to be forgotten, and a chain whose old answer is still given has leaked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of, texts_of, value_of

NAME = "MQuAKE-CF-3k-v2"
GET = f"Download {NAME}.json of MQuAKE, and point --data at its folder"


def read(data: str) -> Examples:
    """Facts in scope, chains over them, and the hops that lie outside.

    Args:
        data: folder with ``MQuAKE-CF-3k-v2.json``.

    Returns:
        As ``cases``.

    Raises:
        StoreError: the file is missing or malformed.
    """
    return Examples(cases(Published(data, GET).rows(NAME)))


def cases(rows: Sequence[Any]) -> Iterator[Example]:
    """Examples of the role forget in the subsets fact, chain and hop, and of neighbour in outside.

    Of a chain any wording counts (``chain-7|0``), and any alias of its answer, one a line of the other wordings. Its
    hops are what the original must know before the chain counts (``chain-7?0``). A hop that is no fact in scope must
    stay.
    """
    for place, row in enumerate(rows):
        where, case = f"{NAME}, row {place + 1}", f"case-{place:05d}"
        scope: set[str] = set()
        for k, rewrite in enumerate(value_of(row, "requested_rewrite", list, where=where)):
            question = text_of(rewrite, "question", where=where)
            true = text_of(value_of(rewrite, "target_true", dict, where=where), "str", where=where)
            scope.add(question)
            yield Example(f"fact-{place:05d}-{k}", question, true, subject=case, role="forget", subset="fact")
        for k, question in enumerate(texts_of(row, "questions", where=where)):
            yield _asked(row, question, f"chain-{place:05d}|{k}", case, "forget", "chain", where)
        for k, hop in enumerate(value_of(row, "single_hops", list, where=where)):
            question = text_of(hop, "question", where=where)
            yield _asked(hop, question, f"chain-{place:05d}?{k}", case, "forget", "hop", where)
            if question not in scope:
                yield _asked(hop, question, f"outside-{place:05d}-{k}", case, "neighbour", "outside", where)


def _asked(row: Any, question: str, key: str, case: str, role: Role, subset: str, where: str) -> Example:
    answer, others = text_of(row, "answer", where=where), texts_of(row, "answer_alias", where=where)
    wordings = "\n".join(others)
    return Example(key, question, answer, subject=case, role=role, subset=subset, paraphrased_answer=wordings)
