"""Statistics by subgroup: those of each group's records against all that they are told from."""

import numpy as np
import pytest

from expunge.core.measure import Statistic
from expunge.core.registry import metrics
from expunge.evaluation.attacking import membership_auc, outcome_auc
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem
from expunge.evaluation.subgroup_statistics import Splittable, split_role, statistic_subgroups, told_statistics
from expunge.metrics._resamples import ks_distance, rank_auc

NAMES = {"model": "model", "reference": "reference", "second": "second", "original": "original"}
CONTROL = {"model": "reference"}


def role(rng, name, people, bands, shift=0.0):
    ids = [f"{name} {i:03d}" for i in range(2 * people)]
    subjects = [f"{name} {i // 2:03d}" for i in range(2 * people)]
    bands = [bands[i // 2 % len(bands)] for i in range(2 * people)]
    scores = {n: rng.normal(size=2 * people) + shift * (np.array(bands) == "old") for n in ("min_k", "loss")}
    scores |= {n: rng.random(2 * people) for n in ("truth_ratio", "probability", "logit_confidence", "rouge_l")}
    return {"ids": ids, "subjects": subjects, "subgroups": bands, **scores}


def shadows(rng, people):
    """Four models, of which two were trained on each record."""
    found = {name: [role(rng, name, count, [""]) for _ in range(4)] for name, count in people.items()}
    for tables in found.values():
        for number, table in enumerate(tables):
            del table["subgroups"]
            table["member"] = (np.arange(len(table["ids"])) + number) % 2
    return found


def cast(shift=3.0, people=24, draws=400):
    rng = np.random.default_rng(7)
    tables = {
        who: {
            "forget": role(rng, "forget", people, ["old", "young"], shift if who == "model" else 0.0),
            "holdout": role(rng, "holdout", 20, [""]),
            "neighbour": role(rng, "near", 14, ["old", "young"]),
        }
        for who in NAMES
    }
    tables["shadows"] = shadows(rng, {"forget": people, "holdout": 20})
    for table in (tables[who]["forget"] for who in NAMES):
        table |= {"subsets": ["triggered"] * 2 * people, "answer_said": np.arange(2 * people) % 3 == 0}
    return Cast(PerItem(tables), NAMES, 0.9, draws, 0)


def asked(name, control=None):
    statistic = metrics.get(name)
    return Splittable(statistic, split_role(statistic), name, control)


def test_an_auc_is_that_of_the_groups_records_against_all_never_seen_ones_and_its_gap_is_found():
    given = cast()
    one = Splittable(membership_auc("loss"), "forget", "loss_auc", CONTROL)
    found = statistic_subgroups(given, Splittable(one.statistic, "forget", "loss_auc"), by="subgroup")
    tables = given.items.tables["model"]
    forget, never = tables["forget"], tables["holdout"]["loss"]
    for band in ("old", "young"):
        own = forget["loss"][np.array(forget["subgroups"]) == band]
        assert found.groups[band].value == pytest.approx(float(rank_auc(own, never, np.ones(24), np.ones(40))))
        assert (found.groups[band].n, found.groups[band].groups) == (24, 12)
        assert found.groups[band].low < found.groups[band].value < found.groups[band].high
    assert found.between == ("old", "young") and found.gap.low > 0.2 and found.gap.n == 48
    even = statistic_subgroups(cast(shift=0.0), Splittable(one.statistic, "forget", "loss_auc"), by="subgroup")
    assert even.gap.low == 0.0, "chance alone makes no gap"
    entry = told_statistics(given, [one])[0]
    values = {band: float(cell["value"]) for band, cell in entry["less"]["groups"].items()}
    control = statistic_subgroups(
        Cast(given.items, {**NAMES, "model": "reference"}, 0.9, 50, 0),
        Splittable(one.statistic, "forget", "x"),
        by="subgroup",
    )
    assert values == pytest.approx({b: found.groups[b].value - control.groups[b].value for b in values})


def test_a_distance_to_the_reference_is_split_in_both_models():
    given = cast()
    found = statistic_subgroups(given, asked("forget_quality"), by="subgroup")
    two = [given.items.tables[who]["forget"]["truth_ratio"] for who in ("model", "reference")]
    old = np.array(given.items.tables["model"]["forget"]["subgroups"]) == "old"
    ones = np.ones(24)
    assert found.groups["old"].value == pytest.approx(float(ks_distance(two[0][old], two[1][old], ones, ones)))


@pytest.mark.parametrize(
    "name",
    [
        "privleak",
        "reference_auc",
        "rmia",
        "min_k_auc",
        "forget_quality",
        "neighbour_retention",
        "backdoor_success",
        "lira",
        "rmia_shadows",
        "min_k_tpr_1",
    ],
)
def test_every_statistic_that_the_tables_allow_is_told_with_an_interval_of_its_largest_gap(name):
    told = told_statistics(cast(), [asked(name)])
    assert [one["by"] for one in told] == ["subgroup"] and set(told[0]["groups"]) == {"old", "young"}
    gap = told[0]["gap"]
    assert 0 <= gap["low"] <= gap["value"] <= gap["high"] and gap["reason"] == ""


def test_an_attacks_never_seen_rows_are_in_every_group_and_are_none_themselves():
    rng = np.random.default_rng(1)
    probed = role(rng, "forget", 12, ["old", "young"])
    ids = probed["ids"] + [f"never {i}" for i in range(10)]
    rows = {
        "ids": ids,
        "subjects": probed["subjects"] + ids[24:],
        "subgroups": probed["subgroups"] + ["elsewhere"] * 10,
    }
    rows |= {"outcome": np.r_[probed["loss"], rng.normal(size=10)], "unseen": np.r_[np.zeros(24), np.ones(10)]}
    given = Cast(PerItem({"model": {"gradient_norm": rows}}), NAMES, 0.9, 200, 0)
    found = statistic_subgroups(
        given, Splittable(outcome_auc("gradient_norm"), "gradient_norm", "outcome"), by="subgroup"
    )
    assert set(found.groups) == {"old", "young"} and found.groups["old"].n == 12
    old = rows["outcome"][:24][np.array(rows["subgroups"][:24]) == "old"]
    want = float(rank_auc(old, rows["outcome"][24:], np.ones(12), np.ones(10)))
    assert found.groups["old"].value == pytest.approx(want)


def test_a_statistic_without_weights_gives_the_interval_of_one_with_them():
    given = cast(people=12, draws=60)
    weighted = metrics.get("min_k_auc")
    plainly = Statistic("plainly", lambda scores: weighted.function(scores), weighted.needs, "reference")
    one, other = (
        statistic_subgroups(given, Splittable(each, "forget", "auc"), by="subgroup") for each in (weighted, plainly)
    )
    assert one.groups == other.groups and one.gap == other.gap


def test_a_statistic_over_several_roles_without_forgotten_records_is_not_split_nor_one_with_few_never_seen_people():
    keys = tuple(("model", name, "loss") for name in ("retain", "general"))
    assert split_role(Statistic("kept", lambda scores: 0.5, keys, "higher")) == ""
    assert split_role(metrics.get("model_utility")) == ""
    given = cast()
    for who in NAMES:
        given.items.tables[who]["holdout"]["subjects"] = ["one"] * 40
    assert told_statistics(given, [asked("min_k_auc")]) == []


def test_groups_that_would_give_somebody_away_are_not_told():
    rng = np.random.default_rng(2)
    tables = {
        "forget": role(rng, "forget", 12, ["old", "old", "old", "young"]),
        "holdout": role(rng, "holdout", 8, [""]),
    }
    told = told_statistics(Cast(PerItem({"model": tables}), NAMES, 0.9, 50, 0), [asked("min_k_auc")])
    assert told[0]["groups"] == {}, "an AUC is linear in the forgotten records: the total less one group is the other"
