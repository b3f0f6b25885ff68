"""One verb over whatever forgets; whatever cannot is told what would."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import expunge
from expunge.core.errors import StoreError, TargetError
from expunge.targets.learner import Learner
from expunge.targets.learners import exact_pipeline, nearest_centroid, ridge, standard_scaler

X = np.array([[0.0, 1.0], [2.0, 3.0], [5.0, 1.0], [9.0, 9.0]])
IDS = list("abcd")


def test_learners_pipelines_and_targets_forget():
    steps = [("scale", standard_scaler()), ("ridge", ridge())]
    for made in (
        lambda: nearest_centroid(),
        lambda: exact_pipeline(steps),
        lambda: Learner(exact_pipeline(steps), "ab"),
    ):
        whole, part = made(), made()
        (whole.estimator if isinstance(whole, Learner) else whole).fit(X, [1, 1, 2, 2], ids=IDS)
        (part.estimator if isinstance(part, Learner) else part).fit(X[1:], [1, 2, 2], ids=IDS[1:])
        before = whole.digest()
        assert expunge.forget(whole, ["a"]).digest() == part.digest() and whole.digest() == before
        with pytest.raises(StoreError, match="nobody"):
            expunge.forget(whole, ["nobody"])


def test_scikit_learn_is_refused_with_what_to_use_for_each_part():
    theirs = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, [1, 1, 2, 2])
    with pytest.raises(TargetError) as told:
        expunge.forget(theirs, ["0"])
    assert "a Pipeline cannot forget" in str(told.value) and "Use exact_pipeline of" in str(told.value)
    assert "standardscaler: Use standard_scaler of" in str(told.value)
    with pytest.raises(TargetError, match=r"a RidgeCV cannot forget.*Use one of expunge.targets.learners"):
        expunge.forget(RidgeCV().fit(X, [1, 1, 2, 2]), ["0"])
