"""Private probes on the command line: the road from inputs to a statement that verifies, and what is refused."""

from __future__ import annotations

import json

import pytest

from expunge.data.jsonl import dump_examples
from expunge.testing.toy import toy_corpus, toy_model

from .private_cases import write_language


@pytest.fixture
def inputs(tmp_path):
    path = tmp_path / "probes.jsonl"
    path.write_bytes(dump_examples(toy_corpus().of("forget", "holdout")))
    return path


@pytest.fixture
def committed(call, inputs, tmp_path):
    said = call("audit", "probe", "commit", "--inputs", inputs, "--out", tmp_path / "probe", "--json")
    assert said.code == 0, said.err
    return tmp_path / "probe"


def test_the_road_from_inputs_to_a_statement(call, committed, leaves, tmp_path):
    toy_model(seed=0).save(tmp_path / "unlearned")
    logged = call("audit", "probe", "log", committed / "commitment.json", "--json").json
    assert [leaf.entry.kind for leaf in leaves()] == ["KEY", "PROBE"] and logged["leaf"] == 1
    assert call("audit", "probe", "log", committed / "commitment.json", "--json").json == logged
    ran = call("audit", "probe", "run", committed, "--model", tmp_path / "unlearned")
    assert ran.code == 0 and "probability: " in ran.out and "no certificate was given" in ran.out, ran.err
    would = call("audit", "probe", "sign", committed, "--dry-run", "--json").json
    assert would["written"] is False and not (committed / "statement.json").exists()
    assert call("audit", "probe", "sign", committed, "--json").json == would | {"written": True}
    said = call("verify", committed / "statement.json")
    assert said.code == 1 and "signature valid, signer this installation" in said.out
    assert "names no certificate" in said.out and said.out.splitlines()[-1] == "NOT verified"
    told = call("verify", committed / "statement.json", "--json").json
    assert told["ok"] is False and told["signature_valid"] is True and told["result"]["value"]["n"] == "6"


def test_dry_runs_write_nothing(call, inputs, tmp_path):
    said = call("audit", "probe", "commit", "--inputs", inputs, "--out", tmp_path / "probe", "--dry-run", "--json")
    assert said.json["written"] is False and said.json["items"] == 12
    assert not (tmp_path / "probe").exists() and not (tmp_path / "home").exists()


def test_bad_input_is_one_message_and_leaves_nothing(refused, committed, inputs, tmp_path):
    commit = ("audit", "probe", "commit", "--inputs", inputs)
    assert "Did you mean" in refused(2, *commit, "--out", tmp_path / "new", "--metric", "probabilty")
    assert "needs access LOGPROBS" in refused(2, *commit, "--out", tmp_path / "new", "--access", "TEXT")
    assert "unknown access" in refused(2, *commit, "--out", tmp_path / "new", "--access", "EYES")
    assert "never overwritten" in refused(2, *commit, "--out", committed)
    missing = ("audit", "probe", "commit", "--inputs", tmp_path / "none", "--out", tmp_path / "new")
    assert "there is no such file" in refused(2, *missing)
    assert "holds no probe" in refused(2, "audit", "probe", "run", tmp_path / "home", "--model", tmp_path)
    assert "holds no result" in refused(2, "audit", "probe", "sign", committed)
    assert "not UTF-8" in refused(1, "audit", "probe", "log", _garbage(tmp_path))
    assert "no such file" in refused(2, "audit", "probe", "run", committed, "--model", tmp_path / "nowhere")
    body = json.loads((committed / "set.json").read_text())
    body["inputs"][0]["answer"] = "Other."
    (committed / "set.json").write_text(json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    assert "does not open its commitment" in refused(1, "audit", "probe", "run", committed, "--model", tmp_path)


def _garbage(folder):
    path = folder / "garbage.json"
    path.write_bytes(b"\xff\xfe")
    return path


def test_a_reference_is_committed_to_and_no_other_is_asked(call, refused, inputs, tmp_path):
    for seed, name in enumerate(("unlearned", "retrained", "other")):
        toy_model(seed=seed).save(tmp_path / name)
    commit = ("audit", "probe", "commit", "--inputs", inputs, "--out", tmp_path / "probe")
    assert "no such file" in refused(2, *commit, "--reference", tmp_path / "nowhere")
    said = call(*commit, "--reference", tmp_path / "retrained", "--json")
    assert said.code == 0 and said.json["reference"] == toy_model(seed=1).digest()
    run = ("audit", "probe", "run", tmp_path / "probe", "--model", tmp_path / "unlearned")
    for other in ((), ("--reference", tmp_path / "other")):
        assert "not what was committed to" in refused(1, *run, *other)
    assert "less that of the reference" in call(*run, "--reference", tmp_path / "retrained").out
    assert call("audit", "probe", "sign", tmp_path / "probe").code == 0
    assert (
        f"reference committed to: {said.json['reference']}" in call("verify", tmp_path / "probe" / "statement.json").out
    )


def test_the_weights_of_a_private_model_are_asked_without_its_account(call, refused, committed, tmp_path):
    """Only the folder ``model`` is published; the account names who is in."""
    trained, run = tmp_path / "trained", tmp_path / "run"
    assert call("train", *write_language(tmp_path), "--out", trained).code == 0
    assert call("audit", "probe", "log", committed / "commitment.json").code == 0
    assert call("unlearn", "--model", trained, "--method", "private", "--ids", "ana-city", "--out", run).code == 0
    assert call("certify", run).code == 0
    certificate = ("--certificate", run / "certificates" / "model.certificate.json")
    toy_model(seed=0).save(tmp_path / "other")
    other = ("audit", "probe", "run", committed, "--model", tmp_path / "other")
    assert "not the one of the certificate" in refused(1, *other, *certificate)
    ran = call("audit", "probe", "run", committed, "--model", run / "unlearned" / "model", *certificate)
    assert ran.code == 0, ran.err
    assert call("audit", "probe", "sign", committed).code == 0
    said = call("verify", committed / "statement.json")
    assert said.code == 0 and "weights are older than the request" in said.out, said.out
