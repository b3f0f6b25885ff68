"""Newton removal from the first command to the last: train, forget, forget again, certify, verify; and refusals."""

import csv
import json
import os
import re

import numpy as np
import pytest

from expunge.core.canonical import digest_folder
from expunge.data.jsonl import dump_examples
from expunge.ledger.home import home_path
from expunge.ledger.log import log_path
from expunge.targets.convex.target import ConvexTarget
from expunge.testing.toy import toy_corpus, toy_model
from expunge.workflow.recipe_file import recipe_of, told
from expunge.workflow.verbs import adopt

RECIPE = """recipe: convex
classes: [0, 1]
scale: 5.0
lam: 1.0
epsilon: 0.8
delta: 1.0e-5
intercept: true
"""
HEAD = """recipe: convex
loss: multinomial
classes: [city, work, pet]
features: lm
scale: 8.0
norms: clip
lam: 0.1
"""
ADULT = """recipe: convex
loss: {loss}
certify_on: {certify_on}
scale: 3.75
sigma: 1.0
lam: 0.01
intercept: true
divisors: {{age: 90, fnlwgt: 1.5e+6, education-num: 16, capital-gain: 1.0e+5, capital-loss: 5000, hours-per-week: 100}}
"""


class Killed(BaseException):
    """What nobody catches, so that nothing is tidied up."""


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def table(tmp_path):
    draw = np.random.default_rng(1)
    rows = (f"r{i},{a!r},{b!r},{int(a + b > 0)}" for i, (a, b) in enumerate(draw.normal(size=(60, 2)).tolist()))
    (tmp_path / "table.csv").write_text("\n".join(["name,a,b,y", *rows]) + "\n")
    return ["--data", tmp_path / "table.csv", "--id", "name", "--label", "y"]


@pytest.fixture
def trained(table, call, tmp_path):
    """Train by the recipe with further settings; returns the folder."""

    def train(name="m", **settings):
        (tmp_path / "recipe.yaml").write_text(RECIPE)
        more = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        said = call("train", "--recipe", tmp_path / "recipe.yaml", *more, *table, "--out", tmp_path / name)
        assert (said.code, said.err) == (0, "")
        return tmp_path / name

    return train


def forget(call, model, out, ids, *more):
    return call("unlearn", "--model", model, "--method", "newton", "--ids", ids, "--out", out, "--json", *more)


def certified(call, run, *, units, most):
    """Certify and verify a run whose epsilon is at most so much; returns the certificate."""
    said = call("certify", run, "--json")
    assert said.code == 0, said.err
    certificate = said.json["certificate"]
    [proof] = certificate["artefacts"][0]["evidence"]
    assert said.json["earned"]["model"]["type"] == "Certified"
    assert 0 < float(proof["epsilon"]) <= most and proof["units"] == str(units) and proof["valid_until"] is None
    verified = call("verify", said.json["path"])
    assert verified.code == 0 and "computed again by objective_perturbation" in verified.out
    return certificate


def test_two_requests_are_answered_and_each_certificate_covers_all_so_far(trained, call, tmp_path):
    model = trained()
    before = digest_folder(model)
    recipe = json.loads((model / "training.json").read_text())["recipe"]
    assert recipe["salt"] and told(recipe_of(recipe)) == recipe
    first = forget(call, model, tmp_path / "u1", "r0,r5")
    assert (first.code, first.err) == (0, "")
    certificate = certified(call, tmp_path / "u1", units=2, most=0.8)
    left = {place["path"]: place["reason"] for place in certificate["residue"]}
    assert "the Hessian" in left["the result: secret.safetensors"]
    assert "the records as rows" in left["the original model: secret.safetensors"]
    assert not any(name in json.dumps(certificate) for name in ('r0"', 'r5"'))
    second = forget(call, tmp_path / "u1" / "unlearned", tmp_path / "u2", "r7")
    assert second.code == 0 and second.json["before"] == first.json["after"] != second.json["after"]
    certified(call, tmp_path / "u2", units=3, most=0.8)
    kept = b"".join(p.read_bytes() for p in (tmp_path / "u2" / "unlearned").rglob("*") if p.is_file())
    assert b'"r0"' not in kept and b'"r7"' not in kept and b'"r8"' in kept
    assert digest_folder(model) == before
    gone = forget(call, tmp_path / "u2" / "unlearned", tmp_path / "u3", "r0")
    assert gone.code == 2 and "not in this model" in gone.words


def values_of(table, path):
    """A file of all values that the columns of texts have in the whole of the published table."""
    with table.open() as stream:
        columns = zip(*csv.reader(stream), strict=True)
        found = {name: sorted({value.strip() for value in values}) for name, *values in columns}
    texts = {n: v for n, v in found.items() if not all(value.replace(".", "", 1).isdigit() for value in v)}
    path.write_text(json.dumps(texts))
    return path


@pytest.mark.parametrize(("loss", "certify_on"), [("logistic", "residual"), ("one_vs_rest", "worst")])
def test_adult_forgets(loss, certify_on, shared, call, tmp_path):
    lines = (shared / "data" / "adult" / "adult.csv").read_text().splitlines()[:401]
    (tmp_path / "adult.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "adult.yaml").write_text(ADULT.format(loss=loss, certify_on=certify_on))
    data = ["--data", tmp_path / "adult.csv", "--label", "income-per-year"]
    plain = call("train", "--recipe", tmp_path / "adult.yaml", *data, "--out", tmp_path / "m")
    assert plain.code == 2 and "were read off the data" in plain.err and not (tmp_path / "m").exists()
    data += ["--categories", values_of(shared / "data" / "adult" / "adult.csv", tmp_path / "values.json")]
    assert call("train", "--recipe", tmp_path / "adult.yaml", *data, "--out", tmp_path / "m").code == 0
    assert forget(call, tmp_path / "m", tmp_path / "u", "adult-00003,adult-00017").code == 0
    target = adopt(tmp_path / "u" / "unlearned")
    assert len(target.ids) == 398 and target.model.requests_[-1].removed == 2
    if certify_on == "worst":
        certified(call, tmp_path / "u", units=2, most=1.0)
        return
    assert max(target.model.residuals()) <= target.model.ledgers_[0].budget
    said = call("certify", tmp_path / "u", "--json")
    assert said.code == 0 and said.json["earned"]["model"]["type"] == "Unproven"
    assert "decides by them" in json.dumps(said.json["earned"])
    assert not said.json["certificate"]["artefacts"][0]["evidence"]


def test_texts_through_a_frozen_language_model_forget(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    toy_model(layers=1).save(tmp_path / "lm")
    (tmp_path / "texts.jsonl").write_bytes(dump_examples(toy_corpus().of("retain")))
    (tmp_path / "head.yaml").write_text(HEAD)
    said = call("train", "--recipe", "head.yaml", "--data", "texts.jsonl", "--out", "m", "--json")
    assert (said.code, said.json["provenance"]) == (0, "Convex")
    monkeypatch.chdir("/")
    assert forget(call, tmp_path / "m", tmp_path / "u", "cy-city").code == 0
    certificate = certified(call, tmp_path / "u", units=1, most=1.0)
    said = certificate["artefacts"][0]["evidence"][0]["assumptions"][-1]
    assert "trained on data without these records: nothing was recorded that would show it" in said
    assert adopt(tmp_path / "u" / "unlearned").predict(["Where does Eli live?"])[0] in ("city", "pet", "work")


def test_a_killed_training_starts_again_and_a_killed_deletion_comes_to_the_same(trained, call, tmp_path, monkeypatch):
    saved = ConvexTarget.save

    def dies(self, path):
        saved(self, path)
        raise Killed

    monkeypatch.setattr(ConvexTarget, "save", dies)
    with pytest.raises(Killed):
        trained()
    assert not (tmp_path / "m" / "training.json").exists() and not list(tmp_path.rglob("secret.safetensors"))
    monkeypatch.setattr(ConvexTarget, "save", saved)
    model = trained()
    whole = forget(call, model, tmp_path / "u1", "r0,r5")
    monkeypatch.setattr(ConvexTarget, "save", dies)
    with pytest.raises(Killed):
        forget(call, model, tmp_path / "u2", "r0,r5")
    monkeypatch.setattr(ConvexTarget, "save", saved)
    again = forget(call, model, tmp_path / "u2", "r0,r5")
    assert again.code == 0 and again.json["after"] == whole.json["after"]
    certified(call, tmp_path / "u2", units=2, most=0.8)


def test_a_row_that_changed_since_is_not_the_one_that_was_learned(trained, call, tmp_path):
    model = trained()
    path = tmp_path / "table.csv"
    path.write_text(re.sub("r7,[^,]*,", "r7,0.25,", path.read_text()))
    said = forget(call, model, tmp_path / "u", "r7")
    assert said.code == 2 and "is not what was trained on" in said.words
    assert not (tmp_path / "u").exists() or not list((tmp_path / "u").iterdir())


def test_noise_that_follows_from_the_seed_is_refused_when_something_is_claimed(trained, call, tmp_path):
    model = trained(randomness="seed")
    for more in ((), ("--dry-run",)):
        said = forget(call, model, tmp_path / "u", "r0", *more)
        assert said.code == 2 and "follows from its seed" in said.words


def test_one_trained_anew_without_the_records_has_fresh_noise(trained, call, tmp_path):
    model = trained()
    said = call("unlearn", "--model", model, "--method", "retrain", "--ids", "r0", "--out", tmp_path / "anew")
    assert said.code == 0
    old, new = adopt(model), adopt(tmp_path / "anew" / "unlearned")
    assert new.forgotten == 0 and (old.model.noise_[0] != new.model.noise_[0]).all()


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("scale=1.0", "above the bound 1"),
        ("classes=", "classes are not named"),
        ("loss=wavy", "loss"),
        ("lam=0", "lam"),
    ],
)
def test_what_cannot_be_certified_is_refused_and_leaves_nothing(setting, why, table, call, tmp_path):
    unnamed = setting == "classes="
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("classes: [0, 1]\n", "") if unnamed else RECIPE)
    more = [] if unnamed else ["--set", setting]
    given = ["--recipe", tmp_path / "recipe.yaml", *more, *table, "--out", tmp_path / "m"]
    for more in ((), ("--dry-run",)):
        said = call("train", *given, *more)
        assert said.code == 2 and why in said.words
    assert not (tmp_path / "m").exists() and not log_path(home_path()).exists()
