"""A certificate binds request, result and evidence: findings of another model, or edited ones, are not certified."""

import json
import shutil

import pytest

import expunge
from expunge.core.errors import ClaimError
from expunge.objectives import grad_ascent
from expunge.testing.toy import toy_recipe, toy_store

FOUND = ("assessment.json", "conclusion.json", "evidence.json", "report.html", "summary.json", "table.txt", "scores")


@pytest.fixture
def two(call, world, tmp_path):
    """A result that was evaluated, and one of more steps that was not."""
    for name, steps in (("one", "2"), ("other", "4")):
        assert call(*world.unlearn(tmp_path / name, "--steps", steps, method="grad_ascent")).code == 0
    assert call(*world.evaluate(tmp_path / "one")).code == 1
    return tmp_path / "one", tmp_path / "other"


def test_findings_of_another_result_are_not_certified(two, refused):
    one, other = two
    for name in FOUND:
        (shutil.copytree if (one / name).is_dir() else shutil.copy)(one / name, other / name)
    assert "what was measured in" in refused(2, "certify", other)
    assert not (other / "certificates").exists()


def test_findings_that_were_edited_are_not_certified(two, refused, call):
    one, _ = two
    path = one / "assessment.json"
    body = json.loads(path.read_text())
    body["measurements"][0]["estimate"]["value"] = "0"
    path.write_text(json.dumps(body))
    assert "changed since it was written" in refused(2, "certify", one)
    # Nor when the manifest forgets the file.
    manifest = json.loads((one / "manifest.json").read_text())
    key = next(name for name, value in manifest.items() if isinstance(value, list))
    manifest[key] = [entry for entry in manifest[key] if entry["path"] != "assessment.json"]
    (one / "manifest.json").write_text(json.dumps(manifest))
    assert "is not what the score tables come to" in refused(2, "certify", one)
    assert not (one / "certificates").exists()


@pytest.fixture(scope="module")
def answers():
    """Two requests, each with an outcome and its evidence, in Python."""
    data = toy_store()
    people = {name: [e.record_id for e in data.all() if e.subject == name] for name in ("Ana", "Bo")}
    recipe = toy_recipe(steps=4)
    target, reference = recipe.train(data, seed=0), recipe.train(data, seed=1)
    found = {}
    for name, ids in people.items():
        request = expunge.Request(subject=name, scope=expunge.Records(*ids))
        method = expunge.Gradient(grad_ascent.bind(), steps=2, lr=1e-3, batch_size=4)
        outcome = expunge.unlearn(target, request, method, data, seed=0)
        found[name] = (request, outcome, expunge.evaluate(outcome, reference=reference))
    return found


def test_an_outcome_answers_its_own_request_alone(answers):
    (first, outcome, evidence), (second, _, _) = answers["Ana"], answers["Bo"]
    assert expunge.certify(first, outcome, evidence).artefacts
    with pytest.raises(ClaimError, match=f"does not answer {second.id}.*6 records are in one only"):
        expunge.certify(second, outcome, evidence)


def test_evidence_is_of_the_outcome_that_was_measured(answers):
    (request, outcome, _), (_, _, of_another) = answers["Ana"], answers["Bo"]
    with pytest.raises(ClaimError, match="the evidence is not of this outcome"):
        expunge.certify(request, outcome, of_another)
