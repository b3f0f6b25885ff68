"""Private probes: what is honest verifies, and each way of cheating that one side or the other has is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.canonical import canonical_bytes, digest_bytes
from expunge.core.certificate import issue
from expunge.core.errors import ConfigError, EvidenceError, LedgerError, ScopeError, StoreError, UnknownName
from expunge.core.example import Example, with_role
from expunge.core.guarantee import Empirical
from expunge.core.manifest import Manifest
from expunge.core.outcome import Outcome
from expunge.core.request import Records, Request
from expunge.data.jsonl import dump_examples
from expunge.ledger.certify import certificate_path, write_certificate
from expunge.ledger.home_log import append
from expunge.ledger.keys import ensure_key
from expunge.ledger.log import Log, log_path
from expunge.ledger.probe import ProbeSet, entry_of, read_commitment, read_result, read_set, result_of, sign
from expunge.ledger.receipt import certificate_entry, receipt_of, receipt_path
from expunge.ledger.trust import trust
from expunge.ledger.verify import verify as verify_certificate
from expunge.testing.toy import toy_corpus, toy_model, toy_selection
from expunge.workflow import audit_probe, probe_commit
from expunge.workflow.audit_probe import CERTIFICATE, RESULT, STATEMENT
from expunge.workflow.logged import certified
from expunge.workflow.probe_commit import COMMITMENT, ROWS, SET, Asked
from expunge.workflow.probe_rows import estimates, read_rows, rows_bytes
from expunge.workflow.probe_verify import verify_probe

METRIC = "min_k_auc"
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


@dataclass(frozen=True)
class Scene:
    """An operator and an auditor with homes of their own, a reader who trusts both, and what the honest road left."""

    root: Path
    patch: pytest.MonkeyPatch

    def at(self, name: str) -> Path:
        return self.root / name

    @property
    def probe(self) -> Path:
        return self.at("probe")

    def be(self, who: str) -> Path:
        self.patch.setenv("EXPUNGE_HOME", str(self.at(who)))
        return self.at(who)

    def verify(self, folder: Path | None = None):
        return verify_probe((folder or self.probe) / STATEMENT, home=self.at("reader"))

    def commit(self, name: str, asked: Asked | None = None, *, reference: str | None = "retrained") -> Path:
        self.be("auditor")
        asked = replace(asked or Asked(METRIC, draws=50), reference=reference and str(self.at(reference)))
        probe_commit.commit(self.at("probes.jsonl"), self.at(name), asked)
        return self.at(name)

    def log(self, folder: Path) -> None:
        key = ensure_key(self.at("auditor")).public
        self.be("operator")
        probe_commit.log_commitment(folder / COMMITMENT, key)

    def certify(self, name: str, model, **more) -> Path:
        """The operator certifies a model, with the receipt of his log beside the certificate."""
        home, root = self.be("operator"), self.at(name)
        outcome = Outcome(
            target=model,
            before=digest_bytes(b"before"),
            method="npo 1",
            recipe=digest_bytes(b"recipe"),
            claim=Empirical("ours"),
            selection=toy_selection(),
            original=model,
            seed=3,
            **more,
        )
        request = Request("user-4711", Records("r17"), "GDPR Art. 17", salt="ab" * 16)
        (root / "model").mkdir(parents=True)
        (root / "model" / "name.txt").write_text(name)
        certificate = issue(request, outcome)
        path = write_certificate(
            certificate, {"model": root / "model"}, root, certificate_path(root, "model"), ensure_key(home)
        )
        certified(certificate, path, root)
        return path

    def finish(self, folder: Path, certificate: Path | None, model: str = "unlearned") -> Path:
        self.be("auditor")
        said = read_commitment((folder / COMMITMENT).read_bytes()).said
        reference = str(self.at("retrained")) if said.reference else None
        audit_probe.run(folder, str(self.at(model)), reference=reference, certificate=certificate)
        return audit_probe.sign_result(folder)

    def rewrite_rows(self, folder: Path, change) -> None:
        """The auditor changes rows, and signs what they then come to."""
        rows = read_rows((folder / ROWS).read_bytes())
        for tables in rows.values():
            for table in tables.values():
                change(table)
        (folder / ROWS).write_bytes(rows_bytes(rows))
        probes, plan = probe_commit.opened(folder)
        value, difference = estimates(rows, plan.said)
        said = read_result((folder / STATEMENT).read_bytes()).said
        said = replace(said, rows=probes.seal(rows_bytes(rows)), value=value, difference=difference)
        (folder / STATEMENT).write_bytes(sign(said, ensure_key(self.at("auditor"))))

    def resign(self, **changes) -> None:
        """The auditor signs another result than the one that came out."""
        said = replace(read_result((self.probe / STATEMENT).read_bytes()).said, **changes)
        (self.probe / STATEMENT).write_bytes(sign(said, ensure_key(self.at("auditor"))))


def _build(scene: Scene) -> None:
    corpus = toy_corpus()
    scene.at("probes.jsonl").write_bytes(dump_examples(corpus.of("forget", "holdout")))
    for seed, name in enumerate(("unlearned", "retrained", "other")):
        toy_model(seed=seed).save(scene.at(name))
    for who in ("auditor", "operator"):
        trust(scene.at("reader"), ensure_key(scene.at(who)).public, f"the {who}")
    scene.commit("probe")
    scene.log(scene.probe)
    path = scene.certify("certified", toy_model(seed=0))
    scene.certify("elsewhere", toy_model(seed=0))
    scene.finish(scene.probe, path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("probe")
    with pytest.MonkeyPatch.context() as patch:
        _build(Scene(root, patch))
    return root


@pytest.fixture
def scene(built, tmp_path, monkeypatch):
    shutil.copytree(built, tmp_path / "scene")
    return Scene(tmp_path / "scene", monkeypatch)


def _rewrite(folder: Path, change) -> None:
    """The set of a folder with other inputs under the same salt."""
    held = read_set((folder / SET).read_bytes())
    (folder / SET).write_bytes(ProbeSet(held.salt, tuple(change(list(held.inputs)))).body())


CHANGES = {
    "swapped": lambda items: [with_role(Example("fresh", "Who?", "Ana."), "forget"), *items[1:]],
    "removed": lambda items: items[1:],
    "added": lambda items: [*items, with_role(Example("fresh", "Who?", "Ana."), "forget")],
    "moved": lambda items: items[::-1],
    "reworded": lambda items: [replace(items[0], answer=items[0].answer + " "), *items[1:]],
}


def test_what_is_honest_verifies_revealed_or_not(scene):
    whole = scene.verify()
    assert whole.ok and whole.exit_code == 0 and whole.problems == (), whole.lines()
    assert any("those that were committed to" in line for line in whole.lines())
    assert whole.signer == "the auditor" and whole.plan.metric == METRIC
    for name in (ROWS, SET):
        (scene.probe / name).unlink()
        assert scene.verify().ok
    assert any("auditor's word" in line for line in scene.verify().lines())
    assert whole.result.model == toy_model(seed=0).digest()
    assert whole.result.difference is not None and whole.result.value.n == 12


def test_a_revealed_probe_verifies_on_the_base_install(scene):
    scene.be("reader")
    command = [sys.executable, "-c", WITHOUT, "verify", str(scene.probe / STATEMENT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "the result is what the rows come to" in done.stdout and done.stdout.endswith("verified\n")


def test_public_files_hold_nothing_of_the_inputs(scene):
    inputs = read_set((scene.probe / SET).read_bytes()).inputs
    public = [path.read_bytes() for path in scene.probe.iterdir() if path.name not in (SET, ROWS)]
    public.append(canonical_bytes(read_result((scene.probe / STATEMENT).read_bytes()).said))
    public.append(canonical_bytes(read_commitment((scene.probe / COMMITMENT).read_bytes()).said))
    assert len(public) == 9
    for example in inputs:
        for text in (example.question, example.answer, example.record_id):
            assert not any(text.encode() in data for data in public)
    assert (scene.probe / SET).stat().st_mode & 0o077 == 0 and (scene.probe / ROWS).stat().st_mode & 0o077 == 0
    listed = {e.path for e in Manifest.read(scene.probe).entries if e.contains_personal_data}
    assert listed == {SET, ROWS}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_auditor_cannot_change_an_input_after_seeing_the_model(scene, change):
    fresh = scene.commit("fresh")
    _rewrite(fresh, change)
    with pytest.raises(LedgerError, match="does not open its commitment"):
        audit_probe.run(fresh, str(scene.at("unlearned")))
    assert not (fresh / RESULT).exists()
    _rewrite(scene.probe, change)
    with pytest.raises(LedgerError, match="does not open its commitment"):
        audit_probe.sign_result(scene.probe)
    found = scene.verify()
    assert not found.ok and any("does not open the commitment" in p for p in found.problems)


def test_a_set_committed_to_after_the_certificate_shows_nothing(scene):
    late, path = scene.commit("late"), scene.at("certified/certificates/model.certificate.json")
    scene.finish(late, path)
    missing = scene.verify(late)
    assert not missing.ok and any("nothing shows when" in p for p in missing.problems)
    scene.log(late)
    found = scene.verify(late)
    assert not found.ok and any("after the certificate" in p for p in found.problems), found.lines()


def test_a_certificate_that_was_issued_again_does_not_turn_the_order(scene):
    """The model was certified, and seen; then comes the commitment, then another certificate of the same model."""
    late = scene.commit("late")
    scene.log(late)
    scene.finish(late, scene.certify("again", toy_model(seed=0)))
    told = scene.verify(late)
    assert told.ok and "not known without the log" in told.order
    trust(scene.at("operator"), ensure_key(scene.at("auditor")).public, "the auditor")
    found = verify_probe(late / STATEMENT, home=scene.at("operator"))
    assert not found.ok and any("before the commitment was logged" in p for p in found.problems)
    honest = verify_probe(scene.probe / STATEMENT, home=scene.at("operator"))
    assert honest.ok and "no leaf before names the model" in honest.order


def test_a_log_of_the_auditors_own_shows_nothing(scene):
    """He could write commitment and certificate into it in any order, at any time."""
    late, path = scene.commit("late"), scene.at("certified/certificates/model.certificate.json")
    scene.finish(late, path)
    home = scene.be("auditor")
    held = late / CERTIFICATE
    commitment = read_commitment((late / COMMITMENT).read_bytes())
    certificate = verify_certificate(held, home=scene.at("reader")).certificate
    places = append(home, [entry_of(commitment), certificate_entry(certificate, held.read_bytes())])
    with Log(log_path(home)) as log:
        for of, seq in zip((late / COMMITMENT, held), places, strict=True):
            receipt_path(of).write_bytes(receipt_of(log, seq).body())
    found = scene.verify(late)
    assert not found.ok and any("not trusted" in p for p in found.problems), found.lines()
    receipt_path(held).write_bytes(receipt_path(path).read_bytes())
    assert not scene.verify(late).ok


def test_a_receipt_of_another_commitment_shows_nothing(scene):
    late, path = scene.commit("late"), scene.at("certified/certificates/model.certificate.json")
    scene.finish(late, path)
    shutil.copy(receipt_path(scene.probe / COMMITMENT), receipt_path(late / COMMITMENT))
    assert any("not about this commitment" in p for p in scene.verify(late).problems)


def test_the_operator_cannot_present_another_model(scene):
    fresh = scene.commit("fresh", reference=None)
    path = scene.at("certified/certificates/model.certificate.json")
    with pytest.raises(LedgerError, match="not the one of the certificate"):
        audit_probe.run(fresh, str(scene.at("other")), certificate=path)
    assert not (fresh / RESULT).exists()
    card = scene.at("other") / "target.json"
    card.write_text(scene.at("unlearned").joinpath("target.json").read_text())
    with pytest.raises(Exception, match="changed since"):
        audit_probe.run(fresh, str(scene.at("other")), certificate=path)
    scene.resign(model=toy_model(seed=2).digest())
    assert any("not the one of the certificate" in p for p in scene.verify().problems)


def test_an_edited_result_is_not_signed_and_does_not_verify(scene):
    value = result_of((scene.probe / RESULT).read_bytes()).value
    better = replace(value, value=0.5, low=0.4, high=0.6)
    (scene.probe / STATEMENT).rename(scene.probe / "kept")
    told = result_of((scene.probe / RESULT).read_bytes())
    (scene.probe / RESULT).write_bytes(canonical_bytes(replace(told, value=better)))
    with pytest.raises(EvidenceError, match="not what the rows come to"):
        audit_probe.sign_result(scene.probe)
    assert not (scene.probe / STATEMENT).exists()
    (scene.probe / "kept").rename(scene.probe / STATEMENT)
    scene.resign(value=better)
    assert any("not what the rows come to" in p for p in scene.verify().problems)
    rows = read_rows((scene.probe / ROWS).read_bytes())
    del rows["reference"]
    (scene.probe / ROWS).write_bytes(rows_bytes(rows))
    assert any("not the digest" in p for p in scene.verify().problems)
    probes = read_set((scene.probe / SET).read_bytes())
    scene.resign(rows=probes.seal((scene.probe / ROWS).read_bytes()))
    assert any("of the reference are missing" in p for p in scene.verify().problems)


def test_rows_of_fewer_inputs_are_not_those_of_the_set(scene):
    rows = read_rows((scene.probe / ROWS).read_bytes())
    for table in rows["model"].values():
        for column in table.values():
            column.pop()
    (scene.probe / ROWS).write_bytes(rows_bytes(rows))
    probes = read_set((scene.probe / SET).read_bytes())
    scene.resign(rows=probes.seal((scene.probe / ROWS).read_bytes()))
    assert any("not those of the inputs" in p for p in scene.verify().problems)


def test_whoever_is_not_the_auditor_cannot_edit_the_statement(scene):
    said = read_result((scene.probe / STATEMENT).read_bytes()).said
    forged = sign(replace(said, value=replace(said.value, value=0.5)), ensure_key(scene.at("operator")))
    original = (scene.probe / STATEMENT).read_bytes()
    (scene.probe / STATEMENT).write_bytes(forged)
    assert any("another key than the result" in p for p in scene.verify().problems)
    cut = forged.partition(b'"signatures"')[0] + b'"signatures"' + original.partition(b'"signatures"')[2]
    (scene.probe / STATEMENT).write_bytes(cut)
    found = scene.verify()
    assert found.signature_valid is False and not found.ok
    assert found.lines()[0].startswith("signature INVALID")


def test_a_result_holds_for_no_other_certificate(scene):
    other = scene.at("elsewhere/certificates/model.certificate.json")
    held = scene.probe / CERTIFICATE
    shutil.copy(other, held)
    shutil.copy(receipt_path(other), receipt_path(held))
    assert any("not the one that the result is about" in p for p in scene.verify().problems)
    held.unlink()
    assert not scene.verify().ok


def test_a_result_holds_for_no_other_commitment(scene):
    twin = scene.commit("twin")
    assert read_set((twin / SET).read_bytes()).inputs == read_set((scene.probe / SET).read_bytes()).inputs
    shutil.copy(twin / COMMITMENT, scene.probe / COMMITMENT)
    assert any("not the one that the result names" in p for p in scene.verify().problems)


def test_without_a_certificate_nothing_shows_which_came_first(scene):
    fresh = scene.commit("fresh")
    scene.log(fresh)
    scene.finish(fresh, None)
    found = scene.verify(fresh)
    assert found.signature_valid and not found.ok and any("names no certificate" in p for p in found.problems)


def test_another_key_does_not_sign_the_result(scene):
    fresh = scene.commit("fresh", reference=None)
    audit_probe.run(fresh, str(scene.at("unlearned")))
    scene.be("operator")
    with pytest.raises(LedgerError, match="the commitment is by"):
        audit_probe.sign_result(fresh)
    assert not (fresh / STATEMENT).exists()


def test_another_way_of_reading_is_another_commitment(scene):
    """Metric, seed and level are fixed with the inputs: an edited commitment is neither signed under nor believed."""
    fresh, key = scene.commit("fresh", reference=None), ensure_key(scene.at("auditor"))
    held = read_commitment((fresh / COMMITMENT).read_bytes())
    edited = sign(replace(held.said, seed=held.said.seed + 1), key)
    tail = (fresh / COMMITMENT).read_bytes().partition(b'"signatures"')[2]
    (fresh / COMMITMENT).write_bytes(edited.partition(b'"signatures"')[0] + b'"signatures"' + tail)
    audit_probe.run(fresh, str(scene.at("unlearned")))
    with pytest.raises(LedgerError, match="changed since it was signed"):
        audit_probe.sign_result(fresh)
    (scene.probe / COMMITMENT).write_bytes(edited)
    assert any("not the one that the result names" in p for p in scene.verify().problems)
    for changes in ({"draws": 10**9}, {"level": 0.0}, {"items": 0}, {"inputs": "sha256:0"}, {"reference": "mine"}):
        with pytest.raises(LedgerError, match="malformed"):
            read_commitment(sign(replace(held.said, **changes), key))


def test_the_operator_logs_only_what_a_trusted_key_signed(scene):
    fresh = scene.commit("fresh")
    scene.be("operator")
    with pytest.raises(LedgerError, match="not trusted"):
        probe_commit.log_commitment(fresh / COMMITMENT)
    said = read_commitment((fresh / COMMITMENT).read_bytes()).said
    assert not receipt_path(fresh / COMMITMENT).exists()
    data = sign(replace(said, seed=7), ensure_key(scene.at("operator")))
    (fresh / COMMITMENT).write_bytes(data)
    with pytest.raises(LedgerError, match="wrong key"):
        probe_commit.log_commitment(fresh / COMMITMENT, ensure_key(scene.at("auditor")).public)


def test_a_stranger_who_trusts_nobody_verifies_nothing(scene):
    found = verify_probe(scene.probe / STATEMENT, home=scene.at("nobody"))
    assert not found.ok and found.signature_valid is None and found.lines()[-1] == "NOT verified"
    key = ensure_key(scene.at("auditor")).public
    alone = verify_probe(scene.probe / STATEMENT, key=key, home=scene.at("nobody"))
    assert alone.signature_valid and not alone.ok and any("its signer" in p for p in alone.problems)


def test_the_same_run_gives_the_same_rows(scene):
    again = scene.at("again")
    again.mkdir()
    for name in (SET, COMMITMENT):
        shutil.copy(scene.probe / name, again / name)
    ran = audit_probe.run(again, str(scene.at("unlearned")), reference=str(scene.at("retrained")))
    assert (again / ROWS).read_bytes() == (scene.probe / ROWS).read_bytes()
    assert ran.result.value == result_of((scene.probe / RESULT).read_bytes()).value


def test_an_attack_that_asks_for_text_is_a_probe_too(scene):
    fresh = scene.commit("fresh", Asked("prefilled_answer", draws=50))
    said = read_commitment((fresh / COMMITMENT).read_bytes()).said
    assert said.settings and said.access == ("TEXT",)
    scene.log(fresh)
    scene.finish(fresh, scene.certify("afterwards", toy_model(seed=0)))
    found = scene.verify(fresh)
    assert found.ok, found.lines()
    assert found.result.value.n == 6 and any("what the rows come to" in line for line in found.lines())


def test_a_statistic_that_reads_the_reference_needs_one(scene):
    with pytest.raises(ConfigError, match="reads a reference"):
        scene.commit("fresh", Asked("privleak", draws=50), reference=None)
    assert not scene.at("fresh").exists()
    fresh = scene.commit("fresh", Asked("privleak", draws=50))
    ran = audit_probe.run(fresh, str(scene.at("unlearned")), reference=str(scene.at("retrained")))
    assert ran.result.difference is None and ran.result.reference == toy_model(seed=1).digest()


def test_the_auditor_cannot_choose_the_reference_after_seeing_the_model(scene):
    """With another one the same inputs on the same model come to another number."""
    fresh = scene.commit("fresh", Asked("privleak", draws=50))
    scene.log(fresh)
    path = scene.certify("afterwards", toy_model(seed=0))
    for reference in (str(scene.at("other")), None):
        with pytest.raises(LedgerError, match="reference is not what was committed to"):
            audit_probe.run(fresh, str(scene.at("unlearned")), reference=reference, certificate=path)
    assert not (fresh / RESULT).exists()
    scene.finish(fresh, path)
    found = scene.verify(fresh)
    assert found.ok and f"reference committed to: {toy_model(seed=1).digest()}" in found.lines()
    told = result_of((fresh / RESULT).read_bytes())
    (fresh / STATEMENT).rename(fresh / "kept")
    (fresh / RESULT).write_bytes(canonical_bytes(replace(told, reference=toy_model(seed=2).digest())))
    with pytest.raises(EvidenceError, match="not the one that was committed to"):
        audit_probe.sign_result(fresh)
    (fresh / STATEMENT).write_bytes(
        sign(replace(told, reference=toy_model(seed=2).digest()), ensure_key(scene.at("auditor")))
    )
    for name in (ROWS, SET):
        assert "reference: not the one that was committed to" in scene.verify(fresh).problems
        (fresh / name).unlink()


def test_a_reference_that_was_not_committed_to_is_not_asked(scene):
    fresh = scene.commit("fresh", reference=None)
    with pytest.raises(LedgerError, match="none was committed to"):
        audit_probe.run(fresh, str(scene.at("unlearned")), reference=str(scene.at("retrained")))
    scene.log(fresh)
    scene.finish(fresh, scene.certify("afterwards", toy_model(seed=0)))
    found = scene.verify(fresh)
    assert found.ok and found.result.difference is None and "reference committed to: none" in found.lines()


def _first_half(table) -> None:
    for column in table.values():
        del column[len(column) // 2 :]


def _flipped(table) -> None:
    table["unseen"][0] = 1.0 - table["unseen"][0]


def _of_another(table) -> None:
    table["subjects"][0] = table["subjects"][-1]


@pytest.mark.parametrize(
    ("metric", "change", "problem"),
    [
        ("prefilled_answer", _first_half, "3 of 6 have one"),
        ("relearning", _first_half, "1 of 2 have one"),
        ("extraction_excess", _first_half, "6 of 12 have one"),
        ("extraction_excess", _flipped, "roles differ"),
        ("prefilled_answer", _of_another, "subjects differ"),
    ],
)
def test_the_auditor_cannot_drop_or_relabel_rows_of_an_attack(scene, metric, change, problem):
    fresh = scene.commit("fresh", Asked(metric, draws=50), reference=None)
    scene.log(fresh)
    scene.finish(fresh, scene.certify("afterwards", toy_model(seed=0)))
    honest = scene.verify(fresh)
    assert honest.ok and any("relearning itself asks 2 of 12" in t for t in honest.told) == (metric == "relearning")
    scene.rewrite_rows(fresh, change)
    found = scene.verify(fresh)
    assert not found.ok and any(problem in p for p in found.problems), found.lines()


def test_an_attack_that_leaves_inputs_out_is_no_probe(scene):
    """From its rows nobody could tell what it left out from what the auditor did."""
    fresh = scene.commit("fresh", Asked("relearning_in_domain", draws=50), reference=None)
    with pytest.raises(EvidenceError, match="3 of 6 have one"):
        audit_probe.run(fresh, str(scene.at("unlearned")))
    assert not (fresh / ROWS).exists() and not (fresh / RESULT).exists()
    many = [with_role(Example(f"r{i}", "Who?", "Ana."), "forget") for i in range(257)]
    scene.at("probes.jsonl").write_bytes(dump_examples(many))
    with pytest.raises(ScopeError, match="asks 256 of 257"):
        scene.commit("never", Asked("prefilled_answer"), reference=None)
    assert not scene.at("never").exists()


def test_weights_without_their_account_are_the_certified_model_and_older_than_the_request(scene):
    """A private target's digest is over weights and account; only the weights are handed over."""
    noted = {"weights_digest": toy_model(seed=0).digest()}
    path = scene.certify("account", toy_model(seed=2), notes=noted)
    late, third = scene.commit("fresh"), scene.at("third")
    toy_model(seed=4).save(third)
    with pytest.raises(LedgerError, match="not the one of the certificate"):
        audit_probe.run(late, str(third), reference=str(scene.at("retrained")), certificate=path)
    with pytest.raises(EvidenceError, match="same model"):
        audit_probe.run(late, str(scene.at("retrained")), reference=str(scene.at("retrained")), certificate=path)
    scene.log(late)
    again = scene.certify("afterwards", toy_model(seed=3), notes=noted)
    scene.finish(late, again)
    found = scene.verify(late)
    assert found.ok and "weights are older than the request" in found.order, found.lines()
    assert found.result.model == toy_model(seed=0).digest()
    scene.finish(scene.commit("other_one"), path, "other")
    assert "older" not in scene.verify().order


def test_what_cannot_be_a_probe_is_refused_and_nothing_is_left(scene):
    refused = {
        "telepathy": UnknownName,
        "u_lira": ConfigError,
        "toxicity": ConfigError,
        "weight_delta": ConfigError,
    }
    for metric, error in refused.items():
        with pytest.raises(error):
            scene.commit("never", Asked(metric))
    with pytest.raises(ConfigError, match="needs access LOGPROBS"):
        scene.commit("never", Asked(METRIC, access=("TEXT",)))
    scene.at("probes.jsonl").write_bytes(dump_examples(toy_corpus().of("forget")))
    with pytest.raises(ScopeError, match="holdout"):
        scene.commit("never")
    assert not scene.at("never").exists()
    with pytest.raises(ConfigError, match="never overwritten"):
        scene.commit("probe")
    with pytest.raises(StoreError, match="no probe"):
        audit_probe.run(scene.at("unlearned"), str(scene.at("unlearned")))


TINY = tuple(with_role(Example(f"r{i}", "Has she the illness?", answer), "forget") for i, answer in enumerate("yn"))


def test_a_guess_of_few_possible_inputs_is_not_confirmed_without_the_salt():
    """All 2 x 2 sets that there can be are known; without the 32 bytes none gives the digest."""
    digests = {ProbeSet.draw(TINY).digest for _ in range(50)}
    assert len(digests) == 50
    guesses = [(a, b) for a in TINY for b in TINY if a != b]
    for salt in ("00" * 32, "ff" * 32):
        assert not digests & {ProbeSet(salt, guess).digest for guess in guesses}
    for plainly in (canonical_bytes(TINY), canonical_bytes(list(TINY)), b""):
        assert digest_bytes(plainly) not in digests


@pytest.mark.parametrize("salt", ["", "ab" * 31, "ab" * 33, "AB" * 32, "zz" * 32])
def test_a_salt_that_could_be_guessed_is_refused(salt):
    with pytest.raises(LedgerError, match="salt of 32 bytes"):
        ProbeSet(salt, TINY)


@given(st.binary(min_size=32, max_size=32), st.lists(st.text(), min_size=1, max_size=4), st.integers(0, 255))
def test_only_the_same_salt_and_inputs_open_a_commitment(salt, answers, bit):
    inputs = tuple(Example(f"r{i}", "?", answer, role="forget") for i, answer in enumerate(answers))
    held = ProbeSet(salt.hex(), inputs)
    other = bytearray(salt)
    other[bit // 8] ^= 1 << bit % 8
    assert ProbeSet(salt.hex(), inputs).digest == held.digest
    assert ProbeSet(other.hex(), inputs).digest != held.digest
    changed = (replace(inputs[0], answer=inputs[0].answer + "."), *inputs[1:])
    assert ProbeSet(salt.hex(), changed).digest != held.digest
    assert held.seal(held.body()) != held.digest
