"""What has a counterpart in scikit-learn agrees with it, after rows were unlearned, to the tolerance that is stated."""

import numpy as np
import pytest
import sklearn.decomposition
import sklearn.discriminant_analysis
import sklearn.feature_extraction.text
import sklearn.linear_model
import sklearn.naive_bayes
import sklearn.neighbors
import sklearn.preprocessing

from expunge.targets import learners
from expunge.testing.learner_contract import sample_rows

N, GONE = 200, range(0, 200, 7)
bayes, discriminant = sklearn.naive_bayes, sklearn.discriminant_analysis
PROBABILITIES = {
    "multinomial": (learners.multinomial_naive_bayes(alpha=0.5), bayes.MultinomialNB(alpha=0.5), 1e-12),
    "bernoulli": (
        learners.bernoulli_naive_bayes(alpha=0.5, threshold=0.3),
        bayes.BernoulliNB(alpha=0.5, binarize=0.3),
        1e-12,
    ),
    "gaussian": (learners.gaussian_naive_bayes(exactness="1e-12"), bayes.GaussianNB(), 1e-11),
    "lda": (
        learners.lda(shrinkage=0.2, exactness="1e-12"),
        discriminant.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2),
        1e-11,
    ),
    "qda": (
        learners.qda(regularisation=0.3, exactness="1e-12"),
        discriminant.QuadraticDiscriminantAnalysis(reg_param=0.3),
        1e-11,
    ),
    "knn": (
        learners.knn_classifier(neighbours=4, weights="distance"),
        sklearn.neighbors.KNeighborsClassifier(4, weights="distance"),
        1e-12,
    ),
}


def unlearned(ours, *, seed=1):
    """Ours after unlearning, and the rows that are left."""
    sample = sample_rows(ours, n=N, seed=seed)
    learner = ours.fit(sample.X, sample.y, ids=sample.ids).unlearn([sample.ids[i] for i in GONE])
    X, y, _ = sample.part(sample.without(GONE))
    return learner, X, y


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_are_those_of_scikit_learn(name):
    ours, theirs, tolerance = PROBABILITIES[name]
    learner, X, y = unlearned(ours)
    theirs.fit(X, y)
    np.testing.assert_allclose(learner.predict_proba(X), theirs.predict_proba(X), atol=tolerance, rtol=0)
    assert learner.predict(X).tolist() == theirs.predict(X).tolist()
    assert learner.classes_.tolist() == theirs.classes_.tolist()


def test_on_the_grid_they_differ_from_scikit_learn_by_the_grid():
    learner, X, y = unlearned(learners.gaussian_naive_bayes())
    theirs = bayes.GaussianNB().fit(X, y)
    np.testing.assert_allclose(learner.predict_proba(X), theirs.predict_proba(X), atol=50 * 2.0**-16, rtol=0)
    on_grid = np.rint(X * 2**16) / 2**16
    theirs.fit(on_grid, y)
    np.testing.assert_allclose(learner.predict_proba(X), theirs.predict_proba(X), atol=1e-11, rtol=0)


def test_nearest_centroid_predicts_as_scikit_learn():
    learner, X, y = unlearned(learners.nearest_centroid(exactness="1e-12"))
    theirs = sklearn.neighbors.NearestCentroid().fit(X, y)
    assert learner.predict(X).tolist() == theirs.predict(X).tolist()
    np.testing.assert_allclose(learner.centroids_, theirs.centroids_, atol=1e-13)


@pytest.mark.parametrize("exactness", ["bitwise", "1e-12"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("outputs", [1, 3])
def test_ridge_is_scikit_learns(exactness, intercept, outputs):
    rng = np.random.default_rng(0)
    X = np.rint(rng.standard_normal((N, 6)) * 2**10) / 2**10 + 3.0
    Y = np.rint(rng.standard_normal((N, outputs)) * 2**10) / 2**10
    y = Y[:, 0] if outputs == 1 else Y
    learner = learners.ridge(penalty=2.5, intercept=intercept, exactness=exactness, step=2.0**-10).fit(X, y)
    learner = learner.unlearn([str(i) for i in GONE])
    kept = np.setdiff1d(np.arange(N), GONE)
    theirs = sklearn.linear_model.Ridge(alpha=2.5, fit_intercept=intercept, solver="cholesky").fit(X[kept], y[kept])
    np.testing.assert_allclose(learner.coef_, theirs.coef_, atol=1e-11)
    np.testing.assert_allclose(learner.intercept_, theirs.intercept_, atol=1e-11)
    np.testing.assert_allclose(learner.predict(X), theirs.predict(X), atol=1e-11)


def test_a_penalty_per_row_falls_with_the_rows():
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((N, 4)), rng.standard_normal(N)
    kept = np.setdiff1d(np.arange(N), GONE)
    for exactness in ("bitwise", "1e-12"):
        learner = learners.ridge(penalty=0.3, per_row=True, exactness=exactness, step=2.0**-24).fit(X, y)
        learner = learner.unlearn([str(i) for i in GONE])
        theirs = sklearn.linear_model.Ridge(alpha=0.3 * len(kept)).fit(X[kept], y[kept])
        np.testing.assert_allclose(learner.coef_, theirs.coef_, atol=1e-7)


def test_least_squares_is_scikit_learns():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((N, 4)), rng.standard_normal(N)
    learner = learners.ridge(penalty=0.0, exactness="1e-12").fit(X, y).unlearn([str(i) for i in GONE])
    kept = np.setdiff1d(np.arange(N), GONE)
    theirs = sklearn.linear_model.LinearRegression().fit(X[kept], y[kept])
    np.testing.assert_allclose(learner.coef_, theirs.coef_, atol=1e-12)


def test_neighbours_regression_is_scikit_learns():
    learner, X, y = unlearned(learners.knn_regressor(neighbours=6, weights="distance"))
    theirs = sklearn.neighbors.KNeighborsRegressor(6, weights="distance").fit(X, y)
    np.testing.assert_allclose(learner.predict(X + 0.1), theirs.predict(X + 0.1), atol=1e-12)


def test_density_is_scikit_learns():
    learner, X, _ = unlearned(learners.kernel_density(bandwidth=0.6))
    theirs = sklearn.neighbors.KernelDensity(bandwidth=0.6, rtol=1e-13).fit(X)
    np.testing.assert_allclose(learner.score_samples(X), theirs.score_samples(X), atol=1e-10)


@pytest.mark.parametrize("components", [None, 2])
def test_principal_components_are_scikit_learns(components):
    learner, X, _ = unlearned(learners.pca(components=components, exactness="1e-12"))
    theirs = sklearn.decomposition.PCA(components).fit(X)
    np.testing.assert_allclose(learner.explained_variance_, theirs.explained_variance_, rtol=1e-12)
    np.testing.assert_allclose(learner.transform(X), theirs.transform(X), atol=1e-11)


@pytest.mark.parametrize("name", ["standard_scaler", "min_max_scaler", "max_abs_scaler"])
def test_scalers_are_scikit_learns(name):
    kind = getattr(learners, name)
    learner, X, _ = unlearned(kind(exactness="1e-12") if name == "standard_scaler" else kind())
    camel = "".join(part.title() for part in name.split("_"))
    theirs = getattr(sklearn.preprocessing, camel)().fit(X)
    np.testing.assert_allclose(learner.transform(X), theirs.transform(X), atol=1e-12)


def test_a_constant_feature_is_scaled_by_one_as_in_scikit_learn():
    X = np.full((9, 1), 0.1)
    for exactness in ("bitwise", "1e-12"):
        learner = learners.standard_scaler(exactness=exactness).fit(np.vstack([X, [[7.0]]])).unlearn(["9"])
        assert learner.scale_.tolist() == sklearn.preprocessing.StandardScaler().fit(X).scale_.tolist() == [1.0]


def test_word_weights_are_scikit_learns():
    learner, X, _ = unlearned(learners.tfidf(least=3))
    theirs = sklearn.feature_extraction.text.TfidfVectorizer(min_df=3).fit(X)
    np.testing.assert_allclose(learner.transform(X), theirs.transform(X).toarray(), atol=1e-14)
    assert learner.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
