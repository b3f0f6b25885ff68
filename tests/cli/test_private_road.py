"""Private training from the first command to the last: train, forget, forget again, certify, verify; and refusals."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.core.canonical import digest_folder
from expunge.ledger.home import home_path
from expunge.ledger.log import log_path
from expunge.testing.toy import toy_model
from expunge.workflow.recipe_file import read_recipe, recipe_of, told
from expunge.workflow.verbs import adopt

from . import private_cases
from .private_cases import REHEARSED, STEPS, write_language, write_recipe, write_table

SIGMA = 24.0 / np.sqrt(STEPS)
"""All steps over all rows are one with this noise."""


def epsilon(units):
    return gaussian_epsilon(1e-5, sigma=SIGMA, records=units)


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    yield write_table(tmp_path)
    sys.modules.pop(private_cases.MODULE, None)


@pytest.fixture
def trained(table, call, tmp_path):
    """Train by a recipe file with other settings; returns the folder."""

    def train(name="m", **settings):
        said = call("train", *write_recipe(tmp_path / f"{name}.yaml", **settings), *table, "--out", tmp_path / name)
        assert (said.code, said.err) == (0, "")
        return tmp_path / name

    return train


def forget(call, model, out, ids, *more):
    return call("unlearn", "--model", model, "--method", "private", "--ids", ids, "--out", out, "--json", *more)


def certified(call, run, *, units, **more):
    """Certify and verify a run; returns the certificate."""
    said = call("certify", run, "--json")
    assert said.code == 0, said.err
    certificate = said.json["certificate"]
    [proof] = certificate["artefacts"][0]["evidence"]
    assert said.json["earned"]["model"]["type"] == "Certified"
    assert float(proof["epsilon"]) == pytest.approx(epsilon(units), rel=1e-9) and proof["units"] == str(units)
    assert {name: proof[name] for name in more} == more
    verified = call("verify", said.json["path"])
    assert verified.code == 0 and "computed again by poisson_gaussian" in verified.out
    return certificate


def test_two_requests_of_a_classifier_are_counted_together_until_the_limit(trained, call, tmp_path):
    model = trained(limit=epsilon(3) * 1.000001)
    before = digest_folder(model)
    recipe = json.loads((model / "training.json").read_text())["recipe"]
    assert recipe["mechanism"]["sigma"] == 24.0 and recipe["salt"] and told(recipe_of(recipe)) == recipe

    # The same command again finds what is finished, though no second training would come to it.
    assert digest_folder(trained(limit=epsilon(3) * 1.000001)) == before

    first = forget(call, model, tmp_path / "u1", "r0")
    assert (first.code, first.err) == (0, "")
    certificate = certified(call, tmp_path / "u1", units=1, valid_until="3", unit="record", adversary="oblivious")
    left = {place["path"]: place["reason"] for place in certificate["residue"]}
    assert "by record id" in left["the original model: account.json"]
    assert not any(name in json.dumps(certificate) for name in ('r0"', 's0"'))
    # A subject with three rows: two are left, and they count as two of a record.
    second = forget(call, tmp_path / "u1" / "unlearned", tmp_path / "u2", "r1,r2")
    assert second.code == 0 and second.json["before"] == first.json["after"] != second.json["after"]
    certified(call, tmp_path / "u2", units=3, valid_until="3")
    weights = [adopt(place).weights_digest() for place in (model, tmp_path / "u1/unlearned", tmp_path / "u2/unlearned")]
    assert len(set(weights)) == 1 and '"r1"' not in (tmp_path / "u2/unlearned/account.json").read_text()

    refused = forget(call, tmp_path / "u2" / "unlearned", tmp_path / "u3", "r9")
    assert refused.code == 2 and "the budget is spent" in refused.words and "Train again without them" in refused.words
    assert not (tmp_path / "u3").exists() or not list((tmp_path / "u3").iterdir())
    assert digest_folder(model) == before


def test_of_a_subject_three_rows_cost_three_records_or_one_subject(trained, call, tmp_path):
    by_record, by_subject = trained("records"), trained("subjects", unit="subject")
    for model, units, unit in ((by_record, 3, "record"), (by_subject, 1, "subject")):
        out = tmp_path / f"without-{unit}"
        assert forget(call, model, out, "r3,r4,r5").code == 0
        certified(call, out, units=units, unit=unit, valid_until=None)
    torn = forget(call, by_subject, tmp_path / "torn", "r3,r4")
    assert torn.code == 2 and "keep some of their records" in torn.words


def test_a_language_model_forgets_by_its_account(call, tmp_path):
    model, run = tmp_path / "m", tmp_path / "u"
    made = call("train", *write_language(tmp_path), "--out", model, "--json")
    assert (made.code, made.err, made.json["provenance"]) == (0, "", "Private")
    read = read_recipe(str(tmp_path / "lm.yaml"))
    kept = json.loads((model / "training.json").read_text())
    assert recipe_of(kept["recipe"]).digest() == kept["recipe_digest"] == read.digest()
    assert forget(call, model, run, "ana-city").code == 0
    certified(call, run, units=1, valid_until=None)
    assert adopt(run / "unlearned").weights_digest() == adopt(model).weights_digest()


def test_a_deletion_by_account_and_one_by_training_anew_have_nothing_to_replay(trained, call, tmp_path):
    model = trained()
    assert forget(call, model, tmp_path / "u", "r0").code == 0
    said = call("audit", "replay", tmp_path / "u")
    assert said.code == 2 and "there is nothing to run again" in said.words and "expunge verify" in said.words
    anew = call("unlearn", "--model", model, "--method", "retrain", "--ids", "r0", "--out", tmp_path / "anew")
    assert anew.code == 0 and adopt(tmp_path / "anew/unlearned").account.spent == 0
    said = call("audit", "replay", tmp_path / "anew")
    assert said.code == 2 and "no second run comes to the same" in said.words


def test_a_row_that_changed_since_is_not_the_one_that_was_learned(trained, call, tmp_path):
    model = trained()
    path = tmp_path / "table.csv"
    path.write_text(path.read_text().replace("r7,", "r7,1"))
    assert forget(call, model, tmp_path / "u", "r7").code == 2


def test_noise_that_follows_from_the_seed_is_refused_when_something_is_claimed(trained, call, tmp_path):
    said = forget(call, trained(randomness="seed"), tmp_path / "u", "r0")
    assert said.code == 2 and "follows from its seed" in said.words


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"factory": "mixing"}, "BatchNorm"),
        ({"randomness": "luck"}, "randomness"),
        ({"sigma": 0.0}, "sigma"),
        ({"limit": epsilon(1) * 0.999}, "no request fits into the limit"),
    ],
)
def test_what_cannot_be_private_is_refused_and_leaves_nothing(settings, why, table, call, tmp_path):
    given = [*write_recipe(tmp_path / "r.yaml", **settings), *table, "--out", tmp_path / "m"]
    for more in ((), ("--dry-run",)):
        said = call("train", *given, *more)
        assert said.code == 2 and why in said.words
    assert not (tmp_path / "m").exists() and not log_path(home_path()).exists()


def test_a_base_in_half_precision_is_refused_before_the_log_is_told(call, tmp_path):
    half = toy_model(layers=1)
    half.model.half()
    half.save(tmp_path / "half")
    said = call("train", *write_language(tmp_path, str(tmp_path / "half")), "--out", tmp_path / "m")
    assert said.code == 2 and "float16 cannot be trained with differential privacy" in said.words
    assert not (tmp_path / "m").exists() and not log_path(home_path()).exists()


@pytest.mark.slow
def test_a_killed_training_starts_again_and_releases_one_model(table, call, leaves, tmp_path, monkeypatch):
    command = ["train", *write_recipe(tmp_path / "m.yaml"), *table, "--out", str(tmp_path / "m")]
    place = os.pathsep.join([str(tmp_path), *(path for path in sys.path if path)])
    shell = {**os.environ, "PYTHONPATH": place, "PASSES": str(tmp_path / "passes"), "DIES_AT": str(REHEARSED + 4)}
    process = subprocess.run([sys.executable, "-m", "expunge", *command], env=shell, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert not list((tmp_path / "m").rglob("*.safetensors")) and not (tmp_path / "m" / "manifest.json").exists()
    monkeypatch.setenv("PASSES", str(tmp_path / "again"))
    monkeypatch.setenv("DIES_AT", "-1")
    assert call(*command).code == 0
    assert (tmp_path / "again").stat().st_size == REHEARSED + STEPS
    assert [leaf.entry.kind for leaf in leaves()] == ["KEY", "TRAIN", "TRAINED"]
    assert adopt(tmp_path / "m").account.spent == 0
