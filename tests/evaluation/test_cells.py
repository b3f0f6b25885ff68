"""What a table says of its numbers is what their metrics say of themselves, and each says what it answers."""

import inspect
import re

import pytest

from expunge.core.registry import attacks, metrics, policies
from expunge.core.wishes import WISHES
from expunge.evaluation.cells import cells_for
from expunge.evaluation.report_sections import STATUSES, questions, results
from expunge.evaluation.table import format_table

METRIC = {"ks": "forget_quality", "truth_ratio": "truth_indifference"}
OWN = ("log10_p", "relearn_gap")


@pytest.mark.parametrize("wish", WISHES)
def test_every_cell_carries_its_metric_s_question_and_the_retrained_value(wish):
    for key, cell in cells_for(wish).items():
        assert cell.question and cell.retrained
        if key not in OWN:
            metric = metrics.get(METRIC.get(key, key))
            assert (cell.question, cell.retrained) == (metric.question, metric.retrained)


def test_a_report_shows_what_a_retrained_model_gets_and_older_evidence_still_reads():
    head = cells_for("")["rouge_l"].head("rouge_l")
    shown = str(questions({"columns": [head]}))
    assert head["question"] in shown and f"A retrained model: {head['retrained']}." in shown
    old = {name: text for name, text in head.items() if name != "retrained"}
    older = str(questions({"columns": [old]}))
    assert head["question"] in older and "A retrained model" not in older


def test_what_stands_beside_the_table_is_in_the_report_and_widens_no_table():
    wide = cells_for("as_retrained")
    beside = [cell.head(key) for key, cell in wide.items() if cell.beside]
    assert [head["key"] for head in beside] == ["refused", "rouge_l_answered"]
    cells = {"refused": {"value": 0.25, "low": 0.125, "high": 0.5}, "rouge_l_answered": {"reason": "all were refused"}}
    columns = [wide["rouge_l"].head("rouge_l")]
    rows = [{"key": "npo", "label": "NPO", "cells": {"rouge_l": {"value": 0.75}, **cells}}]
    plain = {"run": {}, "columns": columns, "rows": rows}
    evidence = {**plain, "beside": beside}
    assert format_table(evidence) == format_table(plain)
    shown = str(results(evidence))
    assert "[0.12, 0.50]" in shown and "all were refused" in shown and "all were refused" not in str(results(plain))
    assert all(head["question"] in str(questions(evidence)) for head in beside)
    asked = cells_for("as_retrained", ["refused"])
    assert not asked["refused"].beside, "who asks for it by name has a column"


def test_the_report_explains_each_status_as_the_page_on_evidence_does(checkout):
    page = " ".join((checkout / "docs/evidence.md").read_text().split())
    assert STATUSES["uninformative"] in page


@pytest.mark.parametrize("name", metrics.names())
def test_a_metric_s_docstring_ends_with_its_question_the_good_direction_and_the_retrained_value(name):
    metric = metrics.get(name)
    last = inspect.getdoc(metric).splitlines()[-1]
    assert metric.question.rstrip().endswith(("?", ".")) and "?" in metric.question
    assert last.startswith(f"Question: {metric.question} Good: ") and last.endswith(f" gets: {metric.retrained}.")


@pytest.mark.parametrize("name", attacks.names())
def test_an_attack_s_docstring_says_its_question_the_good_direction_the_retrained_value_and_the_threat(name):
    told = " ".join(inspect.getdoc(attacks.get(name)).split())
    assert re.search(r"[Qq]uestion: [^?]*\?", told), "no question"
    assert re.search(r"Good: |is good|[Gg]ood is|the better", told), "no direction"
    assert "retrained" in told and "Threat" in told


@pytest.mark.parametrize("name", policies.names())
def test_the_report_says_of_each_finding_what_it_answers_which_way_is_good_and_what_retraining_gives(name):
    policy = policies.get(name)
    criteria = [
        {"criterion": c.attack, "question": c.question, "margin": c.margin, "side": c.side} for c in policy.criteria
    ]
    shown = str(questions({"columns": [], "run": {"criteria": criteria}}))
    for c in policy.criteria:
        good = f"below {c.margin:g}" if c.side == "above" else f"between \N{MINUS SIGN}{c.margin:g} and {c.margin:g}"
        assert f"{c.question} Read as the difference to a model that never knew (good: {good})." in shown
    assert shown.count("A retrained model: 0") == len(criteria) == shown.count("<dt>")
