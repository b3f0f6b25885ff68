"""CounterFact: facts, their rewordings, and others of one form. Source: Meng et al. 2022 (2202.05262), 3.3.

Read is ``counterfact``: of each case ``requested_rewrite`` (``prompt`` with ``{}`` for the ``subject``,
``target_true.str``, ``target_new.str``), ``paraphrase_prompts`` and ``neighborhood_prompts``, whose answer is
``target_true.str`` as well: what must stay looks just like what must go.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of, texts_of, value_of

NAME = "counterfact"
GET = f"Download {NAME}.json of ROME, and point --data at its folder"


def read(data: str) -> Examples:
    """Facts in scope, their rewordings, and their neighbours.

    Args:
        data: folder with ``counterfact.json``.

    Returns:
        As ``cases``.

    Raises:
        StoreError: the file is missing or malformed.
    """
    return Examples(cases(Published(data, GET).rows(NAME)))


def cases(rows: Sequence[Any]) -> Iterator[Example]:
    """Examples of the role forget in the subsets rewrite and paraphrase, and of neighbour in neighbourhood.

    The answer that an editor would put in its place is the wrong answer beside each.
    """
    for place, row in enumerate(rows):
        where = f"{NAME}, row {place + 1}"
        rewrite = value_of(row, "requested_rewrite", dict, where=where)
        true, new = (
            text_of(value_of(rewrite, name, dict, where=where), "str", where=where)
            for name in ("target_true", "target_new")
        )
        about = text_of(rewrite, "subject", where=where)
        asked = text_of(rewrite, "prompt", where=where).replace("{}", about)
        groups: tuple[tuple[str, Role, Sequence[str]], ...] = (
            ("rewrite", "forget", (asked,)),
            ("paraphrase", "forget", texts_of(row, "paraphrase_prompts", where=where)),
            ("neighbourhood", "neighbour", texts_of(row, "neighborhood_prompts", where=where)),
        )
        for subset, role, prompts in groups:
            for k, prompt in enumerate(prompts):
                yield Example(
                    f"{subset}-{place:05d}-{k}",
                    prompt,
                    true,
                    subject=f"fact-{place:05d}",
                    role=role,
                    subset=subset,
                    perturbed_answer=(new,),
                )
