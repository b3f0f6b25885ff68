"""Deleting from a learner is exact, says how exact, and is refused where it could not be."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from expunge.core.earning import ROUNDING, earn
from expunge.core.errors import ClaimError, StoreError
from expunge.core.evidence import Replay
from expunge.core.example import Examples
from expunge.core.guarantee import Exact, Unproven
from expunge.core.provenance import Statistics as Kept
from expunge.core.registry import learners
from expunge.core.request import Records
from expunge.core.selection import Selection
from expunge.data.memory import MemoryStore
from expunge.data.table import Table
from expunge.engine.recipes.learner import LearnerRecipe
from expunge.methods.exact import statistics
from expunge.methods.exact._kept import salted
from expunge.methods.exact.statistics import largest_share
from expunge.scoping.resolve import resolve
from expunge.targets.learner import Learner
from expunge.targets.learners.coreset import Coreset
from expunge.targets.learners.exact_pipeline import ExactPipeline
from expunge.targets.learners.gaussian_naive_bayes import GaussianNaiveBayes
from expunge.targets.learners.lda import LDA
from expunge.targets.learners.pca import PCA
from expunge.targets.learners.ridge import Ridge
from expunge.targets.learners.standard_scaler import StandardScaler
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
    kept = data.without(["r3", "r20"]).digest()
    assert replay is not None and replay.data == salted(kept, recipe.salt)
    assert (replay.data == kept) is not bool(recipe.salt), "a salt is what keeps a guess at the rest from being tested"
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


FLOATS = {"exactness": "1e-12"}
IN_FLOATS = {
    "scaler, pca": lambda: ExactPipeline([("s", StandardScaler(**FLOATS)), ("p", PCA(components=2, **FLOATS))]),
    "scaler, ridge": lambda: ExactPipeline([("s", StandardScaler(**FLOATS)), ("p", Ridge(penalty=2.0, **FLOATS))]),
    "scaler, lda": lambda: ExactPipeline([("s", StandardScaler(**FLOATS)), ("p", LDA(**FLOATS))]),
    "coreset": lambda: Coreset(GaussianNaiveBayes(**FLOATS), per_class=10),
    "coreset of ridge": lambda: Coreset(Ridge(penalty=0.5, **FLOATS), per_class=20),
    "scaler": lambda: StandardScaler(**FLOATS),
    "ridge": lambda: Ridge(penalty=2.0, **FLOATS),
}


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("make", IN_FLOATS.values(), ids=IN_FLOATS)
def test_whatever_is_made_of_parts_in_floats_earns_distribution_even_where_sums_cancel(make, paired):
    draw = np.random.default_rng(0)
    X = draw.normal(size=(40, 4)) + (0 if paired else 1)
    X = np.concatenate([X, -X if paired else X * 2])
    y = (X[:, 0] > 0).astype(int)
    data = Table([f"{'+-'[i // 40]}{i % 40}" for i in range(80)], X, y)
    gone = ["+3", "-3", "+5", "-5"]
    target = Learner(make().fit(X, y, ids=data.ids()), "ab")
    outcome = statistics.unlearn(target, Selection(data.get(gone), data.without(gone).all()), seed=0)
    assert outcome.replay is not None and outcome.replay.distance < 1e-12
    earned = {"before": outcome.before, "after": outcome.target.digest()}
    assert earn(outcome.claim, evidence=(outcome.replay,), **earned) == Exact("distribution")


def test_a_row_that_is_left_in_a_sum_that_cancels_is_seen():
    X = np.concatenate([whole := np.random.default_rng(0).normal(size=(40, 2)), -whole])
    held, without = (StandardScaler(**FLOATS).fit(X[at:], ids=[str(i) for i in range(at, 80)]) for at in (0, 1))
    first = {name: one.state()["sums.0.first"] for name, one in (("held", held), ("without", without))}
    assert np.abs(first["held"]).max() < 1e-12
    sizes = {"first": held.sizes()["sums.0.first"]}
    assert largest_share({"first": first["without"]}, {"first": first["held"]}, sizes) > 1e-3


def test_states_of_other_words_or_shapes_are_infinitely_far_apart():
    one = {"first": np.array([4.0, 5.0]), "labels": ["a"]}
    assert largest_share(one, {**one, "labels": ["b"]}) == largest_share(one, {"first": np.ones(3)}) == np.inf
    assert largest_share(one, one) == 0.0


def changed(data: Table, name: str, *, label: bool) -> Table:
    """The table with one number, or one label, of a row changed."""
    at = data.ids().index(name)
    X, y = data.X.copy(), data.y.copy()
    if label:
        y[at] = 1 - y[at]
    else:
        X[at, 1] += 2.0**-20
    return Table(data.ids(), X, y)


@pytest.mark.parametrize("label", [False, True])
@pytest.mark.parametrize("name", ["r3", "r7"])
@pytest.mark.parametrize(
    "recipe",
    [
        LearnerRecipe("ridge"),
        LearnerRecipe("ridge", {"intercept": False, "exactness": "1e-12"}),
        LearnerRecipe("dare_forest", {"n_trees": 2}),
        LearnerRecipe("exact_pipeline", STEPS),
        LearnerRecipe("knn_classifier"),
    ],
    ids=lambda recipe: recipe.name,
)
def test_a_row_that_is_not_what_was_trained_on_is_refused_be_it_kept_or_forgotten(recipe, name, label):
    data = store()
    target = recipe.train(data, seed=0)
    other = changed(data, name, label=label)
    for given in (Selection(other.get(["r3"]), other.without(["r3"]).all()), Selection(other.get([name]))):
        with pytest.raises(StoreError, match=f"record '{name}' is not what was trained on"):
            statistics.check(target, given, seed=0)
    statistics.check(target, resolve(Records("r3"), data), seed=0)


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        *((name, kind) for name in ("gaussian_naive_bayes", "standard_scaler") for kind in (int, float, bool, str)),
        *(("ridge", kind) for kind in (int, float, bool)),
    ],
)
def test_labels_are_those_of_the_table_whatever_the_learner_keeps_them_as(kind, recipe):
    rows = store()
    data = Table(rows.ids(), rows.X, rows.y.astype(kind))
    statistics.check(LearnerRecipe(recipe).train(data, seed=0), resolve(Records("r3"), data), seed=0)


def test_rows_that_came_later_are_compared_too():
    data = store(40)
    first, then = data.rows(data.ids()[:25]), data.rows(data.ids()[25:])
    ridge = Ridge().fit(first.X, first.y, ids=first.ids()).partial_fit(then.X, then.y, ids=then.ids())
    target, other = Learner(ridge.unlearn(["r2"])), changed(data, "r39", label=False)
    statistics.check(target, Selection(data.get(["r30", "r1"]), data.without(["r30", "r1"]).all()), seed=0)
    with pytest.raises(StoreError, match="'r39'"):
        statistics.check(target, Selection(other.get(["r30"]), other.without(["r30"]).all()), seed=0)


TEXT = {"steps": [["words", {"learner": "tfidf"}], ["bayes", {"learner": "multinomial_naive_bayes"}]]}


@pytest.mark.parametrize("field", ["question", "relation", "answer"])
@pytest.mark.parametrize(
    "recipe", [LearnerRecipe("tfidf"), LearnerRecipe("exact_pipeline", TEXT), LearnerRecipe("tfidf", inputs="answer")]
)
def test_a_text_that_is_not_what_was_trained_on_is_refused(recipe, field):
    everyone = toy_selection().retain + toy_selection().forget
    target = recipe.train(MemoryStore(everyone), seed=0)
    forget, retain = everyone[:1], everyone[1:]
    statistics.check(target, Selection(forget, retain), seed=0)
    gone = replace(retain[4], **{field: "an unheard word"})
    other = Selection(forget, Examples(gone if e.record_id == gone.record_id else e for e in retain))
    read = field == recipe.inputs or (field == recipe.labels and recipe.name == "exact_pipeline")
    with pytest.raises(StoreError, match="is not what was trained on") if read else nullcontext():
        statistics.check(target, other, seed=0)


def test_what_was_made_of_texts_by_others_is_not_compared():
    everyone = toy_selection().retain + toy_selection().forget
    X = np.array([[len(e.question), len(e.answer)] for e in everyone], float)
    made = Learner(Ridge().fit(X, X[:, 0], ids=everyone.ids))
    statistics.check(made, Selection(everyone[:1], everyone[1:]), seed=0)


NEEDED = {"coreset": {"learner": {"learner": "nearest_centroid"}}, "exact_pipeline": STEPS}


@pytest.mark.parametrize("name", [name for name in learners.names() if name != "tfidf"])
def test_rows_of_every_learner_are_compared_as_it_keeps_them(name):
    rows = store()
    # Counts fit every learner, on a grid or not.
    data = Table(rows.ids(), np.rint(np.abs(rows.X)) - 0.0, rows.y)
    target = LearnerRecipe(name, NEEDED.get(name, {})).train(data, seed=0)
    statistics.check(target, resolve(Records("r3"), data), seed=0)
    with pytest.raises(StoreError, match="'r7'"):
        statistics.check(target, resolve(Records("r3"), changed(data, "r7", label=False)), seed=0)
