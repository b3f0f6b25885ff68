"""A privacy policy that is fixed before a deletion: the log commits to it, and what it does not accept is not kept."""

import base64
import json
import os
import re

import numpy as np
import pytest

from expunge.core.canonical import digest, digest_file
from expunge.workflow.privacy_file import read_privacy
from expunge.workflow.single import write_manifest

LIMIT = {
    "kinds": ["telemetry"],
    "epsilon": 1,
    "delta": 1e-4,
    "adversary": "oblivious",
    "why": "what the board accepted",
}
OURS = {"name": "ours", "version": "1", "by": "the board", "until": "2031-12-31"}
RECIPE = "recipe: convex\nclasses: [0, 1]\nscale: 6.0\nlam: 0.4\nepsilon: 0.8\ndelta: 1.0e-5\n"


@pytest.fixture
def trained(call, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    draw = np.random.default_rng(1)
    rows = (f"r{i},{a!r},{b!r},{int(a + b > 0)}" for i, (a, b) in enumerate(draw.normal(size=(60, 2)).tolist()))
    (tmp_path / "table.csv").write_text("\n".join(["name,a,b,y", *rows]) + "\n")
    (tmp_path / "convex.yaml").write_text(RECIPE)
    data = ["--data", tmp_path / "table.csv", "--id", "name", "--label", "y"]
    assert call("train", "--recipe", tmp_path / "convex.yaml", *data, "--out", tmp_path / "m").code == 0
    return ["--model", tmp_path / "m", "--method", "newton", "--ids", "r1,r2"]


@pytest.fixture
def signed(call, tmp_path):
    def policy(name="ours", **changes):
        draft = tmp_path / f"{name}.json"
        draft.write_text(json.dumps({**OURS, "limits": [{**LIMIT, **changes}]}))
        path = tmp_path / f"{name}.privacy.json"
        assert call("privacy", "sign", draft, "--out", path).code == 0
        return path

    return policy


def test_a_deletion_within_it_says_so_in_log_and_certificate(call, trained, signed, tmp_path):
    path, out = signed(), tmp_path / "out"
    judged = ["--policy", path, "--kind", "telemetry"]
    assert call("unlearn", *trained, *judged, "--out", out, "--dry-run").code == 0 and not out.exists()
    assert call("unlearn", *trained, *judged, "--out", out).code == 0
    assert digest(read_privacy(tmp_path / "ours.json")) in call("ledger", "log", "--json").out
    said = call("certify", out).out
    assert re.search(r"Earned: Certified \(epsilon 0\.[5-7]\d+, delta 1e-05, against oblivious\)", said)
    assert "privacy policy: ours, version 1, sha256:" in said and "accepted by the board until 2031-12-31" in said
    certificate = next((out / "certificates").glob("*.certificate.json"))
    assert call("verify", certificate).code == 0
    assert call("privacy", "judge", path, certificate, "--kind", "telemetry").code == 0


@pytest.mark.parametrize("changes", [{"epsilon": 0.5}, {"delta": 1e-6}, {"adversary": "adaptive"}], ids=str)
def test_what_it_does_not_accept_leaves_nothing(call, trained, signed, tmp_path, changes):
    judged = ["--policy", signed(**changes), "--kind", "telemetry"]
    said = call("unlearn", *trained, *judged, "--out", tmp_path / "out")
    assert said.code == 2 and said.err.count("\n") == 1 and "does not accept this for telemetry" in said.err
    assert not list((tmp_path / "out").glob("[!.]*"))


def test_a_policy_that_is_exchanged_after_the_deletion_certifies_nothing(call, refused, trained, signed, tmp_path):
    lax, out = signed("lax", epsilon=9), tmp_path / "out"
    assert call("unlearn", *trained, "--policy", lax, "--kind", "telemetry", "--out", out).code == 0
    (out / "privacy.json").write_bytes(signed("other", epsilon=20).read_bytes())
    assert "changed since it was written" in refused(2, "certify", out)
    assert not (out / "certificates").exists()


def test_bad_arguments_are_one_message(refused, trained, signed, tmp_path):
    out = ["--out", tmp_path / "out"]
    path = signed()
    assert "no kind is named; it has telemetry" in refused(2, "unlearn", *trained, "--policy", path, *out)
    assert "no limit for 'health'" in refused(2, "unlearn", *trained, "--policy", path, "--kind", "health", *out)
    assert "--kind goes with" in refused(2, "unlearn", *trained, "--kind", "health", *out)
    path.write_text(path.read_text().replace('"sig":"', '"sig":"AA'))
    refused(1, "unlearn", *trained, "--policy", path, "--kind", "telemetry", *out)
    assert not (tmp_path / "out").exists()


def test_no_certificate_digests_a_file_that_a_guess_at_a_record_makes_anew(call, trained, tmp_path):
    out = tmp_path / "out"
    assert call("unlearn", *trained, "--out", out).code == 0 and call("certify", out).code == 0
    sealed = json.loads(next((out / "certificates").glob("*.certificate.json")).read_bytes())
    stated = base64.b64decode(sealed["payload"]).decode()
    assert "unlearned/coef.safetensors" in stated and "secret" not in stated.partition("predicate")[0]
    for name in ("secret.safetensors", "secret.json"):
        assert digest_file(out / "unlearned" / name).removeprefix("sha256:") not in stated


def forged(out, **changes):
    """The result with another card, and a manifest that fits it."""
    card = json.loads((out / "outcome.json").read_text())
    for name, value in changes.items():
        card[name] = {**card[name], **value} if isinstance(value, dict) else value
    (out / "outcome.json").write_text(json.dumps(card))
    write_manifest(out)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"proof": {"units": 1}}, "not that of the result"),
        ({"proof": {"adversary": "adaptive", "assumptions": ["none"]}}, "not that of the result"),
        ({"proof": {"accountant": "poisson_gaussian", "numbers": [["sigma", "1e6"]]}}, "not that of the result"),
        ({"recipe": "sha256:" + "0" * 64}, "another method than its settings name"),
        ({"notes": {"privacy policy": "ours, version 9"}}, "another policy than the one that the result names"),
        ({"notes": {"kind of request": "health"}}, "no limit for 'health'"),
    ],
    ids=str,
)
def test_a_result_that_was_edited_is_not_signed(call, trained, signed, tmp_path, changes, words):
    out = tmp_path / "out"
    assert call("unlearn", *trained, "--policy", signed(), "--kind", "telemetry", "--out", out).code == 0
    forged(out, **changes)
    said = call("certify", out)
    assert said.code != 0 and words in said.words and not (out / "certificates").exists()


def test_two_requests_of_one_model_are_not_each_counted_alone(call, trained, tmp_path):
    model = trained[1]
    for name, ids in (("first", "r1,r2"), ("second", "r3")):
        assert call("unlearn", "--model", model, "--method", "newton", "--ids", ids, "--out", tmp_path / name).code == 0
    assert call("certify", tmp_path / "first").code == 0 and call("certify", tmp_path / "first").code == 0
    said = call("certify", tmp_path / "second")
    assert said.code == 2 and "another request was certified on the same model" in said.words
    after = tmp_path / "first" / "unlearned"
    assert call("unlearn", "--model", after, "--method", "newton", "--ids", "r3", "--out", tmp_path / "third").code == 0
    assert call("certify", tmp_path / "third").code == 0


def test_values_of_columns_are_named_for_what_hides_records(call, refused, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    rows = [f"r{i},{(i % 7) / 7},{'Rome' if i % 2 else 'Oslo'},{i % 2}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["name,a,city,y", *rows]) + "\n")
    (tmp_path / "convex.yaml").write_text(RECIPE)
    (tmp_path / "values.json").write_text('{"city": ["Oslo", "Rome", "Bari"]}')
    for name, text in (("odd", '{"city": "Rome"}'), ("empty", '{"city": []}'), ("few", '{"city": ["Oslo"]}')):
        (tmp_path / f"{name}.json").write_text(text)
    data = ["--data", tmp_path / "t.csv", "--id", "name", "--label", "y"]
    train = ["train", "--recipe", tmp_path / "convex.yaml", *data, "--out", tmp_path / "m"]
    for more in ((), ("--dry-run",)):
        assert "city were read off the data" in refused(2, *train, *more)
    for name, words in (("odd", "names no categories"), ("empty", "names no categories"), ("few", "Rome")):
        assert words in refused(2, *train, "--categories", tmp_path / f"{name}.json")
    assert call(*train, "--categories", tmp_path / "values.json").code == 0
