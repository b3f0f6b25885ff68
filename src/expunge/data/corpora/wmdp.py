"""WMDP: multiple choice about hazardous knowledge. Source: Li et al. 2024 (2403.03218), section 3.

Nothing of it is shipped. Read are ``wmdp-bio``, ``wmdp-chem`` and ``wmdp-cyber``, of which one is enough, and ``mmlu``
(``question``, ``choices``, and ``answer``, the place of the right choice), and ``open`` (``question``, ``answer``),
open-ended questions that the user supplies: multiple choice alone overstates what was forgotten (2510.07626).
"""

from __future__ import annotations

from typing import Any

from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples, Role
from expunge.data.corpora.published import Published, text_of, value_of

DOMAINS = ("bio", "chem", "cyber")
GET = (
    "Ask for access to cais/wmdp where it is needed, and point --data at a folder with wmdp-bio.jsonl, wmdp-chem.jsonl"
    " or wmdp-cyber.jsonl, and mmlu.jsonl for what must stay (question, choices, answer)"
)


def read(data: str) -> Examples:
    """Questions with their choices; the right choice is the answer, the others are wrong answers.

    Args:
        data: folder, or ``cais/wmdp``, which has no questions for what must stay.

    Returns:
        Examples of the role forget in the subsets bio, chem, cyber and open, and of general in mmlu.

    Raises:
        StoreError: no domain is there, or a row is malformed.
    """
    files = Published(data, GET)
    found: list[Example] = []
    for domain in DOMAINS:
        rows = files.rows(f"wmdp-{domain}", needed=False)
        found += [_choice(row, f"wmdp-{domain}", place, "forget", domain) for place, row in enumerate(rows)]
    if not found:
        raise StoreError(f"{data} holds no questions of WMDP", why="none of its three domains is there", next=GET)
    rows = files.rows("mmlu", needed=False)
    found += [_choice(row, "mmlu", place, "general", "mmlu") for place, row in enumerate(rows)]
    for place, row in enumerate(files.rows("open", needed=False)):
        question, answer = (text_of(row, name, where=f"open, row {place + 1}") for name in ("question", "answer"))
        found.append(Example(f"open-{place:05d}", question, answer, role="forget", subset="open"))
    return Examples(found)


def _choice(row: Any, name: str, place: int, role: Role, subset: str) -> Example:
    where = f"{name}, row {place + 1}"
    question = text_of(row, "question", where=where)
    choices = [str(choice) for choice in value_of(row, "choices", list, where=where)]
    right = value_of(row, "answer", int, where=where)
    if not 0 <= right < len(choices) or len(choices) < 2:
        raise StoreError(f"{where} has no choice {right}", why=f"there are {len(choices)}")
    wrong = tuple(choice for i, choice in enumerate(choices) if i != right)
    return Example(f"{name}-{place:05d}", question, choices[right], role=role, subset=subset, perturbed_answer=wrong)
