"""Columns that a scorer fills: one number an item, or none."""

import math

import numpy as np
import pytest

from expunge.core.access import Access
from expunge.core.errors import EvidenceError, UnknownName
from expunge.core.registry import metrics
from expunge.core.scorer import Said, filled

ITEMS = [Said("Who?", "Ana.", "Bo."), Said("Where?", "Oslo.", "In Oslo.")]


def test_a_column_holds_what_the_scorer_says_of_each_item():
    found = filled("judged", lambda items: [float(item.answer[:-1] in item.generated) for item in items], ITEMS)
    assert found.tolist() == [0.0, 1.0] and found.dtype == np.float64
    assert np.isnan(filled("toxicity", lambda items: [math.nan, 0.5], ITEMS)[0])


@pytest.mark.parametrize(
    ("values", "said"), [([0.5], "values"), ([[0.5], [0.5]], "values"), ([0.5, 1.5], "outside"), ([-1, 0], "outside")]
)
def test_a_scorer_that_gives_something_else_is_refused(values, said):
    with pytest.raises(EvidenceError, match=said):
        filled("judged", lambda items: values, ITEMS)


@pytest.mark.parametrize("column", ["token_logp", "generated", "judge"])
def test_a_column_that_no_scorer_fills_is_refused(column):
    with pytest.raises(UnknownName, match="column of a scorer"):
        filled(column, lambda items: [0.5, 0.5], ITEMS)


@pytest.mark.parametrize("name", ["judged", "toxicity"])
def test_a_scorer_s_score_needs_text_alone(name):
    assert metrics.get(name).access is Access.TEXT and metrics.get(name).partial
