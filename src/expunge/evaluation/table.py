"""The table of an evaluation as plain text and as Markdown: the same bytes for the same evidence."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence

from expunge.charts.markup import clean
from expunge.evaluation.report_cells import (
    Evidence,
    check,
    given_line,
    grid,
    ridge_line,
    unearned,
    utility_lines,
    wish_line,
)
from expunge.evaluation.report_costs import HEADS, any_cost, cost_notes, cost_texts

WIDTH = 150
LABEL = (16, 24)
GAP = "  "
LEFT = frozenset({"guarantee"})


def one_line(text: object) -> str:
    """Text on one line, without what a terminal would obey.

    >>> one_line("two\\n lines\\x1b[2J")
    'two lines\ufffd[2J'
    """
    return clean(" ".join(str(text).split()))


def display_width(text: str) -> int:
    """Columns that a terminal gives to a text.

    >>> display_width("né"), display_width("漢")
    (2, 2)
    """
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _pad(text: str, width: int, left: bool) -> str:
    fill = " " * (width - display_width(text))
    return text + fill if left else fill + text


def _wrap(text: str, width: int) -> list[str]:
    rows: list[str] = []
    for row in textwrap.wrap(text, width, break_on_hyphens=False) or [""]:
        while display_width(row) > width:  # wide characters: textwrap counts each as one
            cut = next(k for k in range(len(row), 0, -1) if display_width(row[:k]) <= width)
            rows.append(row[:cut])
            row = row[cut:]
        rows.append(row)
    return rows


def _columns(heads: Sequence[str], bodies: Sequence[Sequence[str]]) -> tuple[list[int], list[list[str]]]:
    widths: list[int] = []
    wrapped: list[list[str]] = []
    for head, body in zip(heads, bodies, strict=True):
        longest = max((display_width(word) for word in head.split()), default=0)
        width = max([longest, *map(display_width, body)])
        widths.append(width)
        wrapped.append(_wrap(head, max(width, 1)))
    return widths, wrapped


def _line(texts: Sequence[str], widths: Sequence[int], lefts: Sequence[bool]) -> str:
    return GAP.join(_pad(t, w, left) for t, w, left in zip(texts, widths, lefts, strict=True)).rstrip()


def _body(evidence: Evidence) -> tuple[list[str], list[str]]:
    cells, notes = grid(evidence)
    columns = [one_line(column["label"]) for column in evidence["columns"]]
    texts = [[str(cell) for cell in row] for row in cells]
    widths, heads = _columns(columns, [[row[k] for row in texts] for k in range(len(columns))])
    room = WIDTH - sum(widths) - len(GAP) * len(widths)
    labels = [_wrap(one_line(row["label"]), min(max(room, LABEL[0]), LABEL[1])) for row in evidence["rows"]]
    first, title = _columns(["method"], [[part for label in labels for part in label]])
    widths, heads = first + widths, title + heads
    lefts = [True, *(column["key"] in LEFT for column in evidence["columns"])]
    tall = max(map(len, heads))
    heads = [[""] * (tall - len(head)) + head for head in heads]
    lines = [_line([head[k] for head in heads], widths, lefts) for k in range(tall)]
    lines.append(GAP.join("-" * width for width in widths))
    for label, row in zip(labels, texts, strict=True):
        lines.append(_line([label[0], *row], widths, lefts))
        lines += ["  " + part for part in label[1:]]
    return lines, notes.reasons


def _folded(text: str, mark: str = "") -> list[str]:
    lines = textwrap.wrap(one_line(text), WIDTH - len(mark), break_on_hyphens=False) or [""]
    return [mark + lines[0], *(" " * len(mark) + line for line in lines[1:])]


def _facts(evidence: Evidence) -> tuple[str, ...]:
    return wish_line(evidence), given_line(evidence), ridge_line(evidence), *utility_lines(evidence)


def _costs(evidence: Evidence) -> list[str]:
    """What making each model took, beside the seconds that the table has; empty where nothing was counted."""
    if not any_cost(evidence):
        return []
    heads = ["making the model", *HEADS.values()]
    rows = [[one_line(row["label"]), *cost_texts(row)] for row in evidence["rows"]]
    widths = [max(map(display_width, column)) for column in zip(heads, *rows, strict=True)]
    lefts = [True] + [False] * len(HEADS)
    lines = [_line(heads, widths, lefts), GAP.join("-" * width for width in widths)]
    lines += [_line(row, widths, lefts) for row in rows]
    return [*lines, "", *(line for text in cost_notes(evidence) for line in _folded(text)), ""]


def _below(evidence: Evidence, reasons: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for count, reason in enumerate(reasons, 1):
        lines += _folded(reason, f"[{count}] ")
    lines += [""] if lines else []
    lines += _costs(evidence)
    for text in _facts(evidence):
        lines += _folded(text) if text else []
    judged = [f"{label}: {status}. {reason}" for label, status, reason in unearned(evidence)]
    if judged:
        lines += ["", f"Did not earn its claim under {one_line(evidence['run'].get('policy') or 'the policy')}:"]
        for text in judged:
            lines += _folded(text, "  ")
    return lines


def format_table(evidence: Evidence) -> str:
    """The table that a command prints.

    Args:
        evidence: as ``evidence.json`` holds it.

    Returns:
        Aligned plain text, about 150 columns wide, with a final newline. Below the table: numbered reasons for cells
        that cannot exist, what making each model took, the ridge line, what utility is made of, and why each claim that
        was not earned was not.

    Raises:
        EvidenceError: a part is missing.
    """
    check(evidence)
    lines, reasons = _body(evidence)
    return "\n".join([*lines, "", *_below(evidence, reasons)]).rstrip() + "\n"


def _plain_markdown(text: object) -> str:
    escaped = re.sub(r"([\\`*_\[\]|#~])", r"\\\1", one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _markdown_costs(evidence: Evidence) -> list[str]:
    if not any_cost(evidence):
        return []
    rows = [["making the model", *HEADS.values()]]
    rows += [[row["label"], *cost_texts(row)] for row in evidence["rows"]]
    lines = ["| " + " | ".join(map(_plain_markdown, row)) + " |" for row in rows]
    lines.insert(1, "| --- |" + " ---: |" * len(HEADS))
    return ["", *lines, "", *(f"* {_plain_markdown(text)}." for text in cost_notes(evidence))]


def markdown_table(evidence: Evidence) -> str:
    """The same table for a page of documentation.

    Args:
        evidence: as ``evidence.json`` holds it.

    Returns:
        A Markdown table and lists below it, with a final newline.

    Raises:
        EvidenceError: a part is missing.
    """
    check(evidence)
    cells, notes = grid(evidence)
    columns = evidence["columns"]
    rows = [["method", *(column["label"] for column in columns)]]
    rows += [[row["label"], *map(str, line)] for row, line in zip(evidence["rows"], cells, strict=True)]
    lines = ["| " + " | ".join(map(_plain_markdown, row)) + " |" for row in rows]
    rule = ["---", *("---" if column["key"] in LEFT else "---:" for column in columns)]
    lines.insert(1, "| " + " | ".join(rule) + " |")
    lines += ["", *(f"* {_plain_markdown(f'[{k}] {reason}')}" for k, reason in enumerate(notes.reasons, 1))]
    lines += _markdown_costs(evidence)
    below = [text for text in _facts(evidence) if text]
    lines += [f"* {_plain_markdown(text)}." for text in below]
    judged = [
        f"* **{_plain_markdown(a)}**: {_plain_markdown(b)}. {_plain_markdown(c)}" for a, b, c in unearned(evidence)
    ]
    if judged:
        policy = _plain_markdown(evidence["run"].get("policy") or "the policy")
        lines += ["", f"Did not earn its claim under {policy}:", "", *judged]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"
