"""The sections of the report, in the order in which they are read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from expunge.charts.markup import Markup, element, join
from expunge.core.example import ROLES
from expunge.evaluation.report_cells import (
    DIRECTIONS,
    UNMEASURED,
    WITH_INTERVAL,
    YARDSTICKS,
    Cell,
    Evidence,
    Notes,
    amount,
    cell_of,
    criterion_label,
    grid,
    methods,
    reason_of,
    ridge_line,
    utility_lines,
)
from expunge.evaluation.report_costs import HEADS, any_cost, cost_notes, cost_texts, ratio_notes
from expunge.evaluation.report_html import badge, counted, section, table, unbroken

STATUSES = {
    "earned": "the evidence carries the claim",
    "failed": "the evidence speaks against it",
    "inconclusive": "too little power, or not measured: never counted as passed",
    "uninformative": "the attack does not tell even the original apart, so its silence says nothing; or it cannot tell"
    " models of known truth apart, so that nothing that it says does",
}


def _short(evidence: Evidence, row: Mapping[str, Any]) -> str:
    status, findings = row.get("status"), row.get("findings", ())
    if status == "earned":
        return f"all {len(findings)} criteria met" if findings else ""
    if status is None:
        return str(row.get("reason") or "")
    against = [criterion_label(evidence, f["criterion"]) for f in findings if f["status"] == status]
    return f"{status} on {', '.join(against)}" if against else str(row.get("reason") or status)


def _verdict(evidence: Evidence, row: Mapping[str, Any]) -> Markup:
    shown = badge(row.get("status"), str(row.get("guarantee") or "no claim"))
    name = element("span", {"class": "name"}, row["label"])
    return element("li", None, shown, name, element("span", {"class": "what"}, _short(evidence, row)))


def opening(evidence: Evidence) -> Markup:
    """What was asked, what came of it, and against what it was measured."""
    run, corpus = evidence["run"], evidence["run"].get("corpus") or {}
    forget = corpus.get("forget")
    wish = run.get("wish") or {}
    says = wish.get("says") or "as if the model had never been trained on them"
    asked = f"Forget the records, {says}."
    if forget:
        items, people = counted(forget["items"], "item", "items"), counted(forget["people"], "person", "people")
        asked = f"Forget {items} about {people}, {says}."
    if wish:
        asked += f" Read against: {wish['against']}."
    if given := run.get("given"):
        asked += f" {given[:1].upper()}{given[1:]}."
    policy = run.get("policy") or "the policy"
    judged = [row for row in methods(evidence) if row.get("status") is not None]
    earned = [row for row in judged if row["status"] == "earned"]
    outcome = f"{len(earned)} of {counted(len(judged), 'method', 'methods')} met every criterion of {policy}"
    outcome += f": {', '.join(row['label'] for row in earned)}." if earned else "."
    yardsticks = [row for row in evidence["rows"] if row["key"] in YARDSTICKS]
    return join(
        element("h1", None, run.get("title") or run.get("name") or "Evaluation"),
        element("p", {"class": "lead"}, element("strong", None, "Asked: "), asked),
        element("p", {"class": "lead"}, element("strong", None, "Outcome: "), outcome),
        element("h2", {"id": "verdicts"}, "Verdicts"),
        element("ul", {"class": "verdicts"}, *(_verdict(evidence, row) for row in methods(evidence))),
        element("p", {"class": "soft"}, "Measured against:") if yardsticks else None,
        element("ul", {"class": "verdicts"}, *(_verdict(evidence, row) for row in yardsticks)) if yardsticks else None,
    )


def _cell(cell: Cell) -> Markup:
    if cell.note:
        name = f"reason {cell.note}"
        link = element("a", {"href": f"#note-{cell.note}", "aria-label": name}, str(cell.note))
        return join("–", element("sup", None, link))
    value, interval = (re.sub(r"-(?=\d)", "−", part) for part in (cell.text, cell.interval))
    return join(value, element("span", {"class": "interval"}, interval) if interval else None)


def models_table(evidence: Evidence, caption: str, bracketed: Collection[str] = WITH_INTERVAL) -> Markup:
    """The table of all models and the numbered reasons below it.

    Args:
        evidence: as ``evidence.json`` holds it.
        caption: of the table.
        bracketed: columns that show their intervals.
    """
    cells, notes = grid(evidence, bracketed)
    heads = [
        element("abbr", {"title": f"{c.get('question', '')} {_direction(c)}".strip()}, unbroken(c["label"]))
        for c in evidence["columns"]
    ]
    rows = [[row["label"], *map(_cell, line)] for row, line in zip(evidence["rows"], cells, strict=True)]
    words = [k for k, column in enumerate(evidence["columns"], 1) if column["key"] == "guarantee"]
    reasons = [element("li", {"id": f"note-{k}"}, reason) for k, reason in enumerate(notes.reasons, 1)]
    shown = table(caption, ["method", *heads], rows, words=words)
    return join(shown, element("ol", {"class": "notes"}, *reasons) if reasons else None)


def results(evidence: Evidence) -> Markup:
    """The table with its reasons, what stands beside it, the ridge line and what utility is made of."""
    caption = "Every model against the retrained one. In brackets: intervals. A dash has its reason below."
    below = [element("p", None, f"{text}.") for text in (ridge_line(evidence), *utility_lines(evidence)) if text]
    return section("table", "The table", models_table(evidence, caption), _beside(evidence), *below)


def _beside(evidence: Evidence) -> Markup | None:
    """The numbers that have no column in the table, with their intervals; None where there are none."""
    columns = evidence.get("beside") or ()
    if not columns:
        return None
    heads = ["method", *(unbroken(column["label"]) for column in columns)]
    rows = [[row["label"], *(_told(row, column["key"]) for column in columns)] for row in evidence["rows"]]
    return table("Beside it: how often is refused, and what is said where nothing is", heads, rows)


def _told(row: Mapping[str, Any], key: str) -> Markup | str:
    cell = cell_of(row, key, Notes(), (key,))
    return reason_of(row, key) or UNMEASURED if cell.note else _cell(cell)


def _direction(column: Mapping[str, Any]) -> str:
    direction = DIRECTIONS.get(column.get("better", ""), "")
    return f"({direction})" if direction and column["key"] != "guarantee" else ""


def questions(evidence: Evidence) -> Markup:
    """What each number answers, which direction is good, and what a retrained model gets."""
    entries: list[Markup] = []
    for column in (*evidence["columns"], *(evidence.get("beside") or ())):
        answer = f"{column.get('question', '')} {_direction(column)}".strip()
        if retrained := column.get("retrained"):
            answer += f" A retrained model: {retrained}."
        entries += [element("dt", None, column["label"]), element("dd", None, answer)]
    for criterion in evidence.get("run", {}).get("criteria", ()):
        name = f"Finding: {criterion_label(evidence, criterion['criterion'])}"
        entries += [element("dt", None, name), element("dd", None, _criterion(criterion))]
    return section("questions", "What each number answers", element("dl", None, *entries))


def _criterion(criterion: Mapping[str, Any]) -> str:
    """What the number of a finding answers: a difference, whose good direction is none or downwards."""
    margin = f"{criterion['margin']:g}"
    good = f"below {margin}" if criterion["side"] == "above" else f"between −{margin} and {margin}"
    told = f"{criterion['question']} Read as the difference to a model that never knew (good: {good})."
    return f"{told.strip()} A retrained model: 0, up to what two of them differ by."


def findings(evidence: Evidence) -> Markup:
    """For each model the verdict on each criterion with its reason."""
    parts: list[Markup] = []
    for row in evidence["rows"]:
        if not row.get("findings"):
            continue
        lines = [[criterion_label(evidence, f["criterion"]), badge(f["status"]), f["reason"]] for f in row["findings"]]
        heads, caption = ["criterion", "verdict", "reason"], f"Findings on {row['label']}"
        shown = table(caption, heads, lines, words=(1, 2), quiet=True)
        parts.append(element("div", None, element("h3", None, row["label"]), shown))
    words = [part for k, v in STATUSES.items() for part in (element("dt", None, k), element("dd", None, v))]
    nothing = None if parts else element("p", None, "No model was judged.")
    return section(
        "findings", "Findings", element("dl", None, *words), element("div", {"class": "pair"}, *parts), nothing
    )


def efficiency(evidence: Evidence) -> Markup:
    """The cost of each model beside retraining, and the seconds of each part of the run."""
    run = evidence["run"]
    slowest = sorted((run.get("seconds") or {}).items(), key=lambda part: (-part[1], part[0]))
    parts = [[name, amount(seconds)] for name, seconds in slowest]
    shown = any_cost(evidence)
    costs = [
        [
            row["label"],
            *(_amount(row, key) for key in ("seconds", "ratio_to_retraining")),
            *(text.replace("-", "–") for text in (cost_texts(row) if shown else ())),
        ]
        for row in evidence["rows"]
    ]
    threads = counted(run["threads"], "thread", "threads") if run.get("threads") else "an unknown number of threads"
    heads = ["model", "seconds", "of retraining", *(HEADS.values() if shown else ())]
    tables = [table(f"Making each model, on {threads}", heads, costs)]
    if parts:
        tables.append(table("The parts of the run", ["part", "seconds"], parts))
    notes = [element("li", None, f"{text}.") for text in (*cost_notes(evidence), *ratio_notes(evidence))]
    below = element("ul", {"class": "notes"}, *notes) if notes else None
    if not shown:
        return section("efficiency", "Efficiency", element("div", {"class": "pair"}, *tables), below)
    return section("efficiency", "Efficiency", tables[0], below, *tables[1:])


def _amount(row: Mapping[str, Any], key: str) -> str:
    value = (row.get("cells", {}).get(key) or {}).get("value")
    return "–" if value is None else amount(value)


def corpus(evidence: Evidence, *, shows_text: bool = False) -> Markup:
    """How many people and items each role has, how far guessing goes, and whether the page shows records."""
    roles = evidence["run"].get("corpus") or {}
    ordered = sorted(
        roles.items(), key=lambda item: (ROLES.index(item[0]) if item[0] in ROLES else len(ROLES), item[0])
    )
    rows = [[role, f"{part['people']:,}", f"{part['items']:,}"] for role, part in ordered]
    baseline = (evidence.get("baseline") or {}).get("nearest_question_holdout")
    guess = None
    if baseline is not None:
        guess = f"Copying the answer of the most similar question answers {baseline:.1%} about holdout people."
    return section(
        "corpus",
        "Corpus",
        table("People and items by role", ["role", "people", "items"], rows) if rows else None,
        element("p", None, guess) if guess else None,
        None if shows_text else element("p", None, "This page holds no text of any record."),
    )


def versions(evidence: Evidence) -> Markup:
    """The model's size, the policy, and what the run was made with."""
    run = evidence["run"]
    facts = {
        "run": run.get("name"),
        "policy": run.get("policy"),
        "parameters": f"{run['params']:,}" if run.get("params") else None,
        "threads": run.get("threads"),
        **dict(sorted((run.get("versions") or {}).items())),
    }
    pairs = [part for k, v in facts.items() if v for part in (element("dt", None, k), element("dd", None, v))]
    return section("versions", "Versions", element("dl", None, *pairs))


def verification(evidence: Evidence) -> Markup:
    """The commands that check the certificates, or that make the one of a single request first."""
    run = evidence["run"]
    checks = "Verification reads every file that {digested}, and fails with the name of the part if a byte of any has "
    checks += (
        "changed. Elsewhere than where the key is trusted, give it with --key; without, the signer is reported as "
    )
    checks += "unknown and the exit code is 1."
    if single := run.get("certificate"):
        says = "This page is no certificate: expunge certify signs one. " + checks.format(digested="it digests")
        says += " RUN is the folder."
        lines = ["expunge certify RUN", f"expunge verify RUN/certificates/{single}.certificate.json"]
    else:
        says = "Each method has a signed certificate. " + checks.format(digested="the certificate digests")
        keys = [row["key"] for row in evidence["rows"] if row["key"] not in ("original", "second_reference")]
        lines = [f"expunge verify runs/{run.get('name') or 'demo'}/certificates/{key}.certificate.json" for key in keys]
    shown = element("pre", {"tabindex": "0"}, element("code", None, "\n".join(lines)))
    return section("verify", "How to verify", element("p", None, says), shown)
