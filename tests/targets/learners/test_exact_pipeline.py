"""A pipeline forgets in every part: what cannot is refused, and a part that still knew would be told."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler as TheirScaler

from expunge.core.errors import ConfigError, TargetError
from expunge.data.table import open_table
from expunge.targets.learners.exact_pipeline import ANEW, UNLEARNED, ExactPipeline
from expunge.targets.learners.gaussian_naive_bayes import GaussianNaiveBayes
from expunge.targets.learners.min_max_scaler import MinMaxScaler
from expunge.targets.learners.multinomial_naive_bayes import MultinomialNaiveBayes
from expunge.targets.learners.nearest_centroid import NearestCentroid
from expunge.targets.learners.quantised_k_means import QuantisedKMeans
from expunge.targets.learners.ridge import Ridge
from expunge.targets.learners.standard_scaler import StandardScaler
from expunge.targets.learners.tfidf import TFIDF
from expunge.testing import learner_contract as contract

CASES = {
    "scaler, ridge": lambda: ExactPipeline([("scale", StandardScaler()), ("ridge", Ridge(penalty=2.0))]),
    "range, centroid": lambda: ExactPipeline([("range", MinMaxScaler()), ("centroid", NearestCentroid())]),
    "three": lambda: ExactPipeline(
        [("range", MinMaxScaler()), ("scale", StandardScaler()), ("clusters", QuantisedKMeans(2, epsilon=0.5))]
    ),
    "one": lambda: ExactPipeline([["bayes", GaussianNaiveBayes()]]),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_it_keeps_the_contract_of_learners(make):
    contract.check_learner(make, seed=4)


@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 16), data=st.data())
def test_unlearning_is_a_fit_without_the_rows_in_every_part(make, seed, n, data):
    sample = contract.sample_rows(make(), n=n, seed=seed)
    contract.check_unlearning(make, sample, data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n)))


def outlier(n=40):
    draw = np.random.default_rng(0)
    X = np.concatenate([draw.normal(size=(n, 3)), [[90.0, -90.0, 90.0]]])
    y = np.array([*(X[:n, 0] > 0), True]).astype(int)
    return X, y, [*(f"r{i}" for i in range(n)), "rich"]


def test_deleting_from_the_model_but_not_from_the_scaler_is_caught(monkeypatch):
    X, y, ids = outlier()
    steps = [("scale", StandardScaler()), ("bayes", GaussianNaiveBayes())]
    fitted = ExactPipeline(steps).fit(X, y, ids=ids)
    never = ExactPipeline(steps).fit(X[:-1], y[:-1], ids=ids[:-1])

    def leaky(self, gone):
        fresh = self._copied(self._rows.without(self._rows.find(gone)))
        fresh._parts = (self._parts[0], self._parts[1].unlearn(gone))
        return fresh

    left = leaky(fitted, ["rich"])
    assert left.ids_ == never.ids_, "it says that the row is gone"
    assert left.digest() != never.digest() and not np.allclose(left.predict_proba(X), never.predict_proba(X))
    honest = fitted.unlearn(["rich"])
    assert honest.digest() == never.digest()
    np.testing.assert_array_equal(honest.named_steps["scale"].mean_, never.named_steps["scale"].mean_)
    assert np.abs(fitted.named_steps["scale"].mean_ - never.named_steps["scale"].mean_).min() > 1
    monkeypatch.setattr(ExactPipeline, "unlearn", leaky)
    with pytest.raises(AssertionError, match="differs"):
        sample = contract.sample_rows(fitted, n=12, seed=0)
        contract.check_unlearning(lambda: ExactPipeline(steps), sample, [1, 5])


def test_it_says_which_parts_unlearned_and_which_were_fitted_anew():
    X, y, ids = outlier()
    fitted = ExactPipeline([("range", MinMaxScaler()), ("centroid", NearestCentroid())]).fit(X, y, ids=ids)
    inside, extreme = fitted.unlearn([ids[np.abs(X[:-1]).max(1).argmin()]]), fitted.unlearn(["rich"])
    assert inside.last_deletion_ == {"range": UNLEARNED, "centroid": UNLEARNED}
    assert extreme.last_deletion_ == {"range": UNLEARNED, "centroid": ANEW}
    assert fitted.last_deletion_ == {}


def test_where_no_transform_changes_nothing_is_fitted(monkeypatch):
    X, y, ids = outlier()
    fitted = ExactPipeline([("range", MinMaxScaler()), ("ridge", Ridge())]).fit(X, y.astype(float), ids=ids)
    kept = np.abs(X[:-1]).max(1).argmin()
    never = clone(fitted).fit(np.delete(X, kept, 0), np.delete(y, kept).astype(float), ids=ids[:kept] + ids[kept + 1 :])
    monkeypatch.setattr(Ridge, "fit", None)
    assert fitted.unlearn([ids[kept]]).digest() == never.digest()
    with pytest.raises(TypeError):
        fitted.unlearn(["rich"])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (
            [("scale", TheirScaler()), ("ridge", Ridge())],
            r"the part 'scale' cannot unlearn. StandardScaler has no unlearn\(ids\).* Use standard_scaler of",
        ),
        ([("scale", StandardScaler()), ("m", LogisticRegression())], r"the part 'm' cannot unlearn.*Use one of"),
        ([("scale", StandardScaler)], r"the part 'scale' cannot unlearn. it is a class"),
        (
            [("r", Ridge()), ("s", StandardScaler())],
            r"the part 'r' cannot stand before another. Ridge has no transform",
        ),
        ([("a", StandardScaler()), ("a", Ridge())], "two parts of the pipeline are called 'a'"),
        ([("a", StandardScaler().fit([[1.0]])), ("b", Ridge())], "the part 'a' is fitted already"),
        ([], "a pipeline needs"),
        ([StandardScaler()], "a pipeline needs"),
    ],
)
def test_what_could_not_forget_is_refused_at_once(steps, message):
    with pytest.raises(ConfigError, match=message):
        ExactPipeline(steps)


def test_a_part_that_only_looks_as_if_it_could_is_refused():
    class Pretender(TheirScaler):
        def unlearn(self, ids):
            return self

    with pytest.raises(TargetError, match=r"Pretender is no learner that forgets.*no registry knows it"):
        ExactPipeline([("p", Pretender())])


def test_texts_go_through_and_a_word_of_deleted_texts_alone_is_no_feature_any_more():
    texts = ["red cat", "red dog", "blue bird", "secretword bird", "blue sky"]
    labels, ids = list("aabbb"), ["t0", "t1", "t2", "t3", "t4"]
    steps = [("words", TFIDF()), ("bayes", MultinomialNaiveBayes())]
    fitted = ExactPipeline(steps).fit(texts, labels, ids=ids)
    gone = fitted.unlearn(["t3"])
    assert (
        gone.digest() == ExactPipeline(steps).fit(texts[:3] + texts[4:], list("aabb"), ids=ids[:3] + ids[4:]).digest()
    )
    assert "secretword" not in str(gone.state()) and "secretword" in str(fitted.state())
    assert gone.predict(["red red", "blue"]).tolist() == ["a", "b"]
    again = ExactPipeline.from_state(gone.state())
    assert again.digest() == gone.digest() and again.unlearn(["t0"]).digest() == gone.unlearn(["t0"]).digest()


def test_a_part_without_a_verb_is_named():
    fitted = ExactPipeline([("scale", StandardScaler())]).fit([[1.0], [2.0]])
    assert fitted.transform([[1.5]]).tolist() == [[0.0]]
    with pytest.raises(TargetError, match="the last part of this pipeline has no predict"):
        fitted.predict([[1.5]])
    with pytest.raises(TargetError, match="holds no rows"):
        fitted.unlearn(["0", "1"]).transform([[1.5]])


def test_exactness_is_that_of_the_weakest_part():
    assert ExactPipeline([("s", StandardScaler()), ("r", Ridge())]).exactness == "bitwise"
    assert ExactPipeline([("s", StandardScaler(exactness="1e-12")), ("r", Ridge())]).exactness == "1e-12"


def test_steps_that_are_fitted_elsewhere_bring_no_rows_into_a_copy():
    scaler = StandardScaler()
    fitted = ExactPipeline([("scale", scaler)]).fit([[1.0], [2.0]], ids=["a", "b"])
    scaler.fit([[4321.0]], ids=["other"])
    assert not copy.deepcopy(fitted).steps[0][1].ids_ and fitted.ids_ == {"a", "b"}


def test_adult_forgets_in_scaler_and_model(shared):
    whole = open_table(shared / "data" / "adult" / "adult.csv", label="income-per-year", skip=["fnlwgt"])
    table, test = whole.rows(whole.ids()[:1500]), whole.rows(whole.ids()[-1500:])
    steps = [("scale", StandardScaler(step=2.0**-8)), ("bayes", GaussianNaiveBayes(smoothing=1e-2))]
    gone = table.ids()[::50]
    fitted, left = ExactPipeline(steps).fit(table.X, table.y, ids=table.ids()), table.without(gone)
    forgot = fitted.unlearn(gone)
    assert forgot.digest() == ExactPipeline(steps).fit(left.X, left.y, ids=left.ids()).digest()
    assert (forgot.predict(test.X) == test.y).mean() > 0.5
