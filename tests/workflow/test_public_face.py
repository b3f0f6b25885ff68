"""The Python of the constitution's section 8, on a folder that the demo wrote; and what its verbs refuse."""

import pytest

import expunge
from expunge.core.errors import EvidenceError, ExpungeError, ScopeError, StoreError, TargetError, UnknownName
from expunge.objectives import nll, npo
from expunge.workflow.verbs import find_policy


@pytest.fixture
def data(walked):
    return expunge.load_data(walked.out / "corpus.jsonl", id="record_id")


@pytest.fixture
def request_(data):
    ids = [e.record_id for e in data.all() if e.role == "forget"]
    return expunge.Request(subject="user-4711", scope=expunge.Records(*ids), basis="GDPR Art. 17")


METHOD = expunge.Gradient(npo.bind(beta=0.1) + nll.bind().on("retain"), steps=5, lr=1e-3)


def test_the_public_face(walked, monkeypatch, capsys, caplog):
    monkeypatch.chdir(walked.out.parent.parent)

    data = expunge.load_data("runs/demo/corpus.jsonl", id="record_id")
    target = expunge.adopt("runs/demo/original")
    scope = expunge.Records("person-000-birthplace", "person-000-craft")
    assert set(scope.ids) <= set(data.ids())
    request = expunge.Request(subject="user-4711", scope=scope, basis="GDPR Art. 17")
    method = expunge.Gradient(npo.bind(beta=0.1) + nll.bind().on("retain"), steps=5, lr=1e-5)
    before = target.digest()
    outcome = expunge.unlearn(target, request, method, data, seed=0)
    evidence = expunge.evaluate(outcome, policy="research-tofu", reference="runs/demo/retrained")
    print(expunge.certify(request, outcome, evidence))

    # Two records of one person leave the attack nothing to ask: it is left out, with the reason, and earns nothing.
    assert "relearning has nothing left to ask" in caplog.text
    assert {f.criterion: f.status for f in evidence.verdict.findings}["relearning"] == "inconclusive"
    printed = capsys.readouterr().out
    for part in ("Claimed: Empirical", "Earned: Unproven", "Measured:", "Not claimed:", "Residue:", "GDPR Art. 17"):
        assert part in printed
    assert "user-4711" not in printed
    assert "person-000" not in printed
    assert target.digest() == before == outcome.before != outcome.target.digest()
    assert len(outcome.selection.forget) == 2


def test_the_selection_of_a_request_keeps_what_was_never_learned_apart(walked, data, request_):
    outcome = expunge.unlearn(expunge.adopt(walked.out / "original"), request_, METHOD, data)
    roles = {role: {e.role for e in outcome.selection.role(role)} for role in ("forget", "retain", "holdout")}
    assert roles == {"forget": {"forget"}, "retain": {"retain", "general"}, "holdout": {"holdout"}}


def test_same_seed_same_bytes_another_seed_others(walked, data, request_):
    target = expunge.adopt(walked.out / "original")
    digests = [expunge.unlearn(target, request_, METHOD, data, seed=s).target.digest() for s in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_a_method_by_name_is_the_registered_one(walked, data, request_):
    outcome = expunge.unlearn(expunge.adopt(walked.out / "original"), request_, "prompt_filter", data)
    assert outcome.method.startswith("prompt_filter/")
    assert outcome.revoke().digest() == outcome.before
    reference, second = walked.out / "retrained", walked.out / "second_reference"
    evidence = expunge.evaluate(outcome, reference=reference, second=second)
    earned = expunge.certify(request_, outcome, evidence).earned
    assert type(earned).__name__ == "Suppressed"


def test_references_may_be_targets_or_folders(walked, data, request_):
    outcome = expunge.unlearn(expunge.adopt(walked.out / "original"), request_, METHOD, data)
    second = walked.out / "second_reference"
    found = [
        expunge.evaluate(outcome, reference=reference, second=second)
        for reference in (walked.out / "retrained", expunge.adopt(walked.out / "retrained"))
    ]
    assert found[0].assessed.cells == found[1].assessed.cells
    assert found[0].verdict == found[1].verdict


@pytest.mark.parametrize(
    ("error", "words", "settings"),
    [
        (UnknownName, "Did you mean 'research_tofu'", {"policy": "research-tufo"}),
        (TargetError, "not a target", {"reference": object()}),
        (TargetError, "no model at", {"reference": "./absent"}),
        (EvidenceError, "the reference is the same model as the second", {"second": "retrained"}),
        (EvidenceError, "the reference is the same model as the original", {"reference": "original"}),
    ],
)
def test_an_evaluation_that_makes_no_sense(error, words, settings, walked, data, request_):
    outcome = expunge.unlearn(expunge.adopt(walked.out / "original"), request_, METHOD, data)
    given = {"reference": "retrained", "second": "second_reference"} | settings
    known = ("original", "retrained", "second_reference")
    given = {k: walked.out / v if isinstance(v, str) and v in known else v for k, v in given.items()}
    with pytest.raises(error, match=words):
        expunge.evaluate(outcome, **given)


def test_a_model_is_not_its_own_reference(walked, data, request_):
    outcome = expunge.unlearn(expunge.adopt(walked.out / "original"), request_, METHOD, data)
    with pytest.raises(EvidenceError, match="the reference is the same model as the model"):
        expunge.evaluate(outcome, reference=outcome.target)


def test_requests_and_data_that_make_no_sense(walked, data):
    target = expunge.adopt(walked.out / "original")
    with pytest.raises(ScopeError, match="1 of 1 records of the scope are not in the data"):
        expunge.unlearn(target, expunge.Request("a", expunge.Records("absent")), METHOD, data)
    with pytest.raises(ScopeError, match="only Records"):
        expunge.unlearn(target, expunge.Request("a", expunge.Subject(("Ana",))), METHOD, data)
    with pytest.raises(UnknownName, match="Did you mean 'npo'"):
        expunge.unlearn(target, expunge.Request("a", expunge.Records(data.ids()[0])), "nop", data)
    with pytest.raises(StoreError, match="No such file"):
        expunge.load_data(walked.out / "absent.jsonl")
    with pytest.raises(ExpungeError, match="is an overlay"):
        expunge.adopt(walked.out / "prompt_filter")


def test_columns_of_another_name_are_read(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"key": "r1", "prompt": "Where?", "answer": "Oslo."}\n')
    store = expunge.load_data(path, id="key", columns={"question": "prompt"})
    assert [(e.record_id, e.question) for e in store.all()] == [("r1", "Where?")]


def test_a_policy_is_found_by_its_public_name():
    assert find_policy("research-tofu") is find_policy("research_tofu")


def test_the_package_names_what_it_offers():
    assert set(expunge.__all__) <= set(dir(expunge))
    assert all(getattr(expunge, name) is not None for name in expunge.__all__)
    with pytest.raises(AttributeError, match="has no 'unlern'"):
        _ = expunge.unlern
