"""What a table says of its numbers is what their metrics say of themselves."""

import pytest

from expunge.core.registry import metrics
from expunge.core.wishes import WISHES
from expunge.evaluation.cells import cells_for
from expunge.evaluation.report_sections import questions

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
