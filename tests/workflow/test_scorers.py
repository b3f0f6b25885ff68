"""An evaluation that is given a scorer has its column; one that is given none says that it has not."""

import numpy as np
import pytest

import expunge
from expunge.core.access import Access, Oracle
from expunge.core.errors import ConfigError, EvidenceError, ScopeError, UnknownName
from expunge.core.policy import Criterion, Policy
from expunge.core.selection import Selection
from expunge.evaluation.judge import Judge
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.methods.gradient.npo import npo
from expunge.testing.toy import toy_model, toy_recipe, toy_selection
from expunge.workflow import shadows as trained
from expunge.workflow.measure import score_tables
from expunge.workflow.shadow_plan import Shadows
from expunge.workflow.verbs import unlearn_selection

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


LISTED = ("toxicity", "judged", "lira", "u_lira")


@pytest.fixture(scope="module")
def outcome():
    return unlearn_selection(toy_recipe().start(seed=0), toy_selection(), npo.with_settings({"steps": 2}), seed=0)


def judged_by(outcome, **more):
    policy = Policy("mine", "1", tuple(Criterion(name, 0.1) for name in LISTED), 0.5)
    return expunge.evaluate(outcome, policy=policy, reference=toy_recipe().start(seed=1), **more)


def test_the_verb_takes_scorers_and_shadow_models_and_a_policy_lists_what_they_give(outcome, tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "map", lambda function, items, **more: [function(item) for item in items])
    judge = Judge(lambda prompts: ["NO"] * len(prompts))
    scorers = {"toxicity": lambda items: [len(i.generated) % 5 / 5 for i in items], "judged": judge}
    shadows = Shadows(tmp_path / "shadows", toy_recipe(steps=2), 4, {"steps": 2})
    found = judged_by(outcome, scorers=scorers, shadows=shadows, seed=3)
    assert set(found.asked) >= set(LISTED) and set(found.asked) <= {m.name for m in found.assessed.measurements}
    assert {c.attack for c in found.assessed.assessment.comparisons} == set(LISTED)
    expected = np.mean([len(text) % 5 / 5 for text in found.tables["model"]["forget"]["generated"]])
    assert found.assessed.cells["toxicity"]["value"] == pytest.approx(expected)
    assert found.assessed.cells["judged"]["value"] == 0.0
    without = judged_by(outcome).assessed.assessment
    reasons = dict(without.skipped)
    assert not without.comparisons and reasons.keys() == set(LISTED)
    assert "no scorer was given for judged" in reasons["judged"] and "no shadow models" in reasons["u_lira"]


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"scorers": {"toxicty": len}}, UnknownName, "Did you mean 'toxicity'?"),
        ({"scorers": {"toxicity": 0.5}}, ConfigError, "cannot be called"),
        ({"scorers": {"toxicity": lambda items: 1 / 0}}, EvidenceError, "the scorer of toxicity failed. ZeroDivision"),
        ({"scorers": {"judged": lambda items: ["much"] * len(items)}}, EvidenceError, "the scorer of judged failed"),
        ({"shadows": 8}, ConfigError, "shadows cannot be of the type int"),
    ],
)
def test_the_verb_refuses_in_one_message(outcome, more, kind, said):
    with pytest.raises(kind, match=said):
        judged_by(outcome, **more)


def test_shadow_models_that_cannot_forget_alike_are_refused_and_nothing_is_written(outcome, tmp_path):
    out = tmp_path / "none"
    for settings in ({}, {"steps": 3}, {"stepss": 2}):
        with pytest.raises(ConfigError, match="shadow models cannot forget as this one did"):
            judged_by(outcome, shadows=Shadows(out, toy_recipe(steps=2), 4, settings))
    selection = toy_selection()
    alone = unlearn_selection(outcome.original, Selection(selection.forget, selection.retain), npo, seed=0)
    with pytest.raises(ScopeError, match="never-seen"):
        judged_by(alone, shadows=Shadows(out, toy_recipe(steps=2), 4))
    assert not out.exists()
