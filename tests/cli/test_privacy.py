"""Privacy policies on the command line: shown with what they mean, signed, and judging a certificate."""

from __future__ import annotations

import json

import pytest

from expunge.core.canonical import digest_bytes
from expunge.core.certificate import issue
from expunge.core.evidence import Proof
from expunge.core.guarantee import Certified
from expunge.core.outcome import Outcome
from expunge.core.request import Records, Request
from expunge.ledger.certify import certificate_path, write_certificate
from expunge.ledger.home import home
from expunge.ledger.keys import ensure_key
from expunge.ledger.trust import trust
from expunge.testing.toy import toy_selection
from expunge.workflow.privacy_reading import NOTE, told, with_reading

LIMIT = {"kinds": ["any"], "epsilon": 2, "delta": 1e-6, "adversary": "oblivious", "why": "what the board accepted"}
OURS = {"name": "ours", "version": "1", "by": "the board", "until": "2031-12-31", "limits": [LIMIT]}
MECHANISM = (("q", "1.0"), ("sigma", "1000.0"), ("steps", "1"), ("units", "2"))


class Weights:
    kind = "learner"

    def digest(self) -> str:
        return digest_bytes(b"after")


@pytest.fixture
def draft(tmp_path):
    path = tmp_path / "draft.json"
    path.write_text(json.dumps(OURS))
    return path


def certify(out, claim, proven=True, notes=None, reading=with_reading, mechanism=MECHANISM):
    """A signed certificate of a certified claim."""
    stated = {"epsilon": claim.epsilon, "delta": claim.delta, "adversary": claim.adversary}
    proof = Proof("poisson_gaussian", ("rows of norm 1",), mechanism, after=Weights().digest(), units=2, **stated)
    outcome = Outcome(
        target=Weights(),
        before=digest_bytes(b"before"),
        method="newton 1",
        recipe=digest_bytes(b"recipe"),
        claim=claim,
        selection=toy_selection(),
        original=Weights(),
        seed=3,
        proof=proof if proven else None,
        notes=notes or {},
    )
    (out / "model").mkdir(parents=True)
    (out / "model" / "weights").write_text("w")
    signer = ensure_key(home())
    trust(home(), signer.public, "this installation")
    certificate = reading(issue(Request("user-4711", Records("r17"), salt="ab" * 16), outcome))
    return write_certificate(certificate, {"model": out / "model"}, out, certificate_path(out, "model"), signer)


def test_show_says_what_epsilon_means(call, draft):
    said = call("privacy", "show", draft)
    assert said.code == 0 and "any: up to epsilon 2, delta 1e-06" in said.out and "not signed" in said.out
    # e^2 * 0.01 + 1e-6 = 0.0739; odds of 1 become e^2 : 1, which is 0.8808.
    assert "with 1 % false positives finds 7.39 % of the members at best" in said.out and "88.1 % at most" in said.out


def test_the_other_notation_is_the_same_policy(call, draft):
    ours = call("privacy", "show", draft, "--json").json
    theirs = {{"epsilon": "alpha", "delta": "beta"}.get(name, name): value for name, value in LIMIT.items()}
    draft.write_text(json.dumps(OURS | {"limits": [theirs]}))
    assert call("privacy", "show", draft, "--json").json == ours


def test_sign_then_show_then_edit(call, draft, tmp_path, monkeypatch):
    would = call("privacy", "sign", draft, "--dry-run", "--json").json
    signed = tmp_path / "ours.privacy.json"
    assert would["written"] is False and not signed.exists()
    assert call("privacy", "sign", draft, "--json").json == would | {"written": True}
    assert "signature valid, signer this installation" in call("privacy", "show", signed).out
    (tmp_path / "again.json").write_text(json.dumps(call("privacy", "show", signed, "--json").json))
    again = call("privacy", "sign", tmp_path / "again.json", "--out", tmp_path / "two.privacy.json", "--json").json
    assert again["digest"] == would["digest"] and signed.read_bytes() == (tmp_path / "two.privacy.json").read_bytes()
    (tmp_path / "key.json").write_text(call("keys", "export").out)
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "elsewhere"))
    stranger = call("privacy", "show", signed)
    assert stranger.code == 1 and "signer UNKNOWN" in stranger.out
    assert call("privacy", "show", signed, "--key", tmp_path / "key.json").code == 0


def test_a_changed_file_is_not_believed(call, refused, draft, tmp_path):
    call("privacy", "sign", draft)
    signed = tmp_path / "ours.privacy.json"
    other = tmp_path / "other"
    other.mkdir()
    lax = json.loads(draft.read_text()) | {"limits": [LIMIT | {"epsilon": 20}]}
    (tmp_path / "lax.json").write_text(json.dumps(lax))
    call("privacy", "sign", tmp_path / "lax.json", "--out", other / "ours.privacy.json")
    ours, theirs = (json.loads(path.read_bytes()) for path in (signed, other / "ours.privacy.json"))
    mixed = json.dumps(ours | {"payload": theirs["payload"]}, sort_keys=True, separators=(",", ":"))
    signed.write_text(mixed)
    said = call("privacy", "show", signed)
    assert said.code == 1 and "signature INVALID" in said.out
    path = certify(tmp_path / "run", Certified(0.5, 1e-9, "adaptive"))
    assert "is not verified" in refused(1, "privacy", "judge", signed, path, "--kind", "any")


def test_judging_a_certificate(call, draft, tmp_path):
    call("privacy", "sign", draft)
    signed = tmp_path / "ours.privacy.json"
    good = certify(tmp_path / "good", Certified(2.0, 1e-6, "adaptive"))
    said = call("privacy", "judge", signed, good, "--kind", "any")
    assert (said.code, said.out) == (0, "model: accepted by ours for any\n"), said.err
    late = call("privacy", "judge", signed, good, "--kind", "any", "--on", "2032-01-01", "--json")
    assert late.code == 1 and late.json["artefacts"]["model"]["reasons"] == ["the policy expired on 2031-12-31"]
    bad = call(
        "privacy", "judge", signed, certify(tmp_path / "bad", Certified(2.5, 1e-5, "oblivious")), "--kind", "any"
    )
    assert bad.code == 1 and "epsilon 2.5 is above 2.0" in bad.out and "delta 1e-05 is above 1e-06" in bad.out
    unproven = certify(tmp_path / "unproven", Certified(0.5, 1e-9, "adaptive"), proven=False)
    lowered = call("privacy", "judge", signed, unproven, "--kind", "any")
    assert lowered.code == 1 and "not earned: no proof" in lowered.out


def test_a_certificate_says_what_its_epsilon_means_and_nothing_else(call, tmp_path):
    claim = Certified(2.0, 1e-6, "adaptive")
    said = call("verify", certify(tmp_path / "good", claim), "--details")
    assert said.code == 0 and f"{NOTE}: {told(claim)}" in said.out and f"model: {told(claim)}" in said.out
    flattering = {NOTE: told(Certified(0.1, 0.0, "adaptive"))}
    mended = call("verify", certify(tmp_path / "mended", claim, notes=flattering), "--details")
    assert mended.code == 0 and flattering[NOTE] not in mended.out and told(claim) in mended.out
    lying = call("verify", certify(tmp_path / "lying", claim, notes=flattering, reading=lambda c: c))
    assert lying.code == 1 and "is not what its guarantee means" in lying.out
    empty = certify(tmp_path / "empty", claim, proven=False, notes=flattering)
    assert "false positives" not in call("verify", empty, "--details").out


def test_an_epsilon_below_what_its_own_numbers_come_to_is_seen(call, tmp_path):
    claim = Certified(2.0, 1e-6, "oblivious")
    good = call("verify", certify(tmp_path / "good", claim))
    assert good.code == 0 and "computed again by poisson_gaussian, for 2 records" in good.out
    little = (("q", "1.0"), ("sigma", "2.0"), ("steps", "1"), ("units", "2"))
    bad = call("verify", certify(tmp_path / "bad", claim, mechanism=little))
    assert bad.code == 1 and "the proof states epsilon 2; its numbers come to 4.887" in bad.out
    odd = call("verify", certify(tmp_path / "odd", claim, mechanism=(("sigma", "many"),)))
    assert odd.code == 1 and "cannot read the numbers" in odd.out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limits": []}, "accepts nothing"),
        ({"until": "someday"}, "not a day"),
        ({"limits": [LIMIT | {"adversary": "lazy"}]}, "adversary"),
        ({"limits": [LIMIT | {"epsilon": "nan"}]}, "epsilon"),
        ({"extra": 1}, "extra"),
        ({"by": ""}, "by is empty"),
    ],
)
def test_what_cannot_judge_is_not_signed(refused, draft, changes, words):
    draft.write_text(json.dumps(OURS | changes))
    assert words in refused(2, "privacy", "sign", draft)


def test_bad_input_is_one_message(refused, draft, tmp_path):
    assert "no such file" in refused(2, "privacy", "sign", tmp_path / "none.json")
    assert "is not JSON" in refused(2, "privacy", "show", _text(tmp_path, "{"))
    assert "not a privacy policy" in refused(2, "privacy", "show", _text(tmp_path, "[1]"))
    assert "not signed" in refused(2, "privacy", "show", draft, "--key", "k")
    assert "--kind" in refused(2, "privacy", "judge", draft, draft)
    assert "file to be signed" in refused(2, "privacy", "sign", draft, "--out", draft)


def _text(folder, text):
    path = folder / "text.json"
    path.write_text(text)
    return path
