"""An evaluation that is given a scorer has its column; one that is given none says that it has not."""

import numpy as np
import pytest

from expunge.core.access import Access, Oracle
from expunge.core.errors import EvidenceError
from expunge.evaluation.judge import Judge
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.testing.toy import toy_model, toy_selection
from expunge.workflow.measure import score_tables

ASKED = ("judged", "toxicity")


def test_scorers_fill_their_columns_where_they_are_asked_for():
    seen = []

    def toxic(items):
        seen.extend(items)
        return [len(item.generated) % 2 / 2 for item in items]

    judge = Judge(lambda prompts: ["YES" if k % 2 else "maybe" for k in range(len(prompts))])
    selection = toy_selection()
    oracle = Oracle(toy_model(), Access.TEXT)
    tables = score_tables(oracle, selection, ASKED, scorers={"toxicity": toxic, "judged": judge})
    forget = tables["forget"]
    assert [item.question for item in seen[: len(selection.forget)]] == [e.question for e in selection.forget]
    assert [item.generated for item in seen[: len(forget["ids"])]] == forget["generated"]
    assert np.isnan(forget["judged"][::2]).all() and (forget["judged"][1::2] == 1.0).all()
    assert "toxicity" not in tables["retain"], "nobody asked there"
    items = PerItem({"m": tables})
    order = np.argsort(forget["ids"])
    np.testing.assert_array_equal(items.values("m", "forget", "toxicity")[0], np.array(forget["toxicity"])[order])


def test_without_a_scorer_the_score_is_unmeasured():
    tables = score_tables(Oracle(toy_model(), Access.TEXT), toy_selection(), ASKED)
    assert not set(ASKED) & set(tables["forget"])
    with pytest.raises(Unmeasured, match="no scorer was given for toxicity"):
        PerItem({"m": tables}).values("m", "forget", "toxicity")


def test_a_scorer_that_gives_too_few_numbers_stops_the_evaluation():
    with pytest.raises(EvidenceError, match="scorer of toxicity"):
        score_tables(
            Oracle(toy_model(), Access.TEXT), toy_selection(), ASKED, scorers={"toxicity": lambda items: [0.5]}
        )
