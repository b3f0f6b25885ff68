"""What cannot tell a model that knows from one that never did earns nothing, in the policy of a user or of a suite."""

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.trust_judging import trust_in

from expunge.core.canonical import canonical_bytes, digest, read_json
from expunge.core.errors import EvidenceError
from expunge.core.files import write_json
from expunge.core.policy import Criterion, Policy, judge
from expunge.core.registry import attacks, metrics
from expunge.core.suite import Part, Reading, Suite
from expunge.evaluation import trusted
from expunge.evaluation.assess import assess
from expunge.evaluation.suite_findings import Measured, suite_findings

SAID = {"pairs": 20, "caught": [0.1, 0.04, 0.26], "missed": [0.85, 0.68, 0.94], "false_alarm": [0.0, 0.0, 0.12]}
NAMES = {
    "rouge_l": {**SAID, "trust": "no"},
    "min_k": {**SAID, "trust": "unclear"},
    "relearning": {**SAID, "trust": "yes"},
    "lira": {"trust": "not measured", "pairs": 0, "why": "it reads shadow models"},
}
PEOPLE = [f"person-{i}" for i in range(20)]


@pytest.fixture
def known(tmp_path, monkeypatch):
    write_json(tmp_path / "trust.json", {"names": NAMES})
    monkeypatch.setattr(trusted, "MEASURED", tmp_path / "trust.json")


def table(level, column):
    values = np.clip(level + 0.01 * np.sin(np.arange(20)), 0, 1)
    return {"ids": PEOPLE, "subjects": PEOPLE, column: values}


def tables(level):
    """A model, its controls that never knew and the original, each read by a score and by an attack."""
    levels = {"model": level, "reference": 0.1, "second": 0.1, "original": 0.9}
    return {who: {"forget": table(at, "rouge_l"), "relearning": table(at, "outcome")} for who, at in levels.items()}


def statuses(level):
    criteria = (Criterion("rouge_l", 0.1, ("TEXT",)), Criterion("relearning", 0.1, ("FINETUNE",)))
    policy = Policy("mine", "1", criteria, utility_floor=0.9)
    found = assess(tables(level), policy, draws=100).assessment
    return found, {f.criterion: f for f in judge(policy, found).findings}


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_neither_verdict_of_what_cannot_tell_says_anything(known, level):
    found, findings = statuses(level)
    assert findings["rouge_l"].status == "uninformative"
    assert "caught 0.10 [0.04, 0.26]" in findings["rouge_l"].reason and "margin" in findings["rouge_l"].reason
    assert findings["relearning"].status == ("earned" if level == 0.1 else "failed")
    assert [name for name, _ in found.doubted] == ["rouge_l"]


def test_without_the_file_nothing_is_blocked_and_what_earns_says_so(known, tmp_path, monkeypatch):
    with_it = statuses(0.1)[0]
    assert b"doubted" in canonical_bytes(with_it) and b"untested" not in canonical_bytes(with_it)
    plain = replace(with_it, doubted=())
    assert b"doubted" not in canonical_bytes(plain), "what was certified before keeps its digest"
    monkeypatch.setattr(trusted, "MEASURED", tmp_path / "none.json")
    found, findings = statuses(0.1)
    assert findings["rouge_l"].status == "earned" and trusted.told("rouge_l") == "not measured"
    assert all("not measured: no trust table in this package" in findings[n].reason for n in ("rouge_l", "relearning"))
    assert found == replace(plain, untested=trusted.NO_TABLE) and digest(found) != digest(plain)
    assert not any("trust table" in finding.reason for finding in statuses(0.9)[1].values()), "only what earns"


def test_only_a_no_blocks(known):
    assert [name for name, _ in trusted.doubts(["lira", "min_k", "relearning", "mine", "rouge_l"])] == ["rouge_l"]
    assert trusted.told("lira") == "not measured: it reads shadow models"
    assert trusted.told("relearning").startswith("yes: caught") and trusted.told("relearning").endswith("20 pairs")


def test_a_reading_of_a_suite_is_judged_by_what_it_measures(known):
    def status(measure, column, part):
        suite = Suite(
            name="one",
            version="1",
            question="Is it said?",
            source="a test",
            reader="records",
            layout="any",
            get="Make some",
            ethics="none",
            parts=(Part("forget", "forget"),),
            readings=(Reading("said", "Is it said?", measure, "reference", "forget"),),
            policy=Policy("mine", "1", (Criterion("said", 0.1, ("TEXT",)),), 0.9, detectors=()),
        )
        levels = {"model": 0.1, "reference": 0.1, "second": 0.1, "original": 0.9}
        given = {who: {part: table(at, column)} for who, at in levels.items()}
        verdict = suite_findings(Measured(suite, given, draws=100))["verdict"]
        return next(f for f in verdict["findings"] if f["criterion"] == "said")["status"]

    assert status("rouge_l", "rouge_l", "forget") == "uninformative"
    assert status("rouge_1", "rouge_1", "forget") == "earned"


@pytest.mark.parametrize("said", [{"trust": "no"}, {"trust": "not measured"}, {}])
def test_a_damaged_file_is_an_error_and_no_pass(tmp_path, monkeypatch, said):
    write_json(tmp_path / "trust.json", {"names": {"rouge_l": said}})
    monkeypatch.setattr(trusted, "MEASURED", tmp_path / "trust.json")
    with pytest.raises(EvidenceError, match="does not say what is known of rouge_l"):
        trusted.doubts(["rouge_l"])


def test_the_table_of_the_package_is_whole_ships_and_keeps_to_the_rule():
    if not trusted.MEASURED.is_file():
        pytest.skip("the trust table is not measured yet")
    kept = read_json(trusted.MEASURED)
    assert set(kept["names"]) == {*metrics.names(), *attacks.names()}
    for name, said in kept["names"].items():
        if said["trust"] != trusted.NOT_MEASURED:
            by_rule = trust_in(*(said[share] for share in trusted.SHARES), whole=True)
            assert said["trust"] == by_rule or (said["trust"], by_rule) == ("unclear", "yes"), name


def test_a_file_beside_the_code_is_packaged(checkout):
    wheel = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["src/expunge"]}, "whole, so that what lies in it is in the package"
    assert trusted.MEASURED.parent == Path(trusted.__file__).parent
    ignored = (checkout / ".gitignore").read_text().split()
    assert not [line for line in ignored if line.endswith("json") or line.strip("/") == "trust.json"]


def test_reading_it_needs_no_tensor_library():
    code = "import sys; from expunge.evaluation.trusted import told; told('loss'); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
