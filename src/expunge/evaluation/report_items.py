"""Item by item: token strips of a few answers, scores of all, and their text where it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from expunge.charts.markup import Markup, element, join
from expunge.charts.strips import Strip, token_strips
from expunge.evaluation.report_cells import Evidence, fixed
from expunge.evaluation.report_html import figure, folded, section, table

LISTED = 400
PARTS = ("before", "after", "retrained")
NAMES = {
    "probability": ("Probability of the answer", "per token, 0 to 1"),
    "truth_ratio": ("Truth ratio", "below 1: the model prefers the right answer"),
    "rouge_l": ("ROUGE-L", "share of the answer that the model says, 0 to 1"),
    "min_k": ("Min-k score", "nats per token; higher: more familiar"),
}


@dataclass(frozen=True)
class Texts:
    """What forgotten items say, in the order of their numbers. A page that shows it holds personal data.

    Args:
        answers: (N,) the records' answers.
        questions: (N,) what was asked; empty where the questions are not kept.
        generated: key of a row -> (N,) what that model answers.
        tokens: number of an item -> text of each scored token of its answer, where that is known.
    """

    answers: Sequence[str]
    questions: Sequence[str] = ()
    generated: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    tokens: Mapping[int, Sequence[str]] = field(default_factory=dict[int, Sequence[str]])


def spoken(text: str) -> Markup:
    """Text of a record or a model, which keeps its own direction and may break anywhere."""
    return element("bdi", {"class": "spoken"}, text)


def _strip_tables(row: Mapping[str, Any], strips: Sequence[Strip]) -> Markup:
    parts: list[Markup] = []
    for strip in strips:
        count = max(len(shares) for _, shares in strip.rows)
        heads: list[object] = ["model", *(str(k + 1) for k in range(count))]
        if strip.tokens:
            heads = ["model", *(join(f"{k + 1} ", spoken(token)) for k, token in enumerate(strip.tokens))]
        lines = [[name, *(fixed(p, 2) for p in shares)] for name, shares in strip.rows]
        parts.append(table(f"{row['label']}, {strip.label}: probability of each token", heads, lines))
    return join(*parts)


def _strips_of(row: Mapping[str, Any], texts: Texts | None) -> Markup:
    strips: list[Strip] = []
    for found in row["strips"]:
        tokens = texts.tokens.get(found["item"], ()) if texts else ()
        known = tokens if len(tokens) == len(found["after"]) else ()
        label = f"item {found['item']}, {found['rank']} probability after unlearning"
        strips.append(Strip(label, [(part, found[part]) for part in PARTS], known))

    def draw(width: float) -> Markup:
        return token_strips(
            strips,
            title=f"Probability of each token of {len(strips)} answers: {row['label']}",
            description="Three rows an answer: before unlearning, after it, and by the retrained model. "
            "A full bar is probability 1; unlearning did its work where the middle row looks like the lowest.",
            width=width,
        )

    caption = "Tokens of the right answer by position" if not texts else "Tokens of the right answer"
    caption += ", each given those before it; the last one ends the answer. A full bar is probability 1. Before: the "
    caption += f"original; after: {row['label']}; retrained: the model that never knew."
    return join(
        element("h3", None, f"Token by token: {row['label']}"), figure(draw, caption, _strip_tables(row, strips))
    )


def _scores(evidence: Evidence, name: str, scores: Mapping[str, Sequence[Any]], people: Sequence[int]) -> Markup:
    title, unit = NAMES.get(name, (name, ""))
    labels = {row["key"]: row["label"] for row in evidence["rows"]}
    keys = [key for key in labels if key in scores]
    heads = ["item", "person", *(labels[key] for key in keys)]
    lines = [
        [f"item {n + 1}", str(people[n]), *(_number(scores[key][n]) for key in keys)]
        for n in range(min(len(people), LISTED))
    ]
    shown = table(f"{title} ({unit}) of each forgotten item", heads, lines)
    return folded(f"{title}: {len(lines)} of {len(people)} items by {len(keys)} models", shown)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return fixed(value, 2) if abs(value) < 1000 else f"{value:.0e}"


def _answers(evidence: Evidence, texts: Texts) -> Markup:
    labels = {row["key"]: row["label"] for row in evidence["rows"]}
    keys = [key for key in labels if key in texts.generated]
    heads = ["item", *(["question"] if texts.questions else []), "right answer", *(labels[key] for key in keys)]
    lines: list[list[object]] = []
    for n, answer in enumerate(texts.answers[:LISTED]):
        said = [spoken(texts.generated[key][n]) for key in keys]
        asked = [spoken(texts.questions[n])] if texts.questions else []
        lines.append([f"item {n + 1}", *asked, spoken(answer), *said])
    count = len(heads)
    shown = table("What each model answers to each forgotten question", heads, lines, words=range(1, count))
    missing = None if texts.questions else element("p", None, "The questions are no longer kept with the run.")
    return join(missing, folded(f"Answers: {len(lines)} items by {len(keys)} models", shown))


def items(evidence: Evidence, texts: Texts | None = None) -> Markup | None:
    """The section on single items; None if the evidence holds none.

    Args:
        evidence: as ``evidence.json`` holds it.
        texts: shown only if given.
    """
    found = evidence.get("items") or {}
    people: Sequence[int] = found.get("people", ())
    strips = [row for row in evidence["rows"] if row.get("strips")]
    if not people and not strips:
        return None
    says = "Items are numbered from the one that the original knows best; people by the first of their items. "
    says += (
        "The names of both stay with the run." if texts is None else "The text stands below because it was asked for."
    )
    over = len(people) - LISTED
    more = element("p", None, f"Only the first {LISTED} items are listed; {over} follow them.") if over > 0 else None
    scores = found.get("scores", {})
    named = [name for name in NAMES if name in scores] + sorted(set(scores) - set(NAMES))
    tables = [_scores(evidence, name, scores[name], people) for name in named]
    return section(
        "items",
        "Item by item",
        element("p", None, says),
        more,
        *tables,
        _answers(evidence, texts) if texts else None,
        *(_strips_of(row, texts) for row in strips),
    )
