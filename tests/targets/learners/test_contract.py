"""Every learner of the registry keeps the contract; those with two arithmetics in both."""

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.registry import learners
from expunge.targets.learners.coreset import Coreset
from expunge.targets.learners.exact_pipeline import ExactPipeline
from expunge.targets.learners.gaussian_naive_bayes import GaussianNaiveBayes
from expunge.targets.learners.ridge import Ridge
from expunge.targets.learners.standard_scaler import StandardScaler
from expunge.testing import learner_contract as contract

SETTINGS = {
    "dare_forest": lambda: {"n_trees": 4, "max_depth": 4, "thresholds": 3},
    "coreset": lambda: {"learner": GaussianNaiveBayes(), "per_class": 3},
    "exact_pipeline": lambda: {"steps": [("scaler", StandardScaler()), ("bayes", GaussianNaiveBayes())]},
    "kernel_density": lambda: {"bandwidth": 0.7},
    "knn_classifier": lambda: {"neighbours": 3, "weights": "distance"},
    "lda": lambda: {"shrinkage": 0.1},
    "pca": lambda: {"components": 2},
    "qda": lambda: {"regularisation": 0.1},
}

FLOATS = {"exactness": "1e-12"}
IN_FLOATS = {
    "exact_pipeline": lambda: ExactPipeline(
        [("scaler", StandardScaler(**FLOATS)), ("ridge", Ridge(penalty=0.5, **FLOATS))]
    ),
    "coreset": lambda: Coreset(Ridge(penalty=0.5, **FLOATS), per_class=3, step=4.0),
}


def makers():
    for name in learners.names():
        kind = learners.get(name)
        given = SETTINGS.get(name, dict)
        yield pytest.param(lambda kind=kind, given=given: kind(**given()), id=name)
        if "exactness" in inspect.signature(kind).parameters:
            yield pytest.param(lambda kind=kind, given=given: kind(**given(), exactness="1e-12"), id=f"{name}-1e-12")
    for name, make in IN_FLOATS.items():
        yield pytest.param(make, id=f"{name}-1e-12")


@pytest.mark.parametrize("make", list(makers()))
def test_every_learner_keeps_the_contract(make):
    contract.check_learner(make, seed=3)


@pytest.mark.parametrize("make", list(makers()))
@settings(max_examples=6)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 24), data=st.data())
def test_unlearning_any_rows_is_never_having_held_them(make, seed, n, data):
    sample = contract.sample_rows(make(), n=n, seed=seed)
    gone = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n))
    contract.check_unlearning(make, sample, gone)
    contract.check_identity(make, sample, gone)
