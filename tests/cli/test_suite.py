"""A suite on the command line: what it asks, a dry run that writes nothing, a run, and its numbers again."""

import pytest

from expunge.testing.published import write_published
from expunge.testing.toy import toy_model


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    place = tmp_path_factory.mktemp("suite")
    for seed, name in enumerate(("model", "original")):
        toy_model(seed=seed).save(place / name)
    return place, write_published("rwku", place / "data")


def test_without_a_model_a_suite_says_what_it_asks_reads_and_needs(call):
    said = call("suite", "rwku")
    assert said.code == 0 and "real people" in said.out and "neighbor_level1" in said.out
    told = call("suite", "rwku", "--json").json
    assert told["readings"]["cloze"]["measure"] == "rouge_l" and "mmlu" in told["tasks"]


def test_a_dry_run_writes_nothing_and_a_run_comes_to_the_same_again(call, given, tmp_path):
    place, data = given
    asked = ["suite", "rwku", "--model", place / "model", "--data", data, "--out", tmp_path / "out"]
    dry = call(*asked, "--set", "people=3", "--dry-run")
    assert dry.code == 0 and "level1: 15 records" in dry.out and list(tmp_path.iterdir()) == []
    found = call(*asked, "--set", "people=3", "--json")
    assert found.json["records"]["level1"] == {"n": 15, "groups": 3}
    assert found.code == 1 and found.json["verdict"]["status"] == "inconclusive", "there is no reference"
    assert (tmp_path / "out" / "table.txt").is_file()
    again = call("evaluate", "--from", tmp_path / "out", "--json")
    assert again.code == 0 and again.json["files"] == {"suite.json": "same", "table.txt": "same"}
    compared = call("suite", "rwku", "--across", "sizes", "--run", tmp_path / "out", "--run", tmp_path / "out")
    assert compared.code == 2 and "compares nothing over runs" in compared.err


WRONG = {
    "a name nearby": (["suite", "rwk"], 2, "Did you mean 'rwku'"),
    "no folder": (["suite", "rwku", "--model", "m", "--data", "gone", "--out", "out"], 2, "no folder gone"),
    "no data": (["suite", "rwku", "--model", "m"], 2, "--data and --out"),
    "a scorer of no module": (
        ["suite", "safety", "--model", "m", "--data", "d", "--out", "o", "--scorer", "toxicity=nowhere:f"],
        2,
        "--scorer cannot be",
    ),
    "a scorer of no column": (
        ["suite", "safety", "--model", "m", "--data", "d", "--out", "o", "--scorer", "toxicty=math:sqrt"],
        2,
        "scorers fill",
    ),
    "a scorer that cannot be called": (
        ["suite", "safety", "--model", "m", "--data", "d", "--out", "o", "--scorer", "toxicity=math:pi"],
        2,
        "cannot be called",
    ),
    "a scorer of a module that fails": (
        ["suite", "safety", "--model", "m", "--data", "d", "--out", "o", "--scorer", "toxicity=broken_scorer:score"],
        2,
        "ZeroDivisionError",
    ),
    "a budget that is none": (["suite", "rwku", "--model", "m", "--budget", "vast"], 2, "quick or full"),
}


@pytest.mark.parametrize(("arguments", "code", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_and_nothing_is_written(call, arguments, code, said, tmp_path, monkeypatch):
    (tmp_path / "broken_scorer.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = call(*arguments)
    assert found.code == code and said in found.err
    assert not (tmp_path / "out").exists() and not (tmp_path / "o").exists()


def test_a_scorer_that_fails_is_told_and_nothing_is_written(call, given, tmp_path, monkeypatch):
    place, _ = given
    (tmp_path / "failing_scorer.py").write_text("def score(items):\n    raise RuntimeError('no endpoint')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    data, out = write_published("safety", tmp_path / "data"), tmp_path / "out"
    found = call("suite", "safety", "--model", place / "model", "--data", data, "--out", out, "--scorer", SCORER)
    assert found.code == 2 and "the scorer of toxicity failed" in found.err and "no endpoint" in found.err
    assert not out.exists()


SCORER = "toxicity=failing_scorer:score"


def test_a_budget_that_a_criterion_contradicts_is_refused(call, given, tmp_path):
    place, _ = given
    data = write_published("privacy", tmp_path / "data")
    asked = ["suite", "privacy", "--model", place / "model", "--data", data, "--out", tmp_path / "out"]
    for more in ([], ["--dry-run"]):
        found = call(*asked, "--budget", "full", *more)
        assert found.code == 2 and "judges relearning at the quick budget" in found.err
        assert not (tmp_path / "out").exists()
    assert call(*asked, "--dry-run").code == 0


@pytest.mark.parametrize(
    ("verdict", "code"), [("earned", 0), ("failed", 1), ("inconclusive", 1), ("uninformative", 1), (None, 0)]
)
def test_the_exit_code_says_whether_the_claim_is_earned(call, verdict, code, tmp_path, monkeypatch):
    """A suite without a policy claims nothing, and so exits 0."""
    (tmp_path / "table.txt").write_text("found")
    found = {"verdict": verdict and {"status": verdict}}
    monkeypatch.setattr("expunge.workflow.suite_run.run_suite", lambda *_, **__: found)
    said = call("suite", "rwku", "--model", "m", "--data", "d", "--out", tmp_path)
    assert (said.code, said.out) == (code, "found\n")
