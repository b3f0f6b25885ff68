"""What a hostile reader tried on the learners: chains of outliers, changed settings, blocked deletions, odd labels."""

import pickle

import numpy as np
import pytest

from expunge.core.errors import ConfigError, TargetError
from expunge.core.registry import learners
from expunge.targets.learners._downdate import NormalEquations
from expunge.targets.learners._sums import STEP, FloatSums
from expunge.targets.learners.bernoulli_naive_bayes import BernoulliNaiveBayes
from expunge.targets.learners.coreset import Coreset
from expunge.targets.learners.dare_forest import DareForest
from expunge.targets.learners.dare_tree import DareTree
from expunge.targets.learners.exact_pipeline import ExactPipeline
from expunge.targets.learners.kernel_density import KernelDensity
from expunge.targets.learners.knn_classifier import KNNClassifier
from expunge.targets.learners.max_abs_scaler import MaxAbsScaler
from expunge.targets.learners.multinomial_naive_bayes import MultinomialNaiveBayes
from expunge.targets.learners.nearest_centroid import NearestCentroid
from expunge.targets.learners.pca import PCA
from expunge.targets.learners.quantised_k_means import QuantisedKMeans
from expunge.targets.learners.ridge import Ridge
from expunge.targets.learners.standard_scaler import StandardScaler
from expunge.targets.learners.tfidf import TFIDF
from expunge.testing import learner_contract as contract

IN_FLOATS = ("standard_scaler", "gaussian_naive_bayes", "lda", "qda", "nearest_centroid", "pca")


def far_out(n=200, d=2, outliers=12):
    X = np.abs(np.random.default_rng(0).standard_normal((n, d)))
    X[:outliers, 0] = 10.0 ** np.arange(outliers, 0, -1)
    return X, np.arange(n) % 2


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("name", IN_FLOATS)
def test_outliers_that_leave_float_sums_one_by_one_leave_nothing(name, copied):
    X, y = far_out()
    kind = learners.get(name)
    learner = kind(exactness="1e-12").fit(X, y)
    for i in range(12):
        learner = learner.unlearn([str(i)])
        learner = pickle.loads(pickle.dumps(learner)) if copied else learner
    never = kind(exactness="1e-12").fit(X[12:], y[12:], ids=[str(i) for i in range(12, 200)])
    for key, value in never.state().items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(learner.state()[key], value, rtol=0, atol=1e-12 * np.abs(value).max())


def test_a_spread_is_kept_beside_a_far_larger_mean():
    X = 1e6 + np.random.default_rng(0).standard_normal((200, 1))
    X[0] += 1e5
    left, never = StandardScaler(exactness="1e-12").fit(X).unlearn(["0"]), StandardScaler(exactness="1e-12").fit(X[1:])
    assert abs(left.scale_ / never.scale_ - 1) < 1e-12


def test_single_deletions_of_ordinary_rows_do_not_add_up_all_rows_each_time(monkeypatch):
    X, anew = np.random.default_rng(0).standard_normal((400, 3)), []
    learner = StandardScaler(exactness="1e-12").fit(X)
    monkeypatch.setattr(
        StandardScaler, "_anew", lambda self, label: anew.append(1) or FloatSums.of(X, "diagonal", STEP)
    )
    for i in range(50):
        learner = learner.unlearn([str(i)])
    assert not anew


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("size", [1e4, 1e8, 1e12])
def test_ridge_forgets_an_outlier_among_the_targets(size, intercept):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 3))
    y = X[:, 0] + rng.standard_normal(200)
    y[0] = size
    ids = [str(i) for i in range(200)]
    left = Ridge(exactness="1e-12", intercept=intercept).fit(X, y).unlearn(["0"])
    never = Ridge(exactness="1e-12", intercept=intercept).fit(X[1:], y[1:], ids=ids[1:])
    for key in ("products", "cross"):
        size = np.abs(never.state()[key]).max()
        np.testing.assert_allclose(left.state()[key], never.state()[key], rtol=0, atol=1e-12 * size)
    np.testing.assert_allclose(left.coef_, never.coef_, rtol=0, atol=1e-12)


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_a_chain_of_ridge_outliers_ends_where_a_fit_ends_whoever_asked_between(asked, copied):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 10))
    X[:12, 0] = 10.0 ** np.arange(12, 0, -1)
    y = X[:, 1] + rng.standard_normal(300)
    learner = Ridge(exactness="1e-12").fit(X, y)
    for i in range(12):
        learner = learner.unlearn([str(i)])
        if asked:
            assert learner.coef_.shape == (10,)
        learner = pickle.loads(pickle.dumps(learner)) if copied else learner
    never = Ridge(exactness="1e-12").fit(X[12:], y[12:])
    np.testing.assert_allclose(learner.coef_, never.coef_, rtol=0, atol=1e-12)


def test_few_ordinary_rows_are_subtracted_from_the_normal_equations_not_added_up_anew():
    rng = np.random.default_rng(0)
    X, Y, penalty = rng.standard_normal((300, 4)), rng.standard_normal((300, 2)), np.full(4, 1.5)
    whole = NormalEquations(X.T @ X, X.T @ Y, (Y * Y).sum(0), penalty, 300)
    left = whole.folded(X[:20], Y[:20], penalty)
    assert left is not None and not whole.outlives(Y[:20])
    np.testing.assert_allclose(left.products, X[20:].T @ X[20:], atol=1e-11)


@pytest.mark.parametrize("name", [*IN_FLOATS, "ridge", "knn_classifier", "kernel_density", "quantised_k_means"])
def test_numbers_whose_squares_overflow_are_refused_and_nothing_changes(name):
    kind = learners.get(name)
    learner = kind().fit(np.arange(12.0).reshape(6, 2), [0, 1, 0, 1, 0, 1])
    before = learner.digest()
    with pytest.raises(TargetError, match="too large"):
        learner.partial_fit([[1e200, 1.0]], [1])
    assert learner.digest() == before
    with pytest.raises(TargetError, match="too large"):
        Ridge(exactness="1e-12").fit([[1.0], [2.0]], [1e200, 3.0])


CHANGES = [
    (StandardScaler(), "step", 2.0**-8),
    (StandardScaler(), "exactness", "1e-12"),
    (BernoulliNaiveBayes(), "threshold", 5.0),
    (DareForest(4, trees_per_row=2, seed=1), "seed", 2),
    (KNNClassifier(neighbours=1), "neighbours", 3),
    (Coreset(NearestCentroid(), per_class=2), "per_class", 3),
    (Coreset(NearestCentroid(), per_class=2), "learner", NearestCentroid(exactness="1e-12")),
    (ExactPipeline([("s", StandardScaler())]), "steps", [("s", StandardScaler(exactness="1e-12"))]),
]


@pytest.mark.parametrize(("learner", "name", "value"), CHANGES)
def test_settings_that_change_after_a_fit_are_refused_where_they_would_matter(learner, name, value):
    X, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2
    old = getattr(learner, name)
    learner.fit(X, y)
    good = learner.unlearn(["0"]).digest()
    learner.set_params(**{name: value})
    for act in (lambda: learner.unlearn(["0"]), lambda: learner.partial_fit(X[:1], y[:1]), learner.state):
        with pytest.raises(ConfigError, match=f"{name} was changed after rows were learned"):
            act()
    with pytest.raises(ConfigError):
        pickle.dumps(learner)
    learner.set_params(**{name: old})
    assert learner.unlearn(["0"]).digest() == good
    learner.set_params(**{name: value}).fit(X, y)
    assert learner.unlearn(["0"]).ids_ == learner.ids_ - {"0"}


def test_a_pipeline_reads_its_exactness_off_its_parts_and_keeps_clones_of_them():
    X, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2
    scale, near = StandardScaler(), KNNClassifier(neighbours=1)
    pipe = ExactPipeline([("scale", scale), ("near", near)])
    scale.set_params(exactness="1e-12")
    assert pipe.exactness == "1e-12"
    pipe.partial_fit(X, y)
    near.set_params(neighbours=5)
    scale.fit(X[:3] * 50, ids=["x", "y", "z"])
    left = pipe.unlearn(["0"])
    assert left.named_steps["near"].neighbours == 1 and not left.unlearn([str(i) for i in range(1, 20)]).ids_
    assert pipe.partial_fit(X[:1], y[:1]).ids_ == {str(i) for i in range(21)}
    changed = ExactPipeline([("scale", StandardScaler())]).set_params(steps=[("scale", StandardScaler)])
    with pytest.raises(ConfigError, match="it is a class"):
        changed.partial_fit(X)


def test_the_width_of_a_label_that_is_gone_is_gone():
    X, y = [[0.0], [1.0], [2.0], [3.0]], ["a", "b", "a", "averylonglabel"]
    for make in (
        lambda: KNNClassifier(neighbours=1),
        DareTree,
        NearestCentroid,
        lambda: Coreset(KNNClassifier(neighbours=1), per_class=1, weighted=False),
        lambda: ExactPipeline([("near", KNNClassifier(neighbours=1))]),
    ):
        left, never = make().fit(X, y).unlearn(["3"]), make().fit(X[:3], y[:3])
        assert left.predict(X).dtype == never.predict(X).dtype == np.dtype("<U1")
        sample = contract.Sample(np.array(X), np.array(y), ("0", "1", "2", "3"))
        contract.check_unlearning(make, sample, [3])
        contract.check_same_pickle(make, sample, [3])


@pytest.mark.parametrize("name", ["standard_scaler", "pca", "ridge", "lda", "multinomial_naive_bayes"])
def test_a_grid_that_would_flatten_a_feature_is_refused_and_a_finer_one_taken(name):
    rng = np.random.default_rng(0)
    X, y = np.abs(rng.standard_normal((50, 2))), np.arange(50) % 2
    X[:, 1] *= 1e-5
    with pytest.raises(TargetError, match=r"feature 1 ranges over .*Choose a smaller step"):
        learners.get(name)().fit(X, y)
    learners.get(name)(step=2.0**-28).fit(X, y).unlearn(["3"])


def test_constants_whole_numbers_and_late_near_copies_are_no_reason_to_refuse_a_grid():
    X = np.stack([np.full(20, 0.1), np.arange(20) / 10, np.r_[np.zeros(19), 1.0]], axis=1)
    scaler = StandardScaler().fit(X)
    scaler.partial_fit(X[:1] + 1e-7 * np.outer(np.arange(12), [0, 1, 0]))
    assert len(scaler.ids_) == 32
    with pytest.raises(TargetError, match="target 0 ranges"):
        Ridge().fit(X[:, 1:2], 1e-6 * np.arange(20.0))


def test_a_lattice_finer_than_its_grid_is_refused():
    with pytest.raises(ConfigError, match="epsilon must be a finite number of at least one step"):
        QuantisedKMeans(2, epsilon=1e-7).fit([[0.0], [1.0]])
    with pytest.raises(ConfigError, match="epsilon"):
        QuantisedKMeans(2, epsilon=float("inf")).fit([[0.0], [1.0]])


def test_rows_leave_a_pipeline_even_where_what_is_left_is_too_little_for_a_part():
    X = np.random.default_rng(0).standard_normal((3, 2))

    def make():
        return ExactPipeline([("scale", StandardScaler()), ("pca", PCA()), ("near", KNNClassifier(neighbours=1))])

    left = make().fit(X, ["a", "b", "c"]).unlearn(["0", "1"])
    assert left.ids_ == {"2"} == left.named_steps["scale"].ids_ and not left.named_steps["near"].ids_
    for one in (type(left).from_state(left.state()), pickle.loads(pickle.dumps(left))):
        with pytest.raises(TargetError, match="left unfitted since rows were unlearned"):
            one.predict(X)
        assert one.digest() == left.digest()
        one.partial_fit(X[:2], ["a", "b"], ids=["0", "1"])
        assert one.digest() == make().fit(X, ["a", "b", "c"]).digest()
        assert one.unlearn(["1"]).digest() == make().fit(X[[0, 2]], ["a", "c"], ids=["0", "2"]).digest()
    assert not left.unlearn(["2"]).ids_
    words = ExactPipeline([("words", TFIDF(least=2)), ("bayes", MultinomialNaiveBayes())])
    words = words.fit(["red cat", "red dog", "blue sky"], ["a", "b", "c"]).unlearn(["0"])
    assert words.ids_ == {"1", "2"} and "left unfitted" in words.last_deletion_
    assert words.unlearn(["1"]).ids_ == {"2"}


def test_rows_leave_a_coreset_even_where_its_learner_cannot_be_fitted_any_more():
    inner = ExactPipeline([("pca", PCA()), ("near", KNNClassifier(neighbours=1))])
    fitted = Coreset(inner, per_class=1, weighted=False).fit([[0.0, 1.0], [2.0, 5.0], [3.0, 1.0]], ["a", "b", "b"])
    left = fitted.unlearn(["0"])
    assert left.ids_ == {"1", "2"}
    with pytest.raises(TargetError):
        left.predict([[1.0, 1.0]])
    again = left.unlearn(["1"]).partial_fit([[0.0, 1.0]], ["a"], ids=["0"])
    assert again.predict([[0.0, 1.0]]).tolist() == ["a"]


@pytest.mark.parametrize(
    "labels",
    [[np.inf, 1.0], [1e300, 1.0], np.array([2**64 - 1, 3], np.uint64), ["a", 1], ["a", None], [True, 2], [0.5, 1.0]],
)
def test_labels_that_would_be_corrupted_are_refused(labels):
    for make in (lambda: KNNClassifier(neighbours=1), lambda: ExactPipeline([("near", KNNClassifier(neighbours=1))])):
        with pytest.raises(TargetError, match="label"):
            make().fit([[0.0], [1.0]], labels)


def test_labels_that_are_safe_are_taken_as_they_are():
    for labels in ([1, 2.0], np.array([0, 1], object), np.array(["a", "b"], object), [True, False], [3.0, 1.0]):
        near = KNNClassifier(neighbours=1).fit([[0.0], [1.0]], labels)
        assert near.predict([[0.0], [1.0]]).tolist() == list(labels)


def test_rounding_does_not_choose_the_sign_of_a_component():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((60, 2))
        X[:, 1] += X[:, 0]
        X = (X - X.mean(0)) / X.std(0)
        left = PCA(exactness="1e-12").fit(np.r_[X, [[5.0, 1.0]]]).unlearn(["60"])
        np.testing.assert_allclose(left.transform(X), PCA(exactness="1e-12").fit(X).transform(X), atol=1e-9)


def test_a_direction_along_which_nothing_varies_is_none():
    pca = PCA(exactness="1e-12").fit([[0.0, 0.0, 1.0], [2.0, 2.0, 1.0], [9.0, 1.0, 7.0]]).unlearn(["2"])
    np.testing.assert_allclose(pca.components_, [[0.5**0.5, 0.5**0.5, 0.0], [0, 0, 0], [0, 0, 0]], atol=1e-12)
    assert pca.explained_variance_.round(9).tolist() == [4.0, 0.0, 0.0]


@pytest.mark.parametrize("leak", ["_leak", "as tuples"])
def test_residue_that_is_encoded_is_seen(monkeypatch, leak):
    drop = QuantisedKMeans._drop

    def leaky(self, X, y):
        drop(self, X, y)
        self.__dict__[leak] = self._grid(X) if leak == "_leak" else tuple(map(tuple, X.tolist()))

    monkeypatch.setattr(QuantisedKMeans, "_drop", leaky)
    with pytest.raises(AssertionError, match="a copy shows that rows were unlearned"):
        contract.check_learner(lambda: QuantisedKMeans(3, epsilon=1.0))


def test_what_a_learner_shares_cannot_be_written_to():
    pca = PCA().fit(np.eye(3) + 1)
    near, scaler = KNNClassifier(neighbours=1).fit([[1.0], [3.0]], ["a", "b"]), MaxAbsScaler().fit([[1.0], [-4.0]])
    clusters, ridge = QuantisedKMeans(1).fit([[1.0], [3.0]]), Ridge().fit([[1.0], [2.0]], [1.0, 3.0])
    tree = DareTree().fit([[1.0], [3.0]], ["a", "b"])
    handed = [pca.components_, near.classes_, tree.classes_, ridge.coef_, near.state()["X"], clusters.state()["start"]]
    for array in [*handed, *(a for a in scaler.state().values() if isinstance(a, np.ndarray))]:
        with pytest.raises(ValueError, match="read-only"):
            array[...] = array


def test_a_density_far_away_is_no_nan():
    assert KernelDensity().fit([[1.0]]).score_samples([[1e6]])[0] < -1e6


def test_verbs_that_scikit_learn_expects_are_there():
    X, y = [[0.0], [1.0], [9.0], [10.0]], ["a", "a", "b", "b"]
    found = QuantisedKMeans(2).fit_predict(X)
    assert found[0] == found[1] != found[2] == found[3]
    assert ExactPipeline([("scale", StandardScaler()), ("lda", learners.get("lda")())]).fit(X, y).score(X, y) == 1.0


@pytest.mark.parametrize("penalty", ["1", None, True, float("nan"), float("inf"), -1.0])
def test_a_setting_that_is_no_number_is_refused_as_such(penalty):
    with pytest.raises(ConfigError, match="penalty must be a number"):
        Ridge(penalty=penalty).fit([[1.0], [2.0]], [1.0, 2.0])
    with pytest.raises(ConfigError, match="at least one component"):
        PCA(components=1.5).fit([[1.0], [2.0]])
