"""What the report draws of items and steps: the numbers of the tables, in an order that names nobody."""

import json

import numpy as np
import pytest

from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem
from expunge.evaluation.report_data import budgets, item_scores, numbering, recovery, strips

PEOPLE = ["Zoe", "Ana", "Zoe", "Bo", "Ana", "Cy"]
IDS = [f"{name}-{k}" for k, name in enumerate(PEOPLE)]
LENGTHS = (2, 3, 4, 2, 3, 4)


def forget(level: float, seed: int) -> dict:
    draw = np.random.default_rng(seed)
    mask = (np.arange(4) < np.array(LENGTHS)[:, None]).astype(float)
    return {"ids": IDS, "subjects": PEOPLE, "mask": mask, "token_logp": -level * draw.uniform(0.5, 2, (6, 4)) * mask}


def relearned(level: float) -> dict:
    rows = {f"after_{k}": np.array([level * k / 20, level * k / 20 + 0.02]) for k in (0, 5, 20)}
    return {"ids": IDS[:2], "subjects": PEOPLE[:2], "outcome": rows["after_20"], **rows}


@pytest.fixture
def items():
    tables = {
        "original": {"forget": forget(0.1, 0), "relearning": relearned(0.9)},
        "reference": {"forget": forget(2.5, 1), "relearning": relearned(0.1)},
        "second": {"forget": forget(2.5, 2), "relearning": relearned(0.1)},
        "npo": {"forget": forget(2.0, 3), "relearning": relearned(0.2)},
        "box": {"forget": {"ids": IDS, "subjects": PEOPLE}},
    }
    return PerItem(tables)


def cast(items, model):
    return Cast(
        items, {"model": model, "reference": "reference", "second": "second", "original": "original"}, 0.9, 200, 0
    )


def probability(items, model, place):
    return items.values(model, "forget", "probability")[0][place]


def test_items_are_numbered_by_what_the_original_says(items):
    order = numbering(items)
    known = [probability(items, "original", place) for place in order]
    assert known == sorted(known, reverse=True)
    assert sorted(order) == list(range(6))


def test_scores_are_those_of_the_tables_in_that_order(items):
    found = item_scores(items, {"original": "original", "npo": "npo", "box": "box"})
    order = numbering(items)
    assert set(found["scores"]["probability"]) == {"original", "npo"}
    for key in ("original", "npo"):
        want = [probability(items, key, place) for place in order]
        assert found["scores"]["probability"][key] == pytest.approx(want, abs=0.005)
    assert "truth_ratio" not in found["scores"]


def test_people_are_numbered_and_one_person_has_one_number(items):
    found = item_scores(items, {"original": "original"})
    subjects = [items.subjects("forget")[place] for place in numbering(items)]
    assert found["people"][0] == 1
    assert len(set(zip(subjects, found["people"], strict=True))) == len(set(subjects)) == len(set(found["people"]))


def test_no_name_and_no_id_is_in_it(items):
    told = json.dumps(
        [item_scores(items, {"original": "original"}), strips(items, "npo"), recovery(cast(items, "npo"))]
    )
    assert not [word for word in (*IDS, *PEOPLE) if word in told]


def test_strips_hold_the_probabilities_of_the_scored_tokens(items):
    found, order = strips(items, "npo"), numbering(items)
    assert [strip["rank"] for strip in found] == ["highest", "middle", "lowest"]
    means = [np.exp(np.mean(np.log(np.maximum(strip["after"], 1e-4)))) for strip in found]
    assert means == sorted(means, reverse=True)
    for strip in found:
        place = order[strip["item"] - 1]
        length = LENGTHS[sorted(range(6), key=lambda k: IDS[k])[place]]
        assert {len(strip[part]) for part in ("before", "after", "retrained")} == {length}
        for part, model in (("before", "original"), ("after", "npo"), ("retrained", "reference")):
            want = np.exp(items.column(model, "forget", "token_logp")[place])[:length]
            assert strip[part] == pytest.approx(want, abs=0.005)


def test_one_item_alone_makes_one_strip():
    table = {"ids": ["a"], "subjects": ["x"], "mask": np.ones((1, 2)), "token_logp": -np.ones((1, 2))}
    alone = PerItem({name: {"forget": table} for name in ("original", "reference", "npo")})
    assert [strip["rank"] for strip in strips(alone, "npo")] == ["highest"]


def test_curves_have_the_means_of_the_rows_inside_their_intervals(items):
    found = recovery(cast(items, "npo"))
    assert [point["steps"] for point in found] == [0, 5, 20]
    assert [point["value"] for point in found] == pytest.approx([0.01, 0.06, 0.21])
    assert all(0 <= point["low"] <= point["value"] <= point["high"] <= 1 for point in found)


def test_what_was_not_measured_is_left_out(items):
    assert recovery(cast(items, "box")) == []
    assert strips(items, "box") == []
    assert item_scores(PerItem({"box": {"forget": {"ids": IDS, "subjects": PEOPLE}}}), {"box": "box"}) == {}


def test_numbers_of_any_size_can_be_written(items):
    items.tables["npo"]["forget"]["truth_ratio"] = np.array([np.inf, 0.0, np.nan, 1e-40, 1.234, 5e50])
    told = item_scores(items, {"original": "original", "npo": "npo"})["scores"]["truth_ratio"]["npo"]
    json.dumps(told, allow_nan=False)
    assert told.count(None) == 1
    assert max(v for v in told if v is not None) == 1e30


def test_only_columns_of_looks_are_budgets():
    assert budgets(["after_20", "after_", "outcome_after_3", "after_3x", "after_0"]) == [0, 20]
