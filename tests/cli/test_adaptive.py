"""A model behind a noisy vote from the command line: what is certified, what is refused, what is kept back."""

import json

import pytest

from expunge.core.errors import ClaimError
from expunge.workflow.verbs import adopt

from .exact_cases import make_tables

RECIPE = """recipe: adaptive_sisa
epsilon: 0.5
answers: 6
delta: 1.0e-6
sisa:
  shards: 4
  slices: 2
  epochs: 3
  trainer:
    name: estimator
    settings:
      path: sklearn.linear_model:SGDClassifier
      classes: [0, 1]
      settings: {loss: log_loss}
"""
ASKED = [[0.5, -0.2], [-1.0, 0.3]]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = make_tables(tmp_path_factory.mktemp("tables"))
    (root.root / "voted.yaml").write_text(RECIPE)
    return root


def test_from_training_to_a_certificate_against_adaptive_requests(tables, call, tmp_path):
    first, then, last = (tmp_path / name for name in ("trained", "one", "two"))
    assert call(*tables.train(first, recipe="voted.yaml", data="classes.csv")).code == 0
    assert adopt(first).predict(ASKED).shape == (2,)
    for model, out, gone in ((first, then, "r3,r8"), (then / "unlearned", last, "r11")):
        said = call(*tables.forget(model, out, "--ids", gone, method="adaptive_sisa"))
        assert said.code == 0 and "Certified (epsilon 3, delta 0, against adaptive)" in said.out
        assert adopt(out / "unlearned").predict(ASKED).shape == (2,)
        assert gone.split(",")[0] not in adopt(out / "unlearned").ids
        with pytest.raises(ClaimError, match="answers no more"):
            adopt(model).predict(ASKED)
    assert adopt(last / "unlearned").left == 0
    with pytest.raises(ClaimError, match="budget of answers is spent"):
        adopt(last / "unlearned").predict(ASKED)
    # What was deleted from has handed its budget on, and cannot have two successors.
    fork = tables.forget(first, tmp_path / "fork", "--ids", "r5", method="adaptive_sisa")
    said = call(*fork)
    assert said.code == 2 and "answers no more" in said.words and not (tmp_path / "fork").exists()

    said = call("certify", last, "--json")
    assert said.code == 0
    assert said.json["earned"]["model"] == {
        "type": "Certified",
        "adversary": "adaptive",
        "delta": "0.0",
        "epsilon": "3.0",
    }
    [proof] = said.json["certificate"]["artefacts"][0]["evidence"]
    assert proof["accountant"] == "max_information" and proof["units"] == "3"
    told = json.dumps(said.json["certificate"])
    assert "point_epochs" not in told and "shard 0" not in told
    assert json.loads((last / "outcome.json").read_text())["cost"]["seconds"] == 0
    verified = call("verify", said.json["path"])
    assert verified.code == 0 and "computed again by max_information" in verified.out + verified.err


def test_other_methods_refuse_it_and_it_refuses_other_models(tables, call, refused, tmp_path):
    voted, plain = tmp_path / "voted", tmp_path / "plain"
    assert call(*tables.train(voted, recipe="voted.yaml", data="classes.csv")).code == 0
    assert call(*tables.train(plain, recipe="sisa.yaml", data="classes.csv")).code == 0
    said = refused(2, *tables.forget(voted, tmp_path / "x", "--ids", "r3", method="sisa"))
    assert "sisa needs a target with provenance Sharded" in said
    said = refused(2, *tables.forget(plain, tmp_path / "x", "--ids", "r3", method="adaptive_sisa"))
    assert "adaptive_sisa needs a target with provenance Guarded" in said


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sisa.vote=mean", "parts that vote in secret"),
        ("epsilon=0", "epsilon is 0"),
        ("answers=0", "answers is 0"),
        ("epsilon=1000", "is no noise"),
        ("share=2", "share is 2"),
        ("shares=2", "Did you mean 'share'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(tables, refused, tmp_path, setting, said):
    command = tables.train(tmp_path / "trained", "--set", setting, recipe="voted.yaml", data="classes.csv")
    assert said in refused(2, *command)
    assert not (tmp_path / "trained").exists()
