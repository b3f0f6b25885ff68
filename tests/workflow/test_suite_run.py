"""Each suite runs whole on data in its layout, names what it lacks, and recomputes to the same bytes."""

import importlib
import json
import shutil
import sys
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace

import pytest

from expunge.attacks import relearning
from expunge.core import registry
from expunge.core.access import Access, Oracle
from expunge.core.attack import at_budget
from expunge.core.canonical import digest
from expunge.core.errors import ConfigError, EvidenceError, MissingExtra, StoreError, UnknownName
from expunge.core.manifest import Manifest
from expunge.testing.published import LAYOUTS, write_published
from expunge.testing.suite_contract import check_suite
from expunge.testing.toy import toy_model
from expunge.workflow import harness
from expunge.workflow.recompute import recompute
from expunge.workflow.suite_across import across_runs, across_text
from expunge.workflow.suite_budget import attacks_of, stated_attacks
from expunge.workflow.suite_measure import read_corpus
from expunge.workflow.suite_run import dry_suite, prepare_suite, run_suite, write_suite

pytestmark = pytest.mark.slow

ARMS = ("model", "reference", "second", "original")
BESIDE_A_SECOND = ("tofu", "muse", "privacy")
"""Suites with a statistic that reads the reference, whose own value takes another."""


@dataclass
class Answering:
    """A toy model whose hooks give the answers that it is told, as a knowing model would."""

    model: object
    answers: dict[str, str] = field(default_factory=dict)

    def digest(self):
        return self.model.digest()

    def oracle(self, access):
        return Oracle(self.model, access, filter=lambda question, said: self.answers.get(question, said))


@pytest.fixture(scope="module")
def arms():
    return {name: toy_model(seed=seed) for seed, name in enumerate(ARMS)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return {name: str(write_published(name, tmp_path_factory.mktemp(name))) for name in LAYOUTS}


def run(name, data, out, arms, **more):
    judged, others = arms["model"], {name: arms[name] for name in ARMS[1:] if name in arms}
    return run_suite(name, judged, data[name], out=out, **others, draws=100, **more)


def bytes_of(out):
    return {file: (out / file).read_bytes() for file in ("suite.json", "table.txt")}


@pytest.mark.parametrize("name", registry.suites.names())
def test_every_suite_runs_whole_and_recomputes_to_the_same_bytes(name, data, arms, tmp_path, monkeypatch):
    out = tmp_path / "out"
    suite = registry.suites.get(name)
    corpus = read_corpus(suite, data[name], {})
    knowing = Answering(arms["original"], {e.question: e.answer for e in corpus})
    scorers = {"toxicity": lambda items: [0.25 for _ in items]}
    given = {who: arm for who, arm in arms.items() if who != "second" or name in BESIDE_A_SECOND}
    found = run(name, data, out, {**given, "original": knowing}, scorers=scorers)
    assert {row["name"]: row["skipped"] for row in found["rows"] if "skipped" in row} == {}
    for row in found["rows"]:
        assert (
            row["n"] >= (20 if name == "tofu" or row["measure"] == "relearning" else 40) or row["measure"] == "pii_leak"
        )
        assert row["low"] is None or row["low"] <= row["value"] <= row["high"]
        assert row["question"] and row["groups"] and "value" in row["reference"]
    assert (found["verdict"] is None) == (suite.policy is None)
    judged = {f["criterion"]: f["reason"] for f in found["verdict"]["findings"]}
    assert "not what the log-probabilities say" in judged["disagreement"], "it is measured on real tables"
    listed = {e.path: e.contains_personal_data for e in Manifest.read(out).entries}
    assert not listed["suite.json"] and all(v for path, v in listed.items() if path.startswith("scores/"))
    before = bytes_of(out)
    texts = " ".join(data.decode() for data in before.values())
    assert not any(e.answer in texts for e in corpus if len(e.answer.split()) > 2), "findings hold forgotten text"
    monkeypatch.setattr("expunge.targets.causal_lm.CausalLM.oracle", lambda *_: pytest.fail("a model was asked"))
    again = recompute(out)
    assert again.files == dict.fromkeys(before, "same")
    (out / "table.txt").unlink()
    assert recompute(out).files["table.txt"] == "restored" and bytes_of(out) == before


def test_without_arms_and_scorers_each_number_is_skipped_by_name(data, arms, tmp_path):
    found = run("safety", data, tmp_path / "a", {"model": arms["model"]})
    rows = {row["name"]: row for row in found["rows"]}
    assert "a scorer that fills the column toxicity" in rows["toxicity"]["skipped"]
    assert "give the original" in rows["near_trigger"]["skipped"]
    assert "give a reference" in rows["backdoor"]["reference"]["skipped"]
    silent = run("safety", data, tmp_path / "b", {"model": arms["model"]}, access=Access.LOGPROBS | Access.WEIGHTS)
    why = {row["name"]: row["skipped"] for row in silent["rows"]}
    assert all("needs access TEXT" in why[name] or "needs TEXT" in why[name] for name in ("clean", "prefix_injection"))


def test_a_suite_trains_nothing_and_the_same_run_gives_the_same_bytes(data, arms, tmp_path):
    digests = {name: model.digest() for name, model in arms.items()}
    for place in ("a", "b"):
        run("muse", data, tmp_path / place, {"model": arms["model"], "original": arms["original"]})
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert {name: model.digest() for name, model in arms.items()} == digests


def test_what_stands_in_the_folder_already_is_not_written_over(data, arms, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        run("rwku", data, tmp_path, arms)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_model_that_would_be_compared_with_itself_is_refused(data, arms, tmp_path):
    with pytest.raises(EvidenceError, match="the reference is the same model"):
        run("rwku", data, tmp_path / "out", {**arms, "reference": arms["model"]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", LAYOUTS)
def test_missing_data_says_what_and_how_to_get_it(name, arms, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StoreError) as caught:
        run_suite(name, arms["model"], str(empty), out=tmp_path / "out")
    assert caught.value.next and not (tmp_path / "out").exists()
    with pytest.raises(StoreError, match="no folder"):
        run_suite(name, arms["model"], str(tmp_path / "gone"), out=tmp_path / "out")


def test_a_dry_run_says_what_would_be_skipped(data, tmp_path):
    suite, corpus = prepare_suite("safety", data["safety"], tmp_path / "out")
    found = dry_suite(suite, corpus, ["reference"], [])
    lacking = {name for name, why in found["readings"].items() if why}
    assert lacking == {"toxicity", "near_trigger"} and found["parts"]["triggered"] == 40
    assert not any(dry_suite(suite, corpus, ["original"], ["toxicity"])["readings"].values())
    with pytest.raises(UnknownName, match="option of the data"):
        prepare_suite("tofu", data["tofu"], tmp_path / "out", options={"splt": "forget10"})
    assert list(tmp_path.iterdir()) == []


SUITE = '''"""Is it said? Source: a test."""
from expunge.core.suite import Part, Reading, Suite

said = Suite(
    name="said",
    version="1",
    question="Is it said?",
    source="a test",
    reader="records",
    layout="forget and retain",
    get="Make some",
    ethics="none",
    parts=(Part("forget", "forget"),),
    readings=(Reading("said", "Is it said?", "answer_said", "reference", "forget"),),
)
'''


def test_one_new_file_adds_a_suite(data, arms, tmp_path, monkeypatch):
    package = importlib.import_module("expunge.evaluation.suites")
    (tmp_path / "said.py").write_text(SUITE)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    try:
        assert "said" in registry.suites.names() and registry.suites.describe("said") == "Is it said? Source: a test."
        check_suite(registry.suites.get("said"))
        found = run_suite("said", arms["model"], data["privacy"], out=tmp_path / "out", draws=50)
        assert [row["n"] for row in found["rows"]] == [40]
        assert recompute(tmp_path / "out").same
    finally:
        sys.modules.pop("expunge.evaluation.suites.said", None)
        vars(package).pop("said", None)


@pytest.fixture
def stub(monkeypatch):
    """A module in the place of the evaluation harness."""
    package, models = ModuleType("lm_eval"), ModuleType("lm_eval.models.huggingface")
    asked = []

    def simple_evaluate(model, tasks, limit):
        asked.append((model, tasks, limit))
        results = {"alias": tasks[0], "acc,none": 0.4, "acc_stderr,none": 0.1}
        return {"results": {tasks[0]: results}, "n-samples": {tasks[0]: {"original": 30, "effective": 25}}}

    package.simple_evaluate = simple_evaluate
    models.HFLM = lambda pretrained, tokenizer: (pretrained, tokenizer)
    known = ModuleType("lm_eval.tasks")
    known.TaskManager = lambda: SimpleNamespace(all_tasks=["mmlu", "bbq"])
    parts = (package, ModuleType("lm_eval.models"), models, known)
    for name, module in ((part.__name__, part) for part in parts):
        monkeypatch.setitem(sys.modules, name, module)
    return asked


def test_a_task_of_the_harness_is_a_row_with_its_interval(stub, data, arms, tmp_path):
    found = run("rwku", data, tmp_path / "out", {"model": arms["model"]}, tasks=["mmlu"])
    [row] = found["tasks"].values()
    assert row["n"] == 25 and row["value"] == 0.4 and row["measure"] == "acc,none"
    assert row["low"] == pytest.approx(0.4 - 1.6449 * 0.1, abs=1e-4)
    assert stub[0][0] == (arms["model"].model, arms["model"].tokenizer)
    assert "task mmlu: 0.400 (n 25)" in (tmp_path / "out/table.txt").read_text()
    with pytest.raises(EvidenceError, match="no number for the task other"):
        harness._row("other", {"alias": "other"}, {}, 0.9)


def test_of_a_task_about_bias_the_bias_is_read():
    crows = {"likelihood_diff,none": 3.2, "likelihood_diff_stderr,none": 0.1, "pct_stereotype,none": 0.6}
    assert harness._row("crows_pairs_english", crows, {}, 0.9)["measure"] == "pct_stereotype,none"
    assert harness._row("bbq", {"acc,none": 0.4, "amb_bias_score,none": 0.1}, {}, 0.9)["value"] == 0.1


def test_a_task_that_is_not_known_or_that_fails_is_an_error_of_ours(stub, data, arms, tmp_path, monkeypatch):
    with pytest.raises(UnknownName, match="Did you mean 'mmlu'"):
        run("rwku", data, tmp_path / "out", arms, tasks=["mmlo"])
    assert not stub and list(tmp_path.iterdir()) == []

    def unreachable(**_more):
        raise ConnectionError("no route")

    monkeypatch.setattr(sys.modules["lm_eval"], "simple_evaluate", unreachable)
    with pytest.raises(EvidenceError, match=r"gave up on mmlu.*no route"):
        run("rwku", data, tmp_path / "out", {"model": arms["model"]}, tasks=["mmlu"])


def test_without_the_harness_its_extra_is_named_before_anything_is_measured(data, arms, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtra, match=r"expunge\[evalharness\]"):
        run("rwku", data, tmp_path / "out", arms, tasks=["mmlu"])
    assert list(tmp_path.iterdir()) == []


def test_over_runs_the_change_is_paired_and_sizes_are_ordered(data, arms, tmp_path):
    small = write_published("muse", tmp_path / "small")
    half = [json.loads(line) for line in (small / "knowmem/forget_qa.jsonl").read_text().splitlines()][:20]
    (small / "knowmem/forget_qa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in half))
    corpus = read_corpus(registry.suites.get("muse"), data["muse"], {})
    knowing = Answering(arms["model"], {e.question: e.answer for e in corpus.of("retain")})
    run("muse", data, tmp_path / "b", {"model": arms["reference"]})
    run("muse", {"muse": str(small)}, tmp_path / "a", {"model": knowing})
    found = across_runs([tmp_path / "b", tmp_path / "a"], "sizes")
    assert found["criterion"] == "scalability" and found["steps"] == [100, 120]
    rows = {row["name"]: row for row in found["rows"]}
    assert [v["value"] for v in rows["utility"]["values"]] == [1.0, 0.0] and rows["utility"]["change"]["high"] == -1.0
    assert "not about the same records" in rows["knowledge"]["change"]["skipped"]
    assert "give a reference" in rows["privleak"]["values"][0]["skipped"]
    assert "utility" in across_text(found) and "change -1.000" in across_text(found)
    for place, judged in (("c", "model"), ("d", "second")):
        run("muse", data, tmp_path / place, {"model": arms[judged], "reference": arms["reference"]})
    both = across_runs([tmp_path / "c", tmp_path / "d"], "requests")
    leak = next(row for row in both["rows"] if row["name"] == "privleak")
    before, after = (value["value"] for value in leak["values"])
    assert leak["change"]["value"] == pytest.approx(after - before) and before != after
    order = across_runs([tmp_path / "b", tmp_path / "a"], "requests")
    assert order["criterion"] == "sustainability" and order["rows"][0]["change"]["value"] == 1.0
    with pytest.raises(ConfigError, match="nothing to compare"):
        across_runs([tmp_path / "a"], "sizes")


def test_a_run_that_is_killed_lists_its_tables_and_the_same_command_continues(data, arms, tmp_path, monkeypatch):
    out, only = tmp_path / "out", {"model": arms["model"]}
    (out / ".scores.part-old").mkdir(parents=True)
    (out / ".scores.part-old" / "half").write_text("half")

    def killed(*_args, **_more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("expunge.workflow.suite_run.write_suite", killed)
        run("rwku", data, out, only)
    listed = {e.path for e in Manifest.read(out).entries if e.contains_personal_data}
    there = {path.relative_to(out).as_posix() for path in (out / "scores").rglob("*") if path.is_file()}
    assert there and there <= listed and not Manifest.read(out).changed(out)
    assert not (out / ".scores.part-old").exists()
    run("rwku", data, out, only)
    assert recompute(out).same and not Manifest.read(out).changed(out)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("expunge.workflow.suite_run.write_text", killed)
        run("rwku", data, out, {"model": arms["reference"]})
    with pytest.raises(StoreError, match="holds no findings"):
        recompute(out)


def with_budget(name, attack, **fields):
    """The suite as it would be if its criterion on an attack said something else."""
    suite = registry.suites.get(name)
    assert suite.policy is not None
    criteria = (replace(c, **fields) if c.attack == attack else c for c in suite.policy.criteria)
    return replace(suite, policy=replace(suite.policy, criteria=tuple(criteria)))


def test_the_criterion_s_budget_wins_and_another_is_refused_before_anything_is_written(data, arms, tmp_path):
    suite = registry.suites.get("privacy")
    assert attacks_of(suite)["relearning"][0] == attacks_of(suite, "quick")["relearning"][0] == "quick"
    with pytest.raises(ConfigError, match="judges relearning at the quick budget"):
        run("privacy", data, tmp_path / "out", {"model": arms["model"]}, budget="full")
    full = with_budget("privacy", "relearning", budget="full")
    assert attacks_of(full)["relearning"] == ("full", at_budget(relearning, "full")) != attacks_of(suite)["relearning"]
    both = attacks_of(full, "full"), attacks_of(full)
    assert both[0]["relearning"] == both[1]["relearning"], "asked for what the criterion says"
    assert [found["sampling_leak"][0] for found in both] == ["full", "quick"], "no criterion is about it"
    with pytest.raises(ConfigError, match="judges relearning at the full budget"):
        prepare_suite(full, data["privacy"], tmp_path / "out", budget="quick")
    assert list(tmp_path.iterdir()) == []


def test_a_budget_that_changes_no_judged_attack_is_for_the_others(data):
    suite = registry.suites.get("rwku")
    assert "full" not in vars(type(registry.attacks.get("quantisation_4bit")))
    assert attacks_of(suite, "full") == attacks_of(suite)
    assert stated_attacks(suite, "full")["quantisation_4bit"]["budget"] == "quick"
    free = replace(registry.suites.get("privacy"), policy=None)
    assert stated_attacks(free, "full")["relearning"]["budget"] == "full"
    assert stated_attacks(free)["relearning"]["budget"] == "quick"


def test_an_attack_that_is_not_the_pinned_one_is_refused(data, arms, tmp_path):
    right = attacks_of(registry.suites.get("privacy"))["relearning"][1].digest()
    assert attacks_of(with_budget("privacy", "relearning", settings=right))["relearning"][1].digest() == right
    wrong = with_budget("privacy", "relearning", settings="sha256:" + "0" * 64)
    with pytest.raises(EvidenceError, match="not the attack that the suite privacy asks for"):
        run_suite(wrong, arms["model"], data["privacy"], out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_findings_state_what_attacked_and_a_table_of_another_budget_judges_nothing(data, arms, tmp_path, monkeypatch):
    out = tmp_path / "out"
    found = run("rwku", data, out, {who: arms[who] for who in ("model", "reference", "original")})
    attack = registry.attacks.get("quantisation_4bit")
    made = {"attack": "quantisation_4bit", "budget": "quick", "settings": attack.digest()}
    assert found["run"]["attacks"] == {"quantisation_4bit": made}
    kept = json.loads((out / "conclusion.json").read_text())
    assert kept["attacks"] == found["run"]["attacks"]
    for name, other in (("budget", "full"), ("settings", "sha256:" + "0" * 64)):
        suite = (
            registry.suites.get("rwku")
            if name == "budget"
            else with_budget("rwku", "quantisation_4bit", settings=attack.digest())
        )
        cached = {**kept, "attacks": {"quantisation_4bit": {**made, name: other}}}
        cached["suite"] = {**kept["suite"], "digest": digest(suite)}
        again = write_suite(out, cached, tmp_path, suite=suite)
        [row] = [row for row in again["rows"] if row["name"] == "quantisation_4bit"]
        assert "run the suite again" in row["skipped"] and "value" not in row
        assert any(
            f["criterion"] == "quantisation_4bit" and f["status"] == "inconclusive"
            for f in again["verdict"]["findings"]
        )
    earlier = {k: v for k, v in kept.items() if k != "attacks"} | {"budget": "quick"}
    assert write_suite(out, earlier, tmp_path)["rows"] == found["rows"], "a run of an earlier version is read as it was"
    assert "skipped" in write_suite(out, {**earlier, "budget": "full"}, tmp_path)["rows"][-1]

    over = replace(registry.suites.get("rwku"), across=("quantisation_4bit",))
    monkeypatch.setattr("expunge.workflow.suite_run.find_suite", lambda name: over)
    for place, settings in (("a", made["settings"]), ("b", "sha256:" + "0" * 64)):
        shutil.copytree(out, tmp_path / place)
        about = {
            "suite": {**kept["suite"], "digest": digest(over)},
            "attacks": {"quantisation_4bit": {**made, "settings": settings}},
        }
        (tmp_path / place / "conclusion.json").write_text(json.dumps({**kept, **about}))
    with pytest.raises(EvidenceError, match="attacked with different settings"):
        across_runs([tmp_path / "a", tmp_path / "b"], "requests")
    assert across_runs([tmp_path / "a", tmp_path / "a"], "requests")["rows"][0]["change"]["value"] == 0.0


def test_what_rwku_lacks_is_named_with_the_way_to_get_it(arms, tmp_path):
    folder = write_published("rwku", tmp_path / "data")
    for name in ("mia_forget", "utility_general"):
        (folder / f"{name}.json").unlink()
    found = run_suite("rwku", arms["model"], str(folder), out=tmp_path / "out", options={"people": 6}, draws=50)
    why = {row["name"]: row.get("skipped", "") for row in found["rows"]}
    for name in ("text_loss", "text_min_k_plus_plus", "mmlu"):
        assert "the data holds no records for" in why[name] and "Download jinzhuoran/RWKU" in why[name]
    assert not any(why[name] for name in ("cloze", "text_kept_loss", "truthfulqa", "triviaqa", "bbh", "fluency"))
    assert found["records"]["triviaqa"]["n"] == 60
    assert next(row["n"] for row in found["rows"] if row["name"] == "triviaqa") == 30, "the better of two answers"
    texts = (tmp_path / "out/suite.json").read_text() + (tmp_path / "out/table.txt").read_text()
    assert "Nobody" not in texts
