"""Training under a noisy plan on the command line: train, forget twice, certify, verify; and refusals."""

import json
import os

import numpy as np
import pytest

from expunge.core.canonical import digest_folder
from expunge.workflow.recipe_file import recipe_of, told
from expunge.workflow.verbs import adopt

RECIPE = """recipe: {name}
loss: {{penalty: 0.1, radius: 4.0, beyond: clip}}
epsilon: 1.0
delta: 0.001
bound: derived
scale: 2.5
{more}
"""
OWN = {"descent_to_delete": "per_request: 2", "one_shot_removal": "most: 3", "langevin": "most: 3"}
NAMES = sorted(OWN)


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    rng = np.random.default_rng(7)
    X = np.round(rng.normal(size=(60, 2)), 3)
    kinds = np.where(X[:, 0] > 0, "yes", "no")
    rows = [f"r{i},{a},{b},{kind}" for i, ((a, b), kind) in enumerate(zip(X, kinds, strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(["name,a,b,y", *rows]) + "\n")
    (tmp_path / "values.json").write_text('{"y": ["no", "yes"]}')
    values = ["--categories", str(tmp_path / "values.json")]
    return ["--data", str(tmp_path / "rows.csv"), "--label", "y", "--id", "name", *values]


@pytest.fixture
def trained(table, call, tmp_path):
    """Train by a recipe file; returns the folder."""

    def train(name, more=""):
        recipe = tmp_path / f"{name}.yaml"
        recipe.write_text(RECIPE.format(name=name, more=f"{OWN[name]}\n{more}"))
        said = call("train", "--recipe", recipe, *table, "--out", tmp_path / "m")
        assert (said.code, said.err) == (0, "")
        return tmp_path / "m"

    return train


def forget(call, model, out, ids, method, *more):
    return call("unlearn", "--model", model, "--method", method, "--ids", ids, "--out", out, "--json", *more)


@pytest.mark.parametrize("name", NAMES)
def test_two_requests_are_certified_and_verified_and_a_third_is_refused(name, trained, call, tmp_path):
    model = trained(name)
    before = digest_folder(model)
    recipe = json.loads((model / "training.json").read_text())["recipe"]
    assert recipe["rows"] == 60 and recipe["classes"] == [0, 1] and told(recipe_of(recipe)) == recipe
    at = model
    for units, ids in ((2, "r1,r5"), (3, "r2")):
        run = tmp_path / f"u{units}"
        said = forget(call, at, run, ids, name)
        assert (said.code, said.err) == (0, "")
        said = call("certify", run, "--json")
        assert said.code == 0, said.err
        assert said.json["earned"]["model"]["type"] == "Certified"
        [proof] = said.json["certificate"]["artefacts"][0]["evidence"]
        assert proof["units"] == str(units) and 0 < float(proof["epsilon"]) <= 1 + 1e-9
        verified = call("verify", said.json["path"])
        assert verified.code == 0 and f"computed again by {name}" in verified.out
        left = " ".join(f"{place['path']} {place['reason']}" for place in said.json["certificate"]["residue"])
        assert ("unpublished.safetensors" in left) == (name != "langevin")
        at = run / "unlearned"
    assert adopt(at).units == 3 and digest_folder(model) == before
    if name != "descent_to_delete":
        said = forget(call, at, tmp_path / "u4", "r9", name)
        assert said.code == 2 and "the budget is spent" in said.words
    else:
        said = forget(call, at, tmp_path / "u4", "r9,r10,r11", name)
        assert said.code == 2 and "3 rows in one request" in said.words
    assert not (tmp_path / "u4").exists()
    assert forget(call, at, tmp_path / "u5", "r1", name).code == 2, "it is not in this model any more"


@pytest.mark.parametrize("name", NAMES)
def test_a_seeded_training_and_another_method_are_refused_with_nothing_written(name, trained, call, tmp_path):
    model = trained(name, "randomness: seed")
    said = forget(call, model, tmp_path / "u", "r1", name)
    assert said.code == 2 and "follows from its seed" in said.words
    other = NAMES[NAMES.index(name) - 1]
    said = forget(call, model, tmp_path / "u", "r1", other)
    assert said.code == 2 and f"the recipe {other} trained" in said.words
    assert not (tmp_path / "u").exists()


@pytest.mark.parametrize(("steps", "fits"), [(330, True), (400, True), (10**8, False)])
def test_steps_that_leave_nothing_but_rounding_are_certified_and_endless_ones_refused(
    steps, fits, table, call, tmp_path
):
    lines = RECIPE.format(name="descent_to_delete", more=f"steps: {steps}").replace("penalty: 0.1", "penalty: 1.0")
    (tmp_path / "d.yaml").write_text(lines.replace("radius: 4.0", "radius: 1.2"))
    said = call("train", "--recipe", tmp_path / "d.yaml", *table, "--out", tmp_path / "m")
    if not fits:
        assert said.code == 2 and "100000 are the most" in said.words and not (tmp_path / "m").exists()
        return
    assert forget(call, tmp_path / "m", tmp_path / "u", "r1", "descent_to_delete").code == 0
    assert call("certify", tmp_path / "u").code == 0 and not (tmp_path / "u" / ".work").exists()
    made, scratch = adopt(tmp_path / "u" / "unlearned"), adopt(tmp_path / "m")
    assert np.linalg.norm(made.weights - scratch.weights) < 0.1, "whatever is left of one row of sixty, and noise"


@pytest.mark.parametrize(
    ("line", "reason"),
    [("most: 31", "half"), ("epsilon: -1", "above 0"), ("scale: 0", "scale"), ("loss: {radius: 2}", "penalty")],
)
def test_a_recipe_that_does_not_fit_trains_nothing(line, reason, table, call, tmp_path):
    lines = RECIPE.format(name="one_shot_removal", more=OWN["one_shot_removal"]).splitlines()
    key = line.partition(":")[0]
    (tmp_path / "bad.yaml").write_text("\n".join([*(text for text in lines if not text.startswith(key)), line]))
    said = call("train", "--recipe", tmp_path / "bad.yaml", *table, "--out", tmp_path / "m")
    assert said.code == 2 and reason in said.words and not (tmp_path / "m").exists()
