"""Every suite says what it asks, reads and needs; what it finds follows from its tables."""

from dataclasses import replace

import numpy as np
import pytest

from expunge.core import registry
from expunge.core.errors import UnknownName
from expunge.core.suite import Part, Reading, Suite
from expunge.evaluation.suite_findings import Findings, Measured, suite_findings
from expunge.evaluation.suite_table import suite_text
from expunge.testing.suite_contract import check_suite


@pytest.mark.parametrize("name", registry.suites.names())
def test_every_suite_keeps_its_contract(name):
    suite = registry.suites.get(name)
    assert suite.name == name
    check_suite(suite)


BROKEN = {
    "a part that is not there": {"readings": (Reading("a", "Why?", "rouge_l", "higher", "nowhere"),)},
    "a comparison of no reading": {"across": ("nothing",)},
    "utility of no part": {"utility": (("nowhere", "rouge_l"),)},
}


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN)
def test_a_suite_that_names_what_is_not_there_is_refused(fields):
    with pytest.raises(UnknownName, match="in the suite privacy"):
        replace(registry.suites.get("privacy"), **fields)


WRONG = {
    "asks nothing": Reading("a", "Why", "rouge_l", "higher", "forget"),
    "is a statistic": Reading("a", "Why?", "min_k_auc", "higher", "forget"),
    "probes nothing": Reading("a", "Why?", "relearning", "higher"),
    "give a part": Reading("a", "Why?", "rouge_l", "higher"),
    "does not read": Reading("a", "Why?", "min_k_auc", "higher", roles={"retain": "retain"}),
}


@pytest.mark.parametrize(("said", "reading"), WRONG.items(), ids=WRONG)
def test_the_contract_catches_a_reading_that_is_wrong(said, reading):
    with pytest.raises(AssertionError, match=said):
        check_suite(replace(registry.suites.get("privacy"), readings=(reading,), policy=None, across=()))


def table(values, column="answer_said", ids=None, **more):
    ids = ids or [f"r{i}" for i in range(len(values))]
    return {"ids": ids, "subjects": [f"s{i}" for i in range(len(values))], column: np.array(values, float), **more}


ONE = Suite(
    name="one",
    version="1",
    question="Is it said?",
    source="a test",
    reader="records",
    layout="any",
    get="Make some",
    ethics="none",
    parts=(Part("forget", "forget", grouped=True), Part("before", "forget")),
    readings=(Reading("said", "Is it said?", "answer_said", "reference", "forget", known="before"),),
)


def test_any_wording_and_all_questions_count_and_only_what_the_original_knew():
    ids = ["a|0", "a|1", "b&0", "b&1", "c", "d"]
    tests = {who: table([0, 1, 1, 0, 1, 0], ids=ids) for who in ("model", "original")}
    conditions = ["a?0", "b?0", "b?1", "c?0"]
    tables = {
        "model": {"forget": tests["model"], "before": table([0, 0, 0, 0], ids=conditions)},
        "original": {"forget": tests["original"], "before": table([1, 1, 1, 0], ids=conditions)},
    }
    [row] = suite_findings(Measured(ONE, tables, draws=50))["rows"]
    assert row["n"] == 3, "the original did not know what c builds on; nothing is asked before d"
    assert row["value"] == pytest.approx(1 / 3), "a by one wording; b not, for one of its questions; d not"
    tables["original"]["before"] = table([1, 1, 0, 0], ids=conditions)
    assert suite_findings(Measured(ONE, tables, draws=50))["rows"][0]["n"] == 2, "b needs both of its parts"


def test_without_the_original_what_it_decides_is_skipped_by_name():
    tables = {"model": {"forget": table([1.0]), "before": table([1.0], ids=["r0?0"])}}
    found = suite_findings(Measured(ONE, tables))
    assert found["rows"][0]["skipped"].startswith("the original decides which questions count")
    assert "said: the original decides" in suite_text(found)


def rising(low, high, n=40):
    return table(np.linspace(low, high, n), "min_k")


def test_an_auc_reads_the_parts_that_play_its_roles_and_the_reference_stands_beside_it():
    reading = Reading("told", "Is it told?", "min_k", "reference", roles={"forget": "forget", "holdout": "before"})
    suite = replace(ONE, parts=(Part("forget", "forget"), Part("before", "holdout")), readings=(reading,))
    knows = {"forget": rising(-1, 0), "before": rising(-3, -2)}
    never = {"forget": rising(-2, -1), "before": rising(-2, -1)}
    found = suite_findings(Measured(suite, {"model": knows, "reference": never}, draws=100))["rows"][0]
    assert (found["value"], found["reference"]["value"], found["difference"]["value"]) == (1.0, 0.5, 0.5)
    assert found["difference"]["low"] > 0.3 and (found["n"], found["groups"]) == (80, 80)
    assert "give the original" in found["original"]["skipped"]


def test_the_verdict_goes_through_the_policy_and_a_knowing_model_fails():
    privacy = registry.suites.get("privacy")
    criterion = next(c for c in privacy.policy.criteria if c.attack == "min_k_auc")
    policy = replace(privacy.policy, criteria=(criterion,), detectors=())
    suite = replace(privacy, policy=policy, utility=(("retain", "rouge_l"),))
    kept = table(np.full(40, 0.9), "rouge_l")
    knows = {"forget": rising(-1, 0), "holdout": rising(-3, -2), "retain": kept}
    never = {"forget": rising(-2, -1), "holdout": rising(-2, -1), "retain": kept}
    arms = {"reference": never, "original": knows}
    verdicts = {
        who: suite_findings(Measured(suite, {"model": mine, **arms}, draws=400))["verdict"]
        for who, mine in (("forgot", never), ("knows", knows))
    }
    assert {who: v["status"] for who, v in verdicts.items()} == {"forgot": "earned", "knows": "failed"}
    broken = {**never, "retain": table(np.full(40, 0.3), "rouge_l")}
    lost = suite_findings(Measured(suite, {"model": broken, **arms}, draws=400))["verdict"]
    assert lost["status"] == "failed" and "utility" in {f["criterion"] for f in lost["findings"]}
    alone = suite_findings(Measured(suite, {"model": never}, draws=50))["verdict"]
    assert alone["status"] == "inconclusive" and "give a reference" in alone["findings"][0]["reason"]


def kept_in(before, now, score="rouge_l", **more):
    """A suite with two parts of utility, of which one changes."""
    parts = (Part("forget", "forget"), Part("first", "retain"), Part("other", "general"))
    readings = (Reading("said", "Is it said?", score, "reference", "forget"),)
    suite = replace(ONE, parts=parts, readings=readings, utility=(("first", score), ("other", score)))
    steady = table(np.full(40, 0.9), score)
    tables = {
        who: {"forget": steady, "first": steady, "other": table(np.full(40, value), score, **more)}
        for who, value in (("original", before), ("model", now))
    }
    return Findings(Measured(suite, tables, draws=100))


def test_a_component_at_chance_is_no_utility():
    assert kept_in(0.4, 0.4).components() == (("first", "rouge_l"), ("other", "rouge_l"))
    assert kept_in(0.08, 0.08).components() == (("first", "rouge_l"),), "common words alone give that much"
    texts = {"text": ["the same words"] * 40, "generated": ["the same words"] * 40}
    assert kept_in(0.9, 0.9, **texts).components() == (("first", "rouge_l"),), "any other answer would score as well"


def test_collapse_of_any_component_and_of_any_value_is_seen():
    assert kept_in(0.9, 0.8)._collapsed().fired is False
    assert kept_in(0.9, 0.3)._collapsed().fired is True, "the first component is as before"
    assert kept_in(0.9, np.where(np.arange(40) == 3, np.inf, 0.9))._collapsed().fired is True


def test_answers_that_the_log_probabilities_contradict_are_seen():
    suite = replace(ONE, parts=(Part("forget", "forget"),), readings=(), utility=())

    def disagreement(said):
        columns = {"token_hit": np.ones((40, 2)), "mask": np.ones((40, 2)), "text": ["in Oslo"] * 40}
        tables = {
            who: {"forget": table(np.ones(40), **columns, generated=[text] * 40)}
            for who, text in (("original", "in Oslo"), ("model", said))
        }
        found = {d.name: d for d in Findings(Measured(suite, tables, draws=50))._detect()}
        return found["disagreement"].fired

    assert disagreement("in Oslo") is False and disagreement("I do not know") is True


def test_a_margin_without_a_reason_breaks_the_contract():
    privacy = registry.suites.get("privacy")
    policy = replace(privacy.policy, criteria=tuple(replace(c, why="") for c in privacy.policy.criteria))
    with pytest.raises(AssertionError, match="no reason for its margin"):
        check_suite(replace(privacy, policy=policy))


def test_a_policy_that_a_filter_earns_breaks_the_contract():
    privacy = registry.suites.get("privacy")
    policy = replace(privacy.policy, detectors=("no_op", "collapse", "gibberish", "refusal"))
    with pytest.raises(AssertionError, match="a filter earns its policy"):
        check_suite(replace(privacy, policy=policy))


def test_a_reading_by_subgroup_holds_its_groups_its_gap_and_what_is_left_less_the_reference():
    reading = Reading("said", "Is it said?", "answer_said", "reference", "forget")
    suite = replace(ONE, parts=(Part("forget", "forget"),), readings=(reading,))
    ages = ["old"] * 6 + ["young"] * 6
    knows = {"forget": table([0] * 6 + [1] * 6, subgroups=ages)}
    never = {"forget": table([0] * 6 + [0.5] * 6, subgroups=ages)}
    found = suite_findings(Measured(suite, {"model": knows, "reference": never}, draws=50))
    [entry] = found["rows"][0]["subgroups"]
    assert entry["by"] == "subgroup" and {name: cell["value"] for name, cell in entry["groups"].items()} == {
        "old": 0.0,
        "young": 1.0,
    }
    assert (entry["gap"]["value"], entry["less"]["gap"]["value"]) == (1.0, 0.5)
    text = suite_text(found)
    assert "  said by subgroup: largest gap 1.000 [1.000, 1.000], young above old\n" in text
    assert "    less the reference's: largest gap 0.500 [0.500, 0.500], young above old\n" in text
    assert "    young: 1.000 [1.000, 1.000] (6 records, 6 subjects)\n" in text
    plainly = {"model": {"forget": table([0, 1])}}
    assert "subgroup" not in suite_text(suite_findings(Measured(suite, plainly, draws=50)))


def test_an_item_of_several_wordings_is_in_the_group_of_its_records():
    suite = replace(ONE, readings=(replace(ONE.readings[0], known=""),))
    ids = [f"q{i}|{k}" for i in range(12) for k in range(2)]
    values = [float(i >= 6 and k) for i in range(12) for k in range(2)]
    ages = [("old", "young")[i >= 6] for i in range(12) for _ in range(2)]
    [row] = suite_findings(Measured(suite, {"model": {"forget": table(values, ids=ids, subgroups=ages)}}, draws=50))[
        "rows"
    ]
    assert row["n"] == 12 and row["subgroups"][0]["groups"]["young"]["n"] == 6
    assert row["subgroups"][0]["gap"]["value"] == 1.0
