"""Convex training: what must be public is given or refused, and randomness is what is said."""

import numpy as np
import pytest

from expunge.core.errors import ConfigError, ExpungeError, TargetError
from expunge.core.registry import recipes
from expunge.data.table import Encoding, Table
from expunge.engine.recipes.convex import ConvexTraining
from expunge.testing.toy import toy_store
from expunge.workflow.recipe_file import recipe_of, told

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2))
TABLE = Table([f"r{i}" for i in range(60)], X, (X[:, 0] > 0).astype(int), encoding=Encoding(("a", "b")))


def recipe(**settings):
    return ConvexTraining(**{"classes": (0, 1), "scale": 5.0, "lam": 0.05, **settings})


def test_the_registry_knows_it_and_a_folder_can_state_it():
    made = recipe(divisors={"b": 2.0}, salt="5a17")
    assert recipes.get("convex") is ConvexTraining and recipe_of(told(made)) == made
    assert made.digest() == recipe(divisors={"b": 2.0}).digest() != recipe().digest()


def test_a_seed_repeats_whatever_the_order_of_the_rows_and_a_secret_does_not():
    one = recipe(randomness="seed")
    first, turned = one.train(TABLE, seed=4), one.train(TABLE.rows(TABLE.ids()[::-1]), seed=4)
    assert one.train(TABLE, seed=4).digest() == first.digest() and one.repeats
    np.testing.assert_allclose(turned.model.coef_, first.model.coef_, atol=1e-9)
    assert (one.train(TABLE, seed=5).model.noise_[0] != first.model.noise_[0]).all()
    for randomness in ("secret", "secure"):
        drawn = [recipe(randomness=randomness).train(TABLE, seed=4).model.noise_[0] for _ in range(2)]
        assert (drawn[0] != drawn[1]).all() and not recipe(randomness=randomness).repeats


@pytest.mark.parametrize("randomness", ["secret", "seed", "secure"])
def test_the_noise_has_the_stated_size(randomness):
    zeros = Table(["a", "b"], np.zeros((2, 4000)), [0, 1])
    b = recipe(randomness=randomness, sigma=3.0, certify_on="residual")._model(seed=4)._noise((4000, 1), 0, 0)
    assert zeros.X.shape[1] == len(b) and b.std() == pytest.approx(3.0, rel=5 / np.sqrt(2 * 4000))
    assert abs(b.mean()) < 5 * 3.0 / np.sqrt(4000)


def test_classes_are_given_or_come_with_the_data():
    with pytest.raises(ConfigError, match="classes are not named"):
        recipe(classes=()).train(TABLE, seed=4)
    texts = Table(TABLE.ids(), X, TABLE.y, encoding=Encoding(("a", "b"), classes=("no", "yes")))
    for classes in ((), ("no", "yes"), (0, 1)):
        pinned = recipe(classes=classes).pinned(texts, seed=4)
        assert pinned.classes == (0, 1) and pinned.pinned(texts, seed=4) == pinned
    with pytest.raises(ConfigError, match="not those of the label"):
        recipe(classes=("yes", "no")).pinned(texts, seed=4)


def test_a_class_that_no_row_has_is_a_class():
    few = TABLE.rows([name for name, y in zip(TABLE.ids(), TABLE.y, strict=True) if y == 0])
    target = recipe(loss="one_vs_rest", classes=(0, 1, 2)).train(few, seed=4)
    assert target.model.coef_.shape == (2, 3) and target.model.classes_.tolist() == [0, 1, 2]


def test_it_learns_where_the_noise_is_small():
    target = recipe(sigma=0.05, lam=0.001, divisors={"b": 3.0}, intercept=True).train(TABLE, seed=4)
    assert (target.predict(X) == TABLE.y).mean() > 0.9 and target.model.coef_.shape == (3, 1)
    assert target.scaled.divisors == (1.0, 3.0)


@pytest.mark.parametrize(
    ("settings", "store", "said"),
    [
        ({"scale": 0.5}, TABLE, "above the bound 0.5"),
        ({"classes": (0, 1, 2)}, TABLE, "tells two classes apart"),
        ({"classes": (1, 2)}, TABLE, "'0' is not among the classes"),
        ({"divisors": {"z": 2.0}}, TABLE, "no column 'z' to be divided"),
        ({}, Table(["a", "b"], np.zeros((2, 1))), "rows have no label"),
        ({}, Table(["a", "b"], np.zeros((2, 1), np.float16), [0, 1]), "rows are of float16"),
        ({}, toy_store(), "records are texts"),
        ({"features": "/nowhere/model"}, TABLE, "no model at /nowhere/model"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_training(settings, store, said):
    with pytest.raises(ExpungeError, match=said):
        recipe(**settings).check(store, seed=4)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lam": 0.0}, "lam must be a number, above 0"),
        ({"scale": -1.0}, "scale is -1.0"),
        ({"epsilon": 30.0}, "too large for δ"),
        ({"classes": (1, 1)}, "named twice"),
        ({"loss": "squared"}, "has no classes"),
        ({"polish": 1, "certify_on": "worst"}, "does not go with chord steps"),
        ({"features": "m", "divisors": {"a": 2.0}}, "features have no columns"),
    ],
)
def test_settings_that_allow_no_certificate_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        recipe(**settings)


def test_clipping_is_what_is_asked_for():
    clipped = recipe(scale=0.5, norms="clip").train(TABLE, seed=4)
    assert np.linalg.norm(clipped.scaled.rows(X), axis=1).max() <= 1 + 1e-12
    with pytest.raises(TargetError, match="above the bound"):
        recipe(scale=0.5).train(TABLE, seed=4)
