"""What the forgotten records of a run say, for a report that was asked to show it. Loads no torch."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expunge.core.errors import EvidenceError, StoreError
from expunge.evaluation.per_item import PerItem
from expunge.evaluation.report_data import item_scores, numbering
from expunge.evaluation.report_items import Texts
from expunge.evaluation.score_table import load_tables
from expunge.workflow.purge_scope import SHARED

SCORES, ORIGINAL, TOKENIZER = "scores", "original", "tokenizer.json"
END = "(end)"


def texts_of(run: Path, evidence: Mapping[str, Any]) -> Texts:
    """Questions, answers and what each model answers, in the order of the numbers in the evidence.

    Args:
        run: folder with the score tables.
        evidence: of the same run.

    Raises:
        StoreError: the run does not keep its score tables.
        EvidenceError: they are not those that the evidence was made from.
    """
    if not (run / SCORES / ORIGINAL / "forget.json").is_file():
        raise StoreError(
            f"{run} keeps no text to show",
            why=f"{run / SCORES / ORIGINAL} is not there",
            next="Name the folder of one seed" if list(run.glob("seed-*")) else "Leave out --show-text",
        )
    keys = [row["key"] for row in evidence["rows"] if (run / SCORES / row["key"]).is_dir()]
    tables = {key: load_tables(run / SCORES / key) for key in keys}
    items = PerItem({key: {"forget": found["forget"]} for key, found in tables.items() if "forget" in found})
    known = evidence.get("items") or {}
    again = item_scores(items, {ORIGINAL: ORIGINAL})
    told = {score: found.get(ORIGINAL) for score, found in known.get("scores", {}).items()}
    if not known or any(again["scores"][name][ORIGINAL] != told.get(name) for name in again["scores"]):
        raise EvidenceError(
            f"the score tables in {run / SCORES} are not those that the evidence was made from",
            why="text would stand beside the numbers of other records",
            next="Make the run again, or leave out --show-text",
        )
    order = numbering(items)

    def ordered(key: str, column: str) -> list[str]:
        found = items.column(key, "forget", column)
        return [] if found is None else [str(found[place]) for place in order]

    answers = ordered(ORIGINAL, "text")
    generated = {key: said for key in tables if (said := ordered(key, "generated"))}
    return Texts(answers, _questions(run, items, order), generated, _tokens(run, evidence, answers))


def _questions(run: Path, items: PerItem, order: Sequence[int]) -> list[str]:
    path = next((run / name for name in SHARED if (run / name).is_file()), None)
    if path is None:
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    asked = {str(row["record_id"]): str(row["question"]) for row in rows}
    ids = sorted(str(name) for name in items.of(ORIGINAL, "forget")[0]["ids"])
    return [asked.get(ids[place], "") for place in order]


def _tokens(run: Path, evidence: Mapping[str, Any], answers: Sequence[str]) -> dict[int, list[str]]:
    """Text of the tokens of each answer that a strip shows, where splitting it gives as many as were scored."""
    path = run / ORIGINAL / TOKENIZER
    if not path.is_file() or importlib.util.find_spec("tokenizers") is None:
        return {}
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    found: dict[int, list[str]] = {}
    for strip in (strip for row in evidence["rows"] for strip in row.get("strips", ())):
        answer: str = answers[int(strip["item"]) - 1]
        for text in (f" {answer}", answer):
            spans = tokenizer.encode(text, add_special_tokens=False).offsets
            pieces = [text[start:stop] for start, stop in spans]
            if len(pieces) + 1 == len(strip["after"]):
                found[strip["item"]] = [*pieces, END]
                break
    return found
