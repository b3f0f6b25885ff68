"""Subgroups: means of the parts, a largest gap that chance alone does not make, and files that suffice for both."""

import numpy as np
import pytest

from expunge.core.errors import EvidenceError
from expunge.evaluation.per_item import PerItem, Unmeasured
from expunge.evaluation.subgroups import all_subgroups, lines, subgroups

KINDS = ("city", "pet", "work")


def table(values, people, **columns):
    count = len(values)
    ids = [f"r{i:04d}" for i in range(count)]
    subjects = [f"person {i * people // count:03d}" for i in range(count)]
    return {"ids": ids, "subjects": subjects, "probability": np.asarray(values, dtype=float), **columns}


def of_kinds(rng, people, shift=(0.0, 0.0, 0.0), *, shared=1.0):
    """One record a kind and person: what is the person's own cancels between kinds."""
    own = np.repeat(rng.normal(size=people), 3) * shared
    values = own + rng.normal(size=3 * people) * 0.5 + np.tile(shift, people)
    return table(values, people, relations=list(KINDS) * people)


def test_means_are_those_of_the_parts_and_the_gap_is_the_largest_difference():
    values = [0.1, 0.5, 0.9] * 6
    items = PerItem({"model": {"forget": table(values, 6, relations=list(KINDS) * 6)}})
    found = subgroups(items, "model", "forget", "probability", by="relation", draws=100)
    assert {name: (one.value, one.n, one.groups) for name, one in found.groups.items()} == {
        "city": (pytest.approx(0.1), 6, 6),
        "pet": (pytest.approx(0.5), 6, 6),
        "work": (pytest.approx(0.9), 6, 6),
    }
    assert (found.gap.value, found.gap.low, found.gap.high) == pytest.approx((0.8, 0.8, 0.8))
    assert found.between == ("work", "city") and found.gap.n == 18 and found.gap.groups == 6 and found.reason == ""


def test_any_grouping_of_subjects_and_any_column_of_an_attack():
    rng = np.random.default_rng(0)
    rows = {**table(rng.normal(size=24), 12), "outcome": np.repeat([0.0, 1.0], 12)}
    items = PerItem({"model": {"forget": of_kinds(rng, 8), "relearning": rows}})
    half = {f"person {i:03d}": "young" if i < 6 else "old" for i in range(12)}
    found = subgroups(items, "model", "relearning", "outcome", by=half, draws=100)
    assert found.gap.value == 1.0 and found.between == ("old", "young") and found.by == "group"
    by_relation = subgroups(items, "model", "relearning", "outcome", by="relation", draws=100)
    assert set(by_relation.groups) == set(KINDS), "an attack's rows are found in the tables that name groups"


def test_what_makes_a_group_easy_by_itself_cancels_against_a_model_that_never_knew():
    rng = np.random.default_rng(1)
    shift = (0.0, 2.0, 4.0)
    never = of_kinds(rng, 20, shift)
    judged = {**never, "probability": never["probability"] + rng.normal(size=60) * 0.1}
    items = PerItem({"model": {"forget": judged}, "reference": {"forget": never}})
    alone = subgroups(items, "model", "forget", "probability", by="relation", draws=300)
    beside = subgroups(items, "model", "forget", "probability", by="relation", against="reference", draws=300)
    assert alone.gap.low > 3.0 and beside.gap.high < 0.3


def test_the_interval_of_the_largest_gap_holds_the_true_one():
    """At level 0.9 a true gap of 0 is held in 0.910, one of 0.8 in 0.975 of 200 runs; of 1000 runs, 0.891 and 0.956.

    The plain interval of the pair that came out largest holds them in 0.718 and 0.875 of 1000 runs.
    """
    for shift, true in (((0.0, 0.0, 0.0), 0.0), ((0.0, 0.4, 0.8), 0.8)):
        held, runs = 0, 200
        for run in range(runs):
            items = PerItem({"model": {"forget": of_kinds(np.random.default_rng([2, run]), 24, shift)}})
            gap = subgroups(items, "model", "forget", "probability", by="relation", draws=200, seed=run).gap
            held += gap.low <= true <= gap.high
        assert held / runs > 0.87


def test_a_group_with_too_few_people_is_shown_and_not_compared():
    values = np.r_[np.zeros(10), np.ones(10), np.full(2, 9.0)]
    rows = table(values, 22, subsets=["a"] * 10 + ["b"] * 10 + ["c"] * 2)
    found = subgroups(PerItem({"model": {"retain": rows}}), "model", "retain", "probability", by="subset", draws=100)
    assert found.gap.value == 1.0 and found.gap.n == 20 and found.reason == "too few subjects in c"
    cells = found.cells()
    assert cells["groups"]["c"] == {"value": 9.0, "low": None, "high": None, "n": 2, "groups": 2, "reason": ""}
    assert cells["gap"]["between"] == ["b", "a"] and cells["gap"]["reason"] == found.reason
    assert lines([found]) == [
        "probability on retain by subset, model: largest gap 1.000 [1.000, 1.000], b above a (too few subjects in c)",
        "  a: 0.000 [0.000, 0.000] (10 records, 10 subjects)",
        "  b: 1.000 [1.000, 1.000] (10 records, 10 subjects)",
        "  c: 9.000, no interval (2 records, 2 subjects)",
    ]


def test_several_seeds_widen_the_interval():
    rng = np.random.default_rng(3)
    tables = [of_kinds(rng, 20, (0.0, 0.0, shift), shared=0.0) for shift in (0.0, 1.0, 2.0)]
    many = subgroups(PerItem({"model": {"forget": tables}}), "model", "forget", "probability", by="relation")
    one = subgroups(PerItem({"model": {"forget": tables[1]}}), "model", "forget", "probability", by="relation")
    assert many.gap.seeds == 3 and many.gap.high - many.gap.low > one.gap.high - one.gap.low


def test_what_cannot_be_grouped_is_said():
    items = PerItem({"model": {"forget": table(np.zeros(6), 6)}})
    with pytest.raises(Unmeasured, match="no score table names a relation"):
        subgroups(items, "model", "forget", "probability", by="relation")
    with pytest.raises(EvidenceError, match="1 records of forget are in no group"):
        subgroups(items, "model", "forget", "probability", by={f"r{i:04d}": "a" for i in range(5)})
    alone = subgroups(items, "model", "forget", "probability", by={f"r{i:04d}": "a" for i in range(6)}, draws=100)
    assert alone.gap is None and alone.reason == "there is one group" and "no gap" in lines([alone])[0]
    wanted = [("forget", "probability"), ("retain", "probability")]
    assert [
        one.role
        for one in all_subgroups(
            items,
            "model",
            wanted,
            by={"person 000": "a"} | dict.fromkeys([f"r{i:04d}" for i in range(6)], "b"),
            draws=100,
        )
    ] == ["forget"]
