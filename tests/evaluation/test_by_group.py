"""Utility and forgetting by group: each group against its own, gaps that chance does not make, small groups named."""

import numpy as np
import pytest

from expunge.core.errors import ConfigError, EvidenceError
from expunge.evaluation.by_group import Answers, by_group

SEX = {"sex": ["f"] * 60 + ["m"] * 60}


def answers(right, losses, groups=SEX, **more):
    right = np.asarray(right)
    return Answers(np.where(right, 1, 0), np.ones(len(right), int), losses, groups, **more)


def found(entries, score, by="sex"):
    return next(one for one in entries if (one["by"], one["score"]) == (by, score))


def test_accuracy_is_of_unseen_rows_and_forgetting_of_both():
    rng = np.random.default_rng(1)
    losses = rng.exponential(size=120)
    members = answers(np.zeros(120), np.where(np.arange(120) < 60, losses / 8, losses))
    unseen = answers([1, 1, 1, 0] * 15 + [1, 0] * 30, rng.exponential(size=120))
    entries = by_group(members, unseen, seed=2)
    accuracy, auc = found(entries, "accuracy"), found(entries, "membership_auc")
    assert [accuracy["groups"][name]["value"] for name in "fm"] == [0.75, 0.5]
    assert accuracy["gap"]["value"] == 0.25 and accuracy["gap"]["between"] == ["f", "m"]
    assert accuracy["groups"]["f"]["n"] == 60 and auc["groups"]["f"]["n"] == 120
    assert auc["groups"]["f"]["low"] > 0.7 and auc["groups"]["m"]["low"] < 0.5 < auc["groups"]["m"]["high"]
    assert auc["gap"]["low"] > 0 and (accuracy["gap"]["n"], auc["gap"]["n"], auc["gap"]["groups"]) == (120, 240, 240)


def test_a_group_that_is_hard_by_itself_does_not_pass_for_forgotten():
    rng = np.random.default_rng(4)
    hard = np.where(np.arange(120) < 60, 10.0, 1.0)
    entries = by_group(*(answers(np.ones(120), hard * rng.exponential(size=120)) for _ in range(2)), seed=3)
    auc = found(entries, "membership_auc")
    assert all(one["low"] < 0.5 < one["high"] for one in auc["groups"].values()) and auc["gap"]["low"] == 0


def test_groups_that_differ_by_chance_alone_show_a_gap_as_seldom_as_stated():
    shown = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = answers(rng.random(120) < 0.7, rng.exponential(size=120))
        shown += found(by_group(rows, rows, seed=seed, draws=200), "accuracy")["gap"]["low"] > 0
    assert shown <= 9  # of 40 at a level of 0.9: more with probability 0.005


def test_a_small_group_is_named_and_has_no_number():
    groups = {"race": ["a"] * 50 + ["b"] * 51 + ["c"] * 19}
    rows = answers([1, 0] * 60, np.linspace(0, 1, 120), groups)
    entry = found(by_group(rows, rows, seed=5), "accuracy", "race")
    assert entry["inconclusive"] == ["c"] and entry["groups"]["c"]["value"] is None
    assert entry["groups"]["c"]["reason"] == "inconclusive: 19 people" and entry["groups"]["c"]["n"] == 19
    assert set(entry["gap"]["between"]) <= {"a", "b"} and "c" in entry["gap"]["reason"]
    alone = answers([1, 0] * 60, np.linspace(0, 1, 120), {"race": ["a"] * 110 + ["b"] * 10})
    assert found(by_group(alone, alone), "accuracy", "race")["gap"]["value"] is None


def test_a_group_on_one_side_only_is_inconclusive_there():
    members = answers(np.ones(120), np.ones(120), {"sex": ["f"] * 120})
    entries = by_group(members, answers([1, 0] * 60, np.ones(120)))
    assert found(entries, "accuracy")["inconclusive"] == []
    assert found(entries, "membership_auc")["inconclusive"] == ["m"]


def test_people_are_resampled_with_all_their_rows():
    right = np.repeat(np.random.default_rng(6).random(30) < 0.5, 4)
    apart, together = (
        found(by_group(rows, rows), "accuracy")["groups"]["f"]
        for rows in (
            answers(right, np.ones(120)),
            answers(right, np.ones(120), {"sex": ["f"] * 120}, people=np.repeat(np.arange(30).astype(str), 4)),
        )
    )
    assert together["groups"] == 30 and together["high"] - together["low"] > apart["high"] - apart["low"]


def test_what_is_all_alike_has_the_exact_interval():
    rows = answers(np.ones(120), np.ones(120))
    one = found(by_group(rows, rows), "accuracy")["groups"]["f"]
    assert (one["value"], one["high"]) == (1.0, 1.0) and one["low"] == pytest.approx(0.05 ** (1 / 60))


def test_beside_another_model_what_both_share_cancels():
    rng = np.random.default_rng(7)
    plain = answers(np.ones(120), rng.exponential(size=120))
    private = answers([1] * 60 + [1, 0] * 30, plain.losses)
    less = found(by_group(private, private, against=(plain, plain)), "accuracy")["less"]
    assert [less["groups"][name]["value"] for name in "fm"] == [0.0, -0.5]
    assert less["gap"]["low"] > 0 and less["gap"]["between"] == ["f", "m"]
    same = found(by_group(plain, plain, against=(plain, plain)), "membership_auc")["less"]
    assert same["groups"]["m"]["value"] == 0 == same["groups"]["m"]["high"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: answers([1, 0], [0.5, 0.5]),
        lambda: answers(np.ones(120), [np.nan] * 120),
        lambda: by_group(answers(np.ones(120), np.ones(120)), answers([1], [1.0], {"race": ["a"]})),
        lambda: by_group(*[answers(np.ones(120), np.ones(120), people=["x"] * 120)] * 2),
        lambda: by_group(
            *[answers(np.ones(120), np.ones(120))] * 2, against=(answers([1], [1.0], {"sex": ["f"]}),) * 2
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(call):
    with pytest.raises(EvidenceError):
        call()


def test_too_few_people_for_any_interval_cannot_be_asked_for():
    rows = answers(np.ones(120), np.ones(120))
    with pytest.raises(ConfigError, match="no interval"):
        by_group(rows, rows, fewest=4)
