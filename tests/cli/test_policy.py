"""Policies on the command line: shown, signed, verified, and judged by, with and without a model."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from expunge.cli.app import run
from expunge.core.canonical import canonical_bytes, digest
from expunge.core.errors import EvidenceError
from expunge.core.registry import policies
from expunge.workflow.policy_file import published_path

WITHOUT = """
import sys

class Refused:
    def find_spec(self, name, *more):
        if name.partition(".")[0] in ("torch", "scipy", "transformers", "safetensors", "rouge_score", "sklearn"):
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, Refused())
from expunge.cli.app import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def mine(call, tmp_path):
    """A policy of one's own, in a file that is not signed: ``research-tofu`` with a lower floor."""
    body = call("policy", "show", "research-tofu", "--json").json | {"name": "mine", "utility_floor": "0.6"}
    path = tmp_path / "draft.json"
    path.write_text(json.dumps(body))
    return path


@pytest.fixture(scope="module")
def evaluated(world, tmp_path_factory):
    """A run that was evaluated; tests only read it."""
    out = tmp_path_factory.mktemp("policy")
    with pytest.MonkeyPatch.context() as here:
        here.setenv("EXPUNGE_HOME", str(out / "home"))
        assert run(world.unlearn(out / "mine", "--steps", "2", method="grad_ascent")) == 0
        assert run(world.evaluate(out / "mine")) == 1
    return out / "mine"


def test_show_prints_criteria_margins_and_reasons(call):
    said = call("policy", "show", "privacy-default")
    assert said.code == 0 and digest(policies.get("privacy_default")) in said.out
    for criterion in policies.get("privacy_default").criteria:
        assert f"{criterion.attack} within {criterion.margin:g} of one that never knew" in said.out
        assert f"margin: {criterion.why}" in said.out
    assert call("policy", "show", str(published_path("privacy-default"))).out == said.out
    assert "within 0.05 above" in call("policy", "show", "safety-default").out


def test_sign_then_verify(call, mine, tmp_path):
    would = call("policy", "sign", mine, "--dry-run", "--json").json
    assert would["written"] is False and not (tmp_path / "mine.policy.json").exists()
    signed = call("policy", "sign", mine, "--json").json
    assert signed == would | {"written": True}
    path = tmp_path / "mine.policy.json"
    good = call("policy", "verify", path)
    assert good.code == 0 and "signer this installation" in good.out and signed["digest"] in good.out
    before = path.read_bytes()
    assert call("policy", "sign", mine).code == 0 and path.read_bytes() == before
    assert call("policy", "show", path).out == call("policy", "show", mine).out


def test_an_unknown_signer_is_exit_1(call, mine, tmp_path, monkeypatch):
    call("policy", "sign", mine)
    (tmp_path / "key.json").write_text(call("keys", "export").out)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "elsewhere"))
    stranger = call("policy", "verify", tmp_path / "mine.policy.json")
    assert stranger.code == 1 and "signer UNKNOWN" in stranger.out and "NOT verified" in stranger.out
    told = call("policy", "verify", tmp_path / "mine.policy.json", "--key", tmp_path / "key.json", "--json")
    assert told.code == 0 and told.json["ok"] and told.json["policy"] == "mine"
    shipped = call("policy", "verify", published_path("safety-default"))
    assert shipped.code == 0 and "the publisher of expunge's policies" in shipped.out


def test_what_cannot_be_signed_or_believed_leaves_nothing_behind(call, refused, mine, tmp_path):
    assert "lists no attack" in refused(2, "policy", "sign", _changed(mine, criteria=[]))
    assert "telepathy" in refused(2, "policy", "sign", _changed(mine, attack="telepathy"))
    assert "is taken" in refused(2, "policy", "sign", _changed(mine, name="privacy-default"))
    assert "there is no such file" in refused(2, "policy", "sign", tmp_path / "nowhere.json")
    assert "not a policy file" in refused(1, "policy", "verify", mine)
    assert "not a policy file" in refused(1, "evaluate", "--from", tmp_path, "--policy", mine)
    assert "--key goes with" in refused(2, "evaluate", "--from", tmp_path, "--key", "k")
    assert "name of a policy" in refused(2, "evaluate", "--from", tmp_path, "--policy", "research-tofu", "--key", KEY)


KEY = "gL5PAQ2Yq3QxUjNjSCkZCUA+negjbG1LII2zW+joiPk="


def _changed(path, *, attack=None, **fields):
    body = json.loads(path.read_text()) | fields
    if attack is not None:
        body["criteria"][0]["attack"] = attack
    other = path.with_name("changed.json")
    other.write_text(json.dumps(body))
    return other


def test_a_finished_run_is_judged_by_another_policy_and_stays_as_it_is(call, evaluated, mine, tmp_path):
    call("policy", "sign", mine)
    before = {p: p.read_bytes() for p in evaluated.rglob("*") if p.is_file()}
    said = call("evaluate", "--from", evaluated, "--policy", tmp_path / "mine.policy.json", "--json")
    assert said.code == 1
    told = said.json
    assert told["policy"] == "mine" and told["earned"] is False
    [verdict] = told["methods"].values()
    kept = json.loads((evaluated / "evidence.json").read_text())
    [row] = [row for row in kept["rows"] if row["key"] == "grad_ascent"]
    same = {f["criterion"]: f["status"] for f in row["findings"] if f["criterion"] != "utility"}
    assert same == {f["criterion"]: f["status"] for f in verdict["findings"] if f["criterion"] != "utility"}
    assert before == {p: p.read_bytes() for p in evaluated.rglob("*") if p.is_file()}
    unmeasured = call("evaluate", "--from", evaluated, "--policy", "safety-default")
    assert unmeasured.code == 1 and "quantisation_4bit  inconclusive" in unmeasured.out
    assert "safety-default: inconclusive" in unmeasured.out


def test_what_was_shown_to_be_blind_earns_nothing_under_a_signed_file(call, evaluated, mine, tmp_path, monkeypatch):
    from expunge.evaluation import trusted

    shares = {"caught": [0.1, 0.0, 0.3], "missed": [0.9, 0.7, 1.0], "false_alarm": [0.0, 0.0, 0.1]}
    known = {"names": {"min_k_auc": {"trust": "no", "pairs": 20, **shares}}}
    (tmp_path / "trust.json").write_text(json.dumps(known))
    monkeypatch.setattr(trusted, "MEASURED", tmp_path / "trust.json")
    call("policy", "sign", mine)
    signed = tmp_path / "mine.policy.json"
    [verdict] = call("evaluate", "--from", evaluated, "--policy", signed, "--json").json["methods"].values()
    [finding] = [f for f in verdict["findings"] if f["criterion"] == "min_k_auc"]
    assert finding["status"] == "uninformative" and "cannot tell a model that knows" in finding["reason"]
    shown = call("policy", "show", signed).out
    assert "cannot be earned: min_k_auc: it cannot tell" in shown and "no trust table" not in shown
    monkeypatch.setattr(trusted, "MEASURED", tmp_path / "none.json")
    assert "not measured: no trust table in this package" in call("policy", "show", signed).out


def test_judging_and_computing_again_need_no_extra(evaluated):
    for more in (("--policy", "privacy-default"), ("--policy", str(published_path("research-tofu"))), ()):
        command = [sys.executable, "-c", WITHOUT, "evaluate", "--from", str(evaluated), *more]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.stderr == "" and done.returncode == (1 if more else 0), done.stderr
        assert ("research-tofu" in done.stdout) == ("research-tofu" in "".join(more))


def test_a_policy_of_another_wish_is_refused(refused, evaluated):
    assert "judges the wish refuse" in refused(2, "evaluate", "--from", evaluated, "--policy", "research-refuse")


def test_a_policy_from_a_file_judges_and_stands_in_the_certificate(call, world, mine, tmp_path):
    """Evidence is computed again from the folder alone, which keeps the policy whole."""
    call("policy", "sign", mine)
    out = tmp_path / "by-file"
    assert (
        call(*world.unlearn(out, "--steps", "2", "--policy", tmp_path / "mine.policy.json", method="grad_ascent")).code
        == 0
    )
    said = call(*world.evaluate(out, "--policy", tmp_path / "mine.policy.json", "--json"))
    assert said.code == 1 and said.json["policy"] == "mine"
    (tmp_path / "mine.policy.json").unlink()
    assert call("evaluate", "--from", out).code == 0
    certified = call("certify", out)
    from expunge.workflow.policy_file import read_policy

    assert f"Policy: mine, version 3, {digest(read_policy(mine))}" in certified.out
    assert "Claimed: Empirical (policy mine)" in certified.out
    assert call("verify", out / "certificates" / "model.certificate.json").code == 0
    told = call("verify", out / "certificates" / "model.certificate.json", "--json").json
    assert told["policies"]["model"] == {
        "name": "mine",
        "version": "3",
        "digest": digest(read_policy(mine)),
        "ships": False,
    }
    said = call("verify", out / "certificates" / "model.certificate.json").out
    assert "judged by mine" in said and "does not ship" in said


def test_what_was_fixed_before_the_run_judges_when_nothing_else_is_named(call, refused, world, mine, tmp_path):
    call("policy", "sign", mine)
    for fixed, out in (
        ("privacy-default", tmp_path / "by-name"),
        (tmp_path / "mine.policy.json", tmp_path / "by-file"),
    ):
        command = world.unlearn(out, "--steps", "2", "--policy", fixed, method="grad_ascent")
        assert call(*command).code == 0
    assert "with --policy" in refused(2, *world.evaluate(tmp_path / "by-file"))
    assert not (tmp_path / "by-file" / "conclusion.json").exists()
    said = call(*world.evaluate(tmp_path / "by-name", "--dry-run", "--json"))
    assert said.json["policy"] == "privacy-default"


def test_a_claim_is_pinned_before_the_run_and_unsigned_findings_are_not_certified(
    call, refused, world, mine, evaluated, tmp_path
):
    nameless = world.unlearn(tmp_path / "out", "--set", "policy=mine", method="grad_ascent")
    assert "does not ship" in refused(2, *nameless)
    card = json.loads((evaluated / "outcome.json").read_text())
    assert card["claim"] == {"policy": "research-tofu", "digest": digest(policies.get("research_tofu"))}
    call("policy", "sign", mine)
    out, file = tmp_path / "by-file", tmp_path / "mine.policy.json"
    assert call(*world.unlearn(out, "--steps", "2", "--policy", file, method="grad_ascent")).code == 0
    assert json.loads((out / "outcome.json").read_text())["claim"]["digest"] == digest(_read(mine))
    call(*world.evaluate(out, "--policy", file))
    kept = json.loads((out / "conclusion.json").read_text())
    assert kept["single"]["sealed"] == file.read_text()
    from expunge.workflow.recompute import certifying_policy

    certifying_policy(kept)
    weaker = json.loads(json.dumps(kept))
    weaker["policy"]["stated"]["utility_floor"] = "0.5"
    weaker["policy"]["digest"] = digest(replace(_read(mine), utility_floor=0.5))
    with pytest.raises(EvidenceError, match="not the one that was signed"):
        certifying_policy(weaker)
    del kept["single"]["sealed"]
    with pytest.raises(EvidenceError, match="is in no signed file"):
        certifying_policy(kept)


def _read(path):
    from expunge.workflow.policy_file import read_policy

    return read_policy(path)


def test_a_certificate_that_gives_a_shipped_name_to_other_criteria_is_not_verified(call, evaluated, tmp_path):
    import shutil

    from expunge.ledger import envelope
    from expunge.ledger.home import home
    from expunge.ledger.keys import ensure_key

    out = tmp_path / "copy"
    shutil.copytree(evaluated, out)
    shutil.copytree(evaluated.parent / "home", tmp_path / "home", dirs_exist_ok=True)
    assert call("certify", out).code == 0
    path = out / "certificates" / "model.certificate.json"
    honest = call("verify", path, "--json")
    assert honest.code == 0 and honest.json["policies"]["model"]["ships"] is True
    body = json.loads(envelope.open_envelope(path.read_bytes()).payload)
    [policy] = list(_policies(body))
    policy["utility_floor"] = "0.6"
    path.write_bytes(envelope.sign(canonical_bytes(body), ensure_key(home())))
    said = call("verify", path, "--json")
    assert said.code == 1 and said.json["ok"] is False and said.json["policies"]["model"]["ships"] is False
    assert any("not the research-tofu of this version" in problem for problem in said.json["problems"])


def _policies(body):
    if isinstance(body, dict):
        if "criteria" in body:
            yield body
        body = list(body.values())
    for part in body if isinstance(body, list) else ():
        yield from _policies(part)
