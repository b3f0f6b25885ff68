"""What a public file shows of groups gives away no mean of fewer than five people, not by subtraction either."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.evaluation.per_item import PerItem
from expunge.evaluation.subgroups import subgroups, told_subgroups
from expunge.evaluation.withheld import withheld

FEWEST = 5


def items(**columns):
    """A record a person, with a score that no two share."""
    count = len(next(iter(columns.values())))
    names = [f"r{i:03d}" for i in range(count)]
    values = np.random.default_rng(0).random(count)
    return PerItem({"model": {"forget": {"ids": names, "subjects": names, "probability": values, **columns}}}), values


def told(found, by):
    """Sums and numbers of records by group, as a reader of the file has them."""
    cells = next((one for one in found if one["by"] == by), {"groups": {}})["groups"]
    return {name: (cell["value"] * cell["n"], cell["n"]) for name, cell in cells.items()}


def test_the_mean_of_two_people_cannot_be_had_from_the_total_less_the_other_groups():
    given_items, values = items(subgroups=["old"] * 14 + ["young"] * 6 + ["child"] * 2)
    shown = told(told_subgroups(given_items, "model", [("forget", "probability")], draws=50), "subgroup")
    total, count = values.sum() - sum(part for part, _ in shown.values()), 22 - sum(n for _, n in shown.values())
    assert list(shown) == ["old"] and count == 8
    assert total / count == pytest.approx(values[14:].mean()) != pytest.approx(values[20:].mean())
    found = subgroups(given_items, "model", "forget", "probability", by="subgroup", draws=50)
    assert found.gap is None, "a gap beside one mean would give the other"
    assert found.reason == "1 of 3 groups has too few subjects and 1 more would give away the mean of a few"


def test_nor_from_two_groups_of_which_one_holds_the_other():
    ages = ["old"] * 12 + ["young"] * 12
    given_items, _ = items(subgroups=ages, subsets=["a"] * 10 + ["b"] * 14)
    found = told_subgroups(given_items, "model", [("forget", "probability")], draws=50)
    alone = told_subgroups(items(subgroups=ages)[0], "model", [("forget", "probability")], draws=50)
    assert set(told(alone, "subgroup")) == {"old", "young"}
    both = {by: set(told(found, by)) for by in ("subgroup", "subset")}
    assert not ({"old"} <= both["subgroup"] and {"a"} <= both["subset"]), "two people are in old and not in a"
    assert not ({"young"} <= both["subgroup"] and {"b"} <= both["subset"])
    assert both != {"subgroup": set(), "subset": set()}


names = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xy"), st.integers(0, 25)), min_size=1, max_size=60)


@given(names)
def test_no_rest_of_what_is_shown_is_about_few_people(rows):
    kinds, places, people = (np.array(column) for column in zip(*rows, strict=True))
    people = np.array([f"p{number}" for number in people])
    every = {"kind": kinds, "place": places}
    hidden = withheld(every, people, FEWEST)
    known = [np.ones(len(rows), dtype=bool)]
    for by, groups in every.items():
        shown = [groups == name for name in set(groups) - hidden[by]]
        assert all(len(set(people[mask])) >= FEWEST for mask in shown)
        rest = ~np.any(shown, axis=0) if shown else np.zeros(len(rows), dtype=bool)
        known += [*shown, *([rest] if rest.any() else [])]
    for one in known:
        for other in known:
            if (one & ~other).sum() == 0 and (rest := other & ~one).any():
                assert len(set(people[rest])) >= FEWEST
    if len(set(people)) >= FEWEST and all(len(set(people[kinds == k])) >= FEWEST for k in set(kinds)):
        assert withheld({"kind": kinds}, people, FEWEST)["kind"] == frozenset() or len(set(kinds)) > 1
