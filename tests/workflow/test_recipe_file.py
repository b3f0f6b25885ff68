"""Recipes as JSON and YAML: what is written is what is read, and what is not known is refused with a near name."""

import pytest

from expunge.core.errors import ConfigError, StoreError, UnknownName
from expunge.core.training import Training
from expunge.engine.recipes.learner import LearnerRecipe
from expunge.engine.recipes.replayable import Replayable
from expunge.engine.recipes.sisa import SISA
from expunge.testing.toy import toy_recipe
from expunge.workflow.recipe_file import read_recipe, recipe_of, told

TRAINER = {
    "name": "estimator",
    "settings": {"path": "sklearn.linear_model:SGDClassifier", "classes": [0, 1], "settings": {"loss": "log_loss"}},
}
SHARDED = SISA(trainer=TRAINER, shards=3, slices=2, epochs=4, salt="ab")
RECIPES = [
    LearnerRecipe("ridge", {"penalty": 0.25}, salt="00ff"),
    SHARDED,
    SISA(trainer=TRAINER, shards=2, partition="explicit", places={"a": (0, 0), "b": (1, 0)}),
    Replayable(base=toy_recipe().base, training=Training(lr=1e-2, steps=6, batch_size=4), parts=2, steps=(0, 3, 3)),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: type(recipe).__name__)
def test_a_recipe_is_the_same_after_it_was_written(recipe, tmp_path):
    import json

    import yaml

    body = told(recipe)
    assert told(recipe_of(body)) == body
    assert recipe_of(body).digest() == recipe.digest()
    for name, dump in (("r.json", json.dumps), ("r.yaml", yaml.safe_dump)):
        (tmp_path / name).write_text(dump(json.loads(json.dumps(body))))
        assert read_recipe(str(tmp_path / name)).digest() == recipe.digest()


def test_the_name_of_a_learner_is_a_recipe_whose_settings_are_the_learners():
    found = read_recipe("ridge", {"penalty": 0.25, "salt": "00ff"})
    assert found == LearnerRecipe("ridge", {"penalty": 0.25}, salt="00ff")
    assert read_recipe("learner", {"name": "ridge", "settings.penalty": 0.25}).digest() == found.digest()


def test_settings_on_the_command_line_stand_above_those_of_the_file(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("recipe: ridge\npenalty: 0.5\n")
    assert read_recipe(str(path), {"penalty": 2.0}).settings == {"penalty": 2.0}


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("recipe: sissa\n", UnknownName, "Did you mean 'sisa'"),
        ("recipe: ridge\npenalti: 2\n", UnknownName, "Did you mean 'penalty'"),
        ("recipe: sisa\nshard: 2\n", UnknownName, "Did you mean 'shards'"),
        ("recipe: sisa\nshards: 2\n", ConfigError, "does not fit: trainer"),
        ("recipe: sisa\ntrainer: {settings: {}}\n", ConfigError, "does not fit"),
        ("recipe: sisa\ntrainer: {name: estimater, settings: {}}\n", UnknownName, "Did you mean 'estimator'"),
        ("recipe: learner\nname: ridge\nsettings: 7\n", ConfigError, "does not fit: settings"),
        ("penalty: 2\n", ConfigError, "the recipe is not named"),
        ("- ridge\n", StoreError, "holds no settings"),
        ("recipe: [\n", StoreError, "is not YAML"),
    ],
)
def test_what_does_not_fit_is_refused(body, error, words, tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(body)
    with pytest.raises(error, match=words):
        read_recipe(str(path))


def test_a_recipe_that_no_registry_knows_is_not_written():
    with pytest.raises(ConfigError, match="is no registered recipe"):
        told(toy_recipe())
