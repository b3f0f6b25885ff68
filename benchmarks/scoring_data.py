"""TOFU's roles for ``benchmarks.scoring``: the rows of its files, or made-up ones with as many tokens."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.steps_data import ANSWER, QUESTION, drawn
from expunge.core.canonical import read_json
from expunge.core.example import Examples
from expunge.data.rows import to_example

# Deciles of the tokens of the short questions and answers, under the tokenizer of ``benchmarks.steps_data``.
SHORT_QUESTION = (8, 11, 13, 14, 16, 17, 18, 19, 21, 24, 48)
SHORT_ANSWER = (1, 3, 4, 4, 5, 6, 6, 7, 8, 9, 18)
FILES = {
    "forget": "forget10_perturbed",
    "retain": "retain_perturbed",
    "holdout": "holdout10",
    "real_authors": "real_authors_perturbed",
    "world_facts": "world_facts_perturbed",
}
WRONG = {"forget": 5, "retain": 5, "holdout": 0, "real_authors": 3, "world_facts": 3}
SHARE = {"forget": 1.0, "retain": 1.0, "holdout": 1.0, "real_authors": 0.25, "world_facts": 0.29}
"""Rows of each role for one of the forgotten, as in the paper."""


def _made_up(role: str, count: int) -> list[dict[str, Any]]:
    rng = random.Random(role)
    words = [f" {a}{b}" for a in "bdfgklmnprst" for b in ("an", "or", "il", "us")]
    general = role not in ANSWER and role != "holdout"
    asked, said = (SHORT_QUESTION, SHORT_ANSWER) if general else (QUESTION["forget"], ANSWER["forget"])

    def text(deciles: tuple[int, ...]) -> str:
        return "".join(rng.choice(words) for _ in range(drawn(deciles, rng)))

    rows: list[dict[str, Any]] = []
    for _ in range(count):
        rows.append({"question": text(asked), "answer": text(said)})
        if WRONG[role]:
            rows[-1]["perturbed_answer"] = [text(said) for _ in range(WRONG[role])]
        if WRONG[role] and not general:
            rows[-1]["paraphrased_answer"] = text(said)
    return rows


def roles(folder: Path, rows: int) -> dict[str, Examples]:
    """Some rows of each role. Of real authors and world facts, the answer itself stands beside the wrong ones."""
    found: dict[str, Examples] = {}
    for role, name in FILES.items():
        file, count = folder / f"{name}.json", max(2, round(rows * SHARE[role]))
        given = read_json(file)[:count] if file.is_file() else _made_up(role, count)
        examples = [
            to_example(row, where=f"{name}, row {i + 1}", default_id=f"{role}{i}") for i, row in enumerate(given)
        ]
        found[role] = Examples(
            replace(e, paraphrased_answer=e.paraphrased_answer or e.answer) if WRONG[role] else e for e in examples
        )
    return found
