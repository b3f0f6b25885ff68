"""Deleting from a learner is exact, says how exact, and is refused where it could not be."""

import numpy as np
import pytest

from expunge.core.earning import ROUNDING, earn
from expunge.core.errors import ClaimError, StoreError
from expunge.core.evidence import Replay
from expunge.core.guarantee import Exact, Unproven
from expunge.core.provenance import Statistics as Kept
from expunge.core.request import Records
from expunge.core.selection import Selection
from expunge.data.table import Table
from expunge.engine.recipes.learner import LearnerRecipe
from expunge.methods.exact import statistics
from expunge.methods.exact.statistics import largest_share
from expunge.scoping.resolve import resolve
from expunge.targets.learner import Learner
from expunge.targets.learners.ridge import Ridge
from expunge.testing.contracts import check_method
from expunge.testing.toy import toy_model, toy_selection

STEPS = {"steps": [["scale", {"learner": "standard_scaler"}], ["bayes", {"learner": "gaussian_naive_bayes"}]]}


def store(n=30) -> Table:
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, n)
    return Table([f"r{i}" for i in range(n)], draw.normal(size=(n, 3)) + y[:, None], y)


def test_it_keeps_the_contract_of_methods():
    check_method(statistics)


@pytest.mark.parametrize("recipe", [LearnerRecipe("ridge"), LearnerRecipe("exact_pipeline", STEPS, salt="5a17")])
def test_a_bitwise_learner_earns_bitwise_by_an_independent_run(recipe):
    data = store()
    target, selection = recipe.train(data, seed=0), resolve(Records("r3", "r20"), data)
    before = target.digest()
    outcome = statistics.unlearn(target, selection, seed=0)
    never = recipe.train(data.without(["r3", "r20"]), seed=0)
    assert target.digest() == before == outcome.before and outcome.target.digest() == never.digest()
    assert outcome.claim == Exact("bitwise") and outcome.notes["exactness"] == "bitwise"
    replay = outcome.replay
    assert replay is not None and replay.data == data.without(["r3", "r20"]).digest()
    earned = {"before": outcome.before, "after": outcome.target.digest()}
    assert earn(outcome.claim, evidence=(replay,), **earned) == Exact("distribution"), "until somebody ran it again"
    again = Replay(replay.before, replay.after, replay.data, never.digest())
    assert earn(outcome.claim, evidence=(again,), **earned) == Exact("bitwise")


def test_one_that_is_not_bitwise_claims_less():
    data = store()
    target = LearnerRecipe("ridge", {"exactness": "1e-12"}).train(data, seed=0)
    outcome = statistics.unlearn(target, resolve(Records("r3"), data), seed=0)
    assert outcome.claim == Exact("distribution") and outcome.notes == {"exactness": "1e-12"}


def test_the_notes_say_what_became_of_each_part():
    data = store()
    outcome = statistics.unlearn(
        LearnerRecipe("exact_pipeline", STEPS).train(data, seed=0), resolve(Records("r3"), data), seed=0
    )
    assert outcome.notes["deletion"]["scale"] == "unlearned" and "anew" in outcome.notes["deletion"]["bayes"]


def test_it_is_refused_before_anything_changes():
    data = store()
    target = LearnerRecipe("lda").train(data.without(["r3"]), seed=0)
    before = target.digest()
    with pytest.raises(StoreError, match="r3"):
        statistics.unlearn(target, resolve(Records("r2", "r3"), data), seed=0)
    sampled = Selection(forget=data.get(["r2"]), retain=data.get(["r1"]), sampled={"retain": 28})
    with pytest.raises(ClaimError, match="needs the whole retain set"):
        statistics.unlearn(target, sampled, seed=0)
    with pytest.raises(ClaimError, match="statistics works on learner"):
        statistics.unlearn(toy_model(), toy_selection(), seed=0)
    assert target.digest() == before


def test_a_learner_that_is_none_of_ours_is_refused():
    class Other:
        kind, provenance = "learner", Kept(("sums",))

    with pytest.raises(ClaimError, match=r"statistics works on a Learner.*this target is a Other"):
        statistics.unlearn(Other(), toy_selection(), seed=0)


@pytest.mark.parametrize("settings", [{"exactness": "1e-12"}, {"exactness": "1e-12", "intercept": False}])
def test_a_learner_in_floats_earns_distribution_by_a_fit_that_it_equals_up_to_rounding(settings, monkeypatch):
    data = store(200)
    target, selection = LearnerRecipe("ridge", settings).train(data, seed=0), resolve(Records("r3", "r5"), data)
    outcome = statistics.unlearn(target, selection, seed=0)
    replay, after = outcome.replay, outcome.target.digest()
    assert replay is not None and replay.equals == Learner(outcome.target.estimator.refitted()).digest()
    assert 0 < replay.distance <= ROUNDING or replay.equals == after
    earned = {"before": outcome.before, "after": after}
    assert earn(outcome.claim, evidence=(replay,), **earned) == Exact("distribution")

    drop = Ridge._drop
    monkeypatch.setattr(Ridge, "_drop", lambda self, X, y: drop(self, X * (1 - 1e-6), y))
    bad = statistics.unlearn(target, selection, seed=0)
    assert bad.replay is not None and bad.replay.distance > ROUNDING
    earned = {"before": bad.before, "after": bad.target.digest()}
    assert isinstance(earn(bad.claim, evidence=(bad.replay,), **earned), Unproven)


def test_states_of_other_words_or_shapes_are_infinitely_far_apart():
    one = {"first": np.array([4.0, 5.0]), "labels": ["a"]}
    assert largest_share(one, {**one, "labels": ["b"]}) == largest_share(one, {"first": np.ones(3)}) == np.inf
    assert largest_share(one, one) == 0.0
