"""Estimators as parts: kept without a pickle, carried on as if never put down, refused where that cannot be."""

import json
import warnings

import numpy as np
import pytest

from expunge.core.errors import ConfigError, TargetError
from expunge.core.example import Example, Examples
from expunge.data.table import Table
from expunge.engine.parts.trainer import Trainer, told, trainer_of, trainers
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.estimator import Estimator

RNG = np.random.default_rng(1)
X = RNG.normal(size=(40, 4))
TABLE = Table([f"r{i}" for i in range(40)], X, (X[:, 0] + 0.2 * RNG.normal(size=40) > 0).astype(int))
STEPPING = {
    "sklearn.linear_model:SGDClassifier": {"loss": "log_loss", "learning_rate": "invscaling", "eta0": 0.1},
    "sklearn.linear_model:Perceptron": {},
    "sklearn.neural_network:MLPClassifier": {"hidden_layer_sizes": [4], "learning_rate_init": 0.2},
}
REFITTED = {
    "sklearn.naive_bayes:GaussianNB": {},
    "sklearn.linear_model:LogisticRegression": {},
    "sklearn.tree:DecisionTreeClassifier": {"max_depth": 4},
    "sklearn.ensemble:RandomForestClassifier": {"n_estimators": 3},
    "sklearn.neighbors:KNeighborsClassifier": {"algorithm": "brute"},
}


def trained(trainer, model, rows, part, epochs=2):
    return trainer.train(model, rows, epochs=epochs, seed=4, names=("shard", 0, "slice", part))


def again(trainer, model, folder):
    folder.mkdir()
    trainer.save(model, folder)
    return trainer.load(folder)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


AVERAGED = ("sklearn.linear_model:SGDClassifier", {"loss": "log_loss", "eta0": 0.1, "average": True})


@pytest.mark.parametrize(("path", "settings"), [*STEPPING.items(), AVERAGED, *REFITTED.items()])
def test_what_is_put_down_and_taken_up_goes_on_as_if_it_had_not(tmp_path, path, settings):
    trainer = Estimator(path, (0, 1), settings)
    first = TABLE.rows(TABLE.ids()[:20])
    straight = trained(trainer, trained(trainer, trainer.start(seed=2), first, 0), TABLE, 1)
    loaded = again(
        trainer, trained(trainer, again(trainer, trainer.start(seed=2), tmp_path / "a"), first, 0), tmp_path / "b"
    )
    resumed = trained(trainer, loaded, TABLE, 1)
    again(trainer, straight, tmp_path / "c")
    again(trainer, resumed, tmp_path / "d")
    assert bytes_of(tmp_path / "c") == bytes_of(tmp_path / "d") != bytes_of(tmp_path / "b")
    assert (trainer.outputs(trainer.load(tmp_path / "d"), X) == trainer.outputs(straight, X)).all()
    assert np.mean(trainer.outputs(straight, X).argmax(axis=1) == TABLE.y) > 0.7


@pytest.mark.parametrize("path", STEPPING)
def test_one_that_steps_is_moved_by_every_epoch_and_by_slices_before(tmp_path, path):
    trainer = Estimator(path, (0, 1), STEPPING[path])
    first = TABLE.rows(TABLE.ids()[:20])
    runs = {
        "short": trained(trainer, trainer.start(seed=2), TABLE, 1, epochs=1),
        "long": trained(trainer, trainer.start(seed=2), TABLE, 1, epochs=3),
        "after": trained(trainer, trained(trainer, trainer.start(seed=2), first, 0), TABLE, 1, epochs=1),
    }
    weights = [np.concatenate([np.ravel(c) for c in coefficients(run.estimator)]) for run in runs.values()]
    assert all(not np.array_equal(a, b) for i, a in enumerate(weights) for b in weights[:i])


def coefficients(estimator):
    return estimator.coefs_ if hasattr(estimator, "coefs_") else [estimator.coef_]


@pytest.mark.parametrize("path", REFITTED)
def test_one_that_does_not_step_forgets_slices_before(tmp_path, path):
    trainer = Estimator(path, (0, 1), REFITTED[path])
    other = Table(["x", "y"], [[9.0] * 4, [-9.0] * 4], [0, 1])
    fresh = trained(trainer, trainer.start(seed=2), TABLE, 1)
    after = trained(trainer, trained(trainer, trainer.start(seed=2), other, 0), TABLE, 1)
    again(trainer, fresh, tmp_path / "a")
    again(trainer, after, tmp_path / "b")
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_labels_that_a_part_never_saw_get_nothing():
    trainer = Estimator("sklearn.linear_model:LogisticRegression", (3, 0, 1))
    model = trained(trainer, trainer.start(seed=0), TABLE, 0)
    told = trainer.outputs(model, X)
    assert (told[:, 0] == 0).all() and np.allclose(told.sum(axis=1), 1)
    assert (told[:, 1:].argmax(axis=1) == model.estimator.predict(X)).all()


def test_values_are_predicted_where_there_are_no_classes(tmp_path):
    trainer = Estimator("sklearn.linear_model:Ridge", settings={"alpha": 0.5})
    rows = Table(TABLE.ids(), X, X @ RNG.normal(size=(4, 2)))
    model = again(trainer, trained(trainer, trainer.start(seed=0), rows, 0), tmp_path / "a")
    assert trainer.outputs(model, X).shape == (40, 2) and np.allclose(trainer.outputs(model, X), rows.y, atol=0.5)


@pytest.mark.parametrize(
    ("path", "settings", "held"),
    [
        ("sklearn.neighbors:KNeighborsClassifier", {"algorithm": "kd_tree"}, "sklearn.neighbors._kd_tree.KDTree"),
        ("sklearn.ensemble:HistGradientBoostingClassifier", {"max_iter": 1}, "numpy.random"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_one_message(tmp_path, path, settings, held):
    trainer = Estimator(path, (0, 1), settings)
    model = trained(trainer, trainer.start(seed=0), TABLE, 0)
    with pytest.raises(TargetError, match=f"this estimator cannot be kept on file. it holds a {held}"):
        trainer.save(model, tmp_path)
    assert not list(tmp_path.iterdir())


UNKEPT = {
    "sklearn.neighbors:KNeighborsClassifier": {},
    "sklearn.neighbors:RadiusNeighborsClassifier": {"radius": 9.0},
    "sklearn.ensemble:GradientBoostingClassifier": {"n_estimators": 2},
    "sklearn.ensemble:HistGradientBoostingClassifier": {"max_iter": 1},
    "sklearn.gaussian_process:GaussianProcessClassifier": {},
    "sklearn.linear_model:TweedieRegressor": {},
}


@pytest.mark.parametrize(("path", "settings"), UNKEPT.items())
def test_what_cannot_be_kept_is_refused_before_anything_is_trained(path, settings, tmp_path, monkeypatch):
    rows = Table(TABLE.ids(), X, np.abs(X[:, 0])) if "Regressor" in path else TABLE
    recipe = SISA(Estimator(path, () if "Regressor" in path else (0, 1), settings), shards=2)
    for act in (recipe.check, lambda rows, seed: recipe.train(rows, seed=seed, workdir=tmp_path)):
        with pytest.raises(TargetError, match=r"cannot be kept on file.*Choose another estimator"):
            act(rows, seed=0)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_trained_at_all_is_refused_by_the_check():
    table = Table(TABLE.ids(), np.where(X > 2, -1, np.abs(X)), TABLE.y)
    with pytest.raises(TargetError, match=r"MultinomialNB cannot be trained on \d+ of these rows. Negative values"):
        SISA(Estimator("sklearn.naive_bayes:MultinomialNB", (0, 1))).check(table, seed=0)


@pytest.mark.parametrize("given", [{}, {"random_state": None}])
def test_randomness_is_keyed_by_the_seed_also_where_none_is_named(given):
    trainer = Estimator("sklearn.ensemble:RandomForestClassifier", (0, 1), {"n_estimators": 2, **given})
    states = [trainer.start(seed=seed).estimator.random_state for seed in (1, 1, 2)]
    assert states[0] == states[1] != states[2] and None not in states


def test_a_file_cannot_have_other_code_run(tmp_path):
    trainer = Estimator("sklearn.naive_bayes:GaussianNB", (0, 1))
    trainer.save(trainer.start(seed=0), tmp_path)
    card = json.loads((tmp_path / "estimator.json").read_text())
    for state in (
        {"call": "os:system", "args": ["true"], "state": None},
        {"object": "pathlib:Path", "state": {"dict": []}},
        {"call": "expunge.engine.trainers._fitted:found", "args": ["os:system"], "state": None},
        {"call": "sklearn.utils:check_array", "args": [[1.0]], "state": None},
        {"call": "sklearn.naive_bayes:GaussianNB", "args": [], "state": None},
        {"class": "sklearn.datasets:load_files"},
        {"object": "sklearn.utils:Bunch", "state": {"dict": []}},
    ):
        card["state"] = state
        (tmp_path / "estimator.json").write_text(json.dumps(card))
        with pytest.raises(TargetError, match="only estimators of its own package and parts of them"):
            trainer.load(tmp_path)


def test_the_class_is_looked_at_before_a_file_is_read(tmp_path):
    fitted = Estimator("sklearn.naive_bayes:GaussianNB", (0, 1))
    fitted.save(fitted.start(seed=0), tmp_path)
    call = {"call": "subprocess:getoutput", "args": [f"touch {tmp_path / 'ran'}"], "state": None}
    (tmp_path / "estimator.json").write_text(json.dumps({"state": call, "only": None}))
    with pytest.raises(TargetError, match="subprocess:Popen is no estimator"):
        Estimator("subprocess:Popen", (0, 1)).load(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge", "modified_huber", "perceptron", "huber", "squared_error"])
def test_every_loss_of_stepping_is_kept(tmp_path, loss):
    trainer = Estimator("sklearn.linear_model:SGDClassifier", (0, 1), {"loss": loss, "eta0": 1e-3})
    model = trained(trainer, trainer.start(seed=0), TABLE, 0)
    loaded = again(trainer, model, tmp_path / "a")
    assert bytes_of(tmp_path / "a") and (trainer.outputs(loaded, X) == trainer.outputs(model, X)).all()


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        (Estimator("os:system"), "os:system is no estimator"),
        (Estimator("sklearn.nothing:Ridge"), "there is no 'sklearn.nothing:Ridge'"),
        (Estimator("sklearn.linear_model:Ridge", settings={"alhpa": 2}), "a setting of .*Ridge does not fit"),
    ],
)
def test_what_is_no_estimator_is_refused(trainer, said):
    with pytest.raises((TargetError, ConfigError), match=said):
        trainer.start(seed=0)


def test_rows_that_it_cannot_be_trained_on_are_refused():
    trainer = Estimator("sklearn.naive_bayes:GaussianNB", (0, 2))
    with pytest.raises(TargetError, match="the label 1 is not among the classes"):
        trained(trainer, trainer.start(seed=0), TABLE, 0)
    for rows in (Table(["a"], [[1.0]]), Examples([Example("a", "Q?", "A.")])):
        with pytest.raises(TargetError, match="trained on tables with labels"):
            trained(trainer, trainer.start(seed=0), rows, 0)
    with pytest.raises(ConfigError, match="two or more different labels"):
        Estimator("sklearn.naive_bayes:GaussianNB", (0,))


def test_a_trainer_is_json_and_comes_back_from_it():
    trainer = Estimator("sklearn.linear_model:Perceptron", ("no", "yes", 3), {"alpha": 0.25})
    assert isinstance(trainer, Trainer)
    back = trainer_of(json.loads(json.dumps(told(trainer))))
    assert back == trainer and back.digest() == trainer.digest()
    with pytest.raises(ConfigError, match="a setting of the trainer estimator does not fit: classes"):
        trainer_of({"name": "estimator", "settings": {"path": "a:b", "classes": 3}})
    assert {"estimator", "module"} <= set(trainers.names())
    assert all(name == kind.name for name, kind in trainers.items())


def test_labels_may_be_words():
    rows = Table(TABLE.ids(), X, np.where(TABLE.y == 1, "yes", "no"))
    trainer = Estimator("sklearn.linear_model:SGDClassifier", ("no", "yes"))
    with warnings.catch_warnings():
        model = trained(trainer, trainer.start(seed=0), rows, 0)
    assert np.mean(trainer.outputs(model, X).argmax(axis=1) == TABLE.y) > 0.7
