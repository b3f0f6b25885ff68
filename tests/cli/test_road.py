"""The road of one request: unlearn, evaluate, certify, verify; and what happens when a part of it is changed."""

import json
import shutil

import pytest

from expunge.core.canonical import read_json
from expunge.core.manifest import Manifest
from expunge.core.policy import Verdict
from expunge.ledger.keys import ensure_key
from expunge.workflow.single import read_outcome

STEPS = ("--steps", "6", "--save-every", "3")


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def made(world, call, out, *more, **given):
    said = call(*world.unlearn(out, *more, **given))
    assert said.code == 0, said.err
    return out


@pytest.fixture(scope="module")
def judged(world, tmp_path_factory):
    """A result of npo with its evaluation; tests work on copies."""
    from expunge.cli.app import run

    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPUNGE_HOME", str(folder / "home"))
        assert run(world.unlearn(folder / "npo", *STEPS)) == 0
        assert run(world.evaluate(folder / "npo")) == 1
    return folder / "npo"


@pytest.fixture
def result(judged, tmp_path):
    shutil.copytree(judged.parent / "home", tmp_path / "home")
    return shutil.copytree(judged, tmp_path / "npo")


@pytest.fixture
def certified(result, call):
    assert call("certify", result).code == 0
    return result / "certificates" / "model.certificate.json"


def test_unlearn_writes_a_result_and_leaves_the_model_alone(world, call, tmp_path):
    before = tree(world.root)
    said = call(*world.unlearn(tmp_path / "new" / "npo", *STEPS, "--json"))
    assert (said.code, said.err) == (0, "")
    assert said.json["before"] != said.json["after"]
    assert tree(world.root) == before
    out = tmp_path / "new" / "npo"
    assert sorted(p.name for p in out.parent.iterdir()) == ["npo"]
    assert sorted(p.name for p in out.iterdir()) == [
        "data.jsonl",
        "manifest.json",
        "outcome.json",
        "request.json",
        "unlearned",
    ]
    assert read_json(out / "outcome.json")["after"] == said.json["after"]


def test_the_manifest_lists_every_file_and_which_hold_personal_data(certified):
    out = certified.parent.parent
    listed = {e.path: e.contains_personal_data for e in Manifest.read(out).entries}
    assert set(listed) == set(tree(out)) - {"manifest.json"}
    assert Manifest.read(out).changed(out) == []
    signed = {"certificates/model.certificate.json", "certificates/model.receipt.json"}
    found = {"assessment.json", "evidence.json", "report.html", "summary.json", "table.txt"}
    public = {"conclusion.json", "outcome.json", "request.json", *found, *signed}
    assert {path for path, personal in listed.items() if not personal} == public


def test_evaluate_prints_cells_findings_and_the_verdict(judged, world, call, tmp_path):
    out = shutil.copytree(judged, tmp_path / "npo")
    said = call(*world.evaluate(out))
    assert (said.code, said.err) == (1, "")
    assert said.out.rstrip().splitlines()[-1].startswith("research-tofu: ")
    as_json = call(*world.evaluate(out, "--json"))
    assert (as_json.code, as_json.err) == (1, "")
    assert as_json.json["cells"]["ks"]["value"] is not None
    assert {f["criterion"] for f in as_json.json["findings"]} >= {"min_k_auc", "relearning", "utility"}


def test_evaluating_again_finds_the_same_and_is_counted(result, world, call):
    before, said = tree(result), read_json(result / "assessment.json")
    assert call(*world.evaluate(result)).code == 1
    assert read_json(result / "assessment.json") == {**said, "attempts": said["attempts"] + 1}
    after = tree(result)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"assessment.json", "conclusion.json", "manifest.json"}
    assert set(after) == set(before)


def test_evaluate_exits_0_when_the_claim_is_earned(result, world, call, monkeypatch):
    verdict = Verdict("research-tofu", "earned", ())
    monkeypatch.setattr("expunge.workflow.single_evaluate.evaluate_folder", lambda *_, **__: verdict)
    assert call(*world.evaluate(result)).code == 0


def test_without_a_second_reference_nothing_is_earned_and_the_reason_is_given(judged, world, call, tmp_path):
    out = shutil.copytree(judged, tmp_path / "npo")
    said = call("evaluate", out, "--reference", world.path("retrained"), "--json")
    assert said.code == 1
    assert any("no second reference was given" in f["reason"] for f in said.json["findings"])


def test_certify_then_verify_then_a_changed_byte(certified, call):
    said = call("verify", certified)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0] == "signature valid, signer this installation"
    assert said.out.splitlines()[-1] == "verified"
    out = certified.parent.parent
    for name in ("unlearned/model.safetensors", "assessment.json", "outcome.json"):
        whole = (out / name).read_bytes()
        changed = bytearray(whole)
        changed[len(changed) // 2] ^= 1
        (out / name).write_bytes(changed)
        said = call("verify", certified)
        assert said.code == 1
        assert f"changed: {name}" in said.out
        assert said.out.splitlines()[-1] == "NOT verified"
        (out / name).unlink()
        assert f"missing: {name}" in call("verify", certified).out
        (out / name).write_bytes(whole)
    assert call("verify", certified).code == 0


def test_what_was_not_measured_is_unproven(world, call, tmp_path):
    out = made(world, call, tmp_path / "npo", *STEPS)
    said = call("certify", out)
    assert (said.code, said.err) == (0, "")
    assert "Earned: Unproven" in said.out
    found = call("verify", out / "certificates" / "model.certificate.json")
    assert found.code == 0
    assert "model: Unproven" in found.out


def test_an_evaluation_that_was_not_earned_is_unproven_too(certified, call):
    assert "Earned: Unproven" in call("verify", certified, "--details").out


def test_an_overlay_earns_at_most_suppressed(world, call, tmp_path):
    out = made(world, call, tmp_path / "guard", method="prompt_filter")
    assert call(*world.evaluate(out)).code == 1
    assert call("certify", out).code == 0
    found = call("verify", out / "certificates" / "model.certificate.json", "--details")
    assert found.code == 0
    assert "model (overlay)" in found.out
    assert "Earned: Suppressed" in found.out
    assert not any(word in found.out for word in ("Empirical", "Exact", "Certified"))
    bare = made(world, call, tmp_path / "bare", method="prompt_filter")
    assert "Earned: Unproven" in call("certify", bare).out


def test_certifying_twice_changes_no_byte(certified, call):
    out = certified.parent.parent
    before = tree(out)
    assert call("certify", out).code == 0
    assert tree(out) == before


def test_a_certified_result_is_not_judged_again(certified, world, refused):
    message = refused(2, *world.evaluate(certified.parent.parent))
    assert "is certified already" in message
    assert str(certified) in message


def test_a_result_is_never_overwritten(result, world, refused):
    message = refused(2, *world.unlearn(result, *STEPS))
    assert "already holds a result" in message
    assert "Choose another --out" in message


@pytest.mark.parametrize("command", ["evaluate", "certify"])
@pytest.mark.parametrize("make", [False, True], ids=["absent", "empty"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["", "dry"])
def test_a_folder_without_a_result(command, make, dry, world, refused, tmp_path):
    if make:
        (tmp_path / "empty").mkdir()
    more = world.evaluate(tmp_path / "empty")[2:] if command == "evaluate" else ()
    message = refused(2, command, tmp_path / "empty", *more, *dry)
    assert "holds no result" in message
    assert message.endswith("Run expunge unlearn first.")


def test_dry_runs_of_evaluate_and_certify_write_nothing(result, world, call, tmp_path):
    before = tree(tmp_path)
    said = call(*world.evaluate(result, "--dry-run"))
    assert (said.code, said.err) == (0, "")
    assert "would judge" in said.out
    said = call("certify", result, "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "with an evaluation" in said.out
    assert tree(tmp_path) == before


def test_an_unknown_policy_gets_near_names(result, world, refused):
    message = refused(2, *world.evaluate(result, "--policy", "research-tufo"))
    assert "unknown policy 'research_tufo'. Did you mean 'research_tofu'" in message


def test_a_reference_that_is_missing(result, world, refused, tmp_path):
    message = refused(2, "evaluate", result, "--reference", tmp_path / "absent")
    assert "no model at" in message


@pytest.mark.parametrize(
    ("reference", "second", "words"),
    [
        ("unlearned", "again", "the reference is the same model as the model"),
        ("original", "again", "the reference is the same model as the original"),
        ("retrained", "retrained", "the reference is the same model as the second"),
    ],
)
def test_a_model_is_not_compared_with_itself(reference, second, words, result, world, refused):
    place = result / "unlearned" if reference == "unlearned" else world.path(reference)
    message = refused(2, "evaluate", result, "--reference", place, "--second", world.path(second))
    assert words in message


@pytest.mark.parametrize("name", ["data.jsonl", "request.json", "outcome.json", "unlearned/config.json"])
def test_a_result_that_changed_is_neither_judged_nor_certified(name, result, world, refused):
    with (result / name).open("ab") as stream:
        stream.write(b" ")
    for command in (world.evaluate(result), ["certify", result]):
        message = refused(2, *command)
        assert f"{name} changed since it was written" in message


def test_an_assessment_that_changed_is_not_certified(result, refused):
    body = read_json(result / "assessment.json")
    body["assessment"]["comparisons"] = []
    (result / "assessment.json").write_text(json.dumps(body))
    message = refused(2, "certify", result)
    assert "assessment.json changed since it was written" in message
    assert message.endswith("Run expunge evaluate again.")


def test_a_certificate_moved_away_can_be_made_again(certified, call):
    whole = certified.read_bytes()
    certified.rename(certified.parent.parent.parent / "elsewhere.json")
    assert call("certify", certified.parent.parent).code == 0
    assert certified.read_bytes() == whole


def test_a_copy_elsewhere_has_an_unknown_signer(certified, call, monkeypatch, tmp_path):
    public = tmp_path / "public.txt"
    public.write_text(ensure_key(tmp_path / "home").public.text)
    copy = shutil.copytree(certified.parent.parent, tmp_path / "copy") / "certificates" / certified.name
    alone = shutil.copy(certified, tmp_path / "alone.json")
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "another"))
    for path in (copy, alone):
        said = call("verify", path)
        assert said.code == 1
        assert "signer UNKNOWN" in said.out
    assert not (tmp_path / "another").exists()
    assert call("verify", copy, "--key", public).code == 0
    assert call("verify", alone, "--key", public).code == 0
    assert call("verify", alone, "--key", public, "--run", copy.parent.parent).code == 0


def test_the_wrong_key(certified, refused, tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    other = ensure_key(tmp_path / "stranger").public.text
    message = refused(1, "verify", certified, "--key", other)
    assert "wrong key" in message
    assert "Give the public key of whoever signed it" in message


@pytest.mark.parametrize("key", ["absent.pub", "not a key"])
def test_a_key_that_is_none(key, certified, refused):
    assert "key" in refused(2, "verify", certified, "--key", key)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.json", None, ("cannot read the certificate", "no such file")),
        ("cut.json", lambda whole: whole[: len(whole) // 2], ("envelope",)),
        ("model.pkl", lambda whole: b"\x80\x04\x95\x00.", ("envelope",)),
        ("empty.json", lambda whole: b"", ("envelope",)),
    ],
    ids=["missing", "truncated", "pickle", "empty"],
)
def test_a_file_that_is_no_certificate(name, content, words, certified, refused):
    path = certified.with_name(name)
    if content:
        path.write_bytes(content(certified.read_bytes()))
    message = refused(1 if content else 2, "verify", path)
    assert all(word in message for word in words), message


def test_a_changed_byte_of_the_certificate_is_never_accepted(certified, call):
    whole = certified.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        changed = bytearray(whole)
        changed[at] ^= 1
        certified.write_bytes(changed)
        said = call("verify", certified)
        assert said.code == 1
        assert said.out or said.err


def test_verify_prints_json_alone(certified, call):
    said = call("verify", certified, "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json["ok"] is True
    assert said.json["signer"] == "this installation"
    assert "unlearned/model.safetensors" in said.json["checked"]


def test_a_result_whose_original_changed_is_not_judged(world, call, refused, tmp_path):
    model = shutil.copytree(world.root / "original", tmp_path / "model")
    out = made(world, call, tmp_path / "npo", *STEPS, model=model)
    shutil.rmtree(model)
    shutil.copytree(world.root / "again", model)
    assert "is not the one that was unlearned" in refused(2, *world.evaluate(out))


def test_reading_a_result_gives_the_outcome_back(result):
    outcome = read_outcome(result)
    assert outcome.method == read_json(result / "outcome.json")["method"]
    assert outcome.target.digest() == read_json(result / "outcome.json")["after"]
    assert len(outcome.selection.forget) == 6
    assert type(outcome.claim).__name__ == "Empirical"


def test_bare_questions_and_answers_are_enough_to_be_told_what_could_not_be_measured(world, call, caplog, tmp_path):
    files = {}
    for role in ("forget", "retain"):
        rows = [json.loads(line) for line in (world.root / f"{role}.jsonl").read_text().splitlines()]
        files[role] = tmp_path / f"{role}.json"
        files[role].write_text(json.dumps([{key: row[key] for key in ("question", "answer")} for row in rows]))
    out = tmp_path / "npo"
    command = ["unlearn", "--model", world.path("original"), "--method", "npo", "--out", str(out), *STEPS]
    assert call(*command, "--forget", files["forget"], "--retain", files["retain"]).code == 0
    said = call(*world.evaluate(out, "--json"))
    assert said.code == 1
    assert "relearning has nothing left to ask" in caplog.text
    assert {f["status"] for f in said.json["findings"] if f["criterion"] in ("relearning", "min_k_auc")} == {
        "inconclusive"
    }
    assert said.json["cells"]["min_k_auc"]["value"] is None
    assert said.json["cells"]["min_k_auc"]["reason"]
    assert call("certify", out).code == 0
    assert call("verify", out / "certificates" / "model.certificate.json").code == 0
