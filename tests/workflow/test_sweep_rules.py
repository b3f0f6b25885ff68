"""The rules of a sweep, apart from any run: how subjects are split, trials afforded, and one of them chosen."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import ConfigError, ExpungeError, ScopeError, UnknownName
from expunge.core.example import Example, Examples
from expunge.core.selection import Selection
from expunge.evaluation.per_item import PerItem
from expunge.testing.toy import toy_selection
from expunge.workflow.sweep_plan import Trial, affordable
from expunge.workflow.sweep_result import compare, effective, table_of
from expunge.workflow.sweep_spec import Spec, rank, read_spec
from expunge.workflow.sweep_world import SPLIT, part_of, split

SPEC = Spec(("npo",))


def people(count, role="forget", subset=""):
    return Examples(
        Example(
            f"{role}-{subset}{k}-{i}", f"q{role}{subset}{k}{i}", "a", subject=f"{role}{k}", role=role, subset=subset
        )
        for k in range(count)
        for i in range(2)
    )


@given(st.integers(2, 30), st.integers(1, 20), st.floats(0.1, 0.9), st.integers(0, 99))
def test_every_subject_is_on_one_side_and_both_sides_hold_forgotten_ones(forget, holdout, share, seed):
    selection = Selection(people(forget), retain=people(5, "retain"), holdout=people(holdout, "holdout"))
    parts = split(selection, share, seed=seed)
    assert not parts["validation"] & parts["reported"]
    for role in SPLIT:
        assert set(selection.role(role).subjects) <= parts["validation"] | parts["reported"]
        found = [part_of(selection, parts[part]).role(role) for part in ("validation", "reported")]
        assert sorted(found[0].ids + found[1].ids) == sorted(selection.role(role).ids)
    chosen = len(set(part_of(selection, parts["validation"]).forget.subjects))
    assert chosen == min(max(1, round(share * forget)), forget - 1)


def test_the_split_depends_on_names_and_seed_not_on_order():
    selection = Selection(people(12), retain=people(6, "retain"))
    turned = replace(selection, forget=Examples(reversed(selection.forget.items)))
    assert split(turned, 0.5, seed=1) == split(selection, 0.5, seed=1) != split(selection, 0.5, seed=2)


def test_a_subject_in_two_roles_is_on_one_side():
    forget = Examples(replace(e, subject="Ana") if k < 2 else e for k, e in enumerate(people(6)))
    retain = Examples(replace(e, subject="Ana") if k < 2 else e for k, e in enumerate(people(6, "retain")))
    parts = split(Selection(forget, retain=retain), 0.5, seed=4)
    assert sum("Ana" in part for part in parts.values()) == 1


def test_each_subset_is_on_both_sides_and_general_facts_stand_for_themselves():
    facts = people(4, "general", "x") + people(4, "general", "y")
    facts = Examples(replace(e, subject="") for e in facts)
    parts = split(Selection(people(4), general=facts), 0.5, seed=0)
    for part in parts.values():
        assert {e.subset for e in part_of(Selection(people(4), general=facts), part).general} == {"x", "y"}


def test_one_subject_cannot_be_split():
    with pytest.raises(ScopeError, match="all records to forget are about one subject"):
        split(Selection(people(1)), 0.5, seed=0)


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 200))
def test_what_is_afforded_is_the_longest_front_within_the_budget(costs, budget):
    trials = [Trial("npo", k, {}, cost) for k, cost in enumerate(costs)]
    taken = affordable(iter(trials), budget)
    assert taken == trials[: len(taken)]
    assert sum(t.tokens for t in taken) <= budget
    assert len(taken) == len(trials) or sum(costs[: len(taken) + 1]) > budget


def card(number, ks=None, kept=None, **cells):
    found = {name: {"value": value} for name, value in {"ks": ks, **cells}.items()}
    return {"number": number, "cells": found, "kept": {"value": kept}}


def chosen(cards, spec=SPEC, reference=None):
    return min(reversed(cards), key=lambda each: rank(each, spec, reference or {}))["number"]


def test_the_rule_of_choosing():
    enough = [card(0, 0.5, 0.95), card(1, 0.1, 0.79), card(2, 0.2, 0.8), card(3, 0.2, 0.99)]
    assert chosen(enough) == 2, "the earlier of two equals among those that keep enough"
    assert chosen([card(0, 0.1, 0.3), card(1, 0.7, 0.6), card(2)]) == 1, "what keeps most where none keeps enough"
    assert chosen(enough, replace(SPEC, floor=0.9)) == 3
    failed = {"number": 0, "failed": "the loss is not a number"}
    assert chosen([failed, card(1, 0.9, 0.1)]) == 1


def test_a_cell_is_best_where_it_says():
    cards = [card(0, 0.1, 0.9, log10_p=-9.0, rouge_l=0.0), card(1, 0.2, 0.9, log10_p=-2.0, rouge_l=0.3)]
    assert chosen(cards, replace(SPEC, select="log10_p")) == 1
    near = replace(SPEC, select="rouge_l")
    assert chosen(cards, near, {"rouge_l": {"value": 0.25}}) == 1
    assert chosen(cards, near, {"rouge_l": {"value": 0.1}}) == 0
    assert "rouge_l is nearest to the reference's" in near.rule
    with pytest.raises(UnknownName):
        Spec(("npo",), select="relearn_gap")


def test_what_is_effective():
    original = {"cells": {"ks": {"value": 0.7}}}

    def row(ks, kept):
        return {"cells": {"ks": {"value": ks}}, "kept": {"value": kept}}

    assert effective(row(0.49, 0.8), original, 0.8) == (True, "")
    assert "0.2 below" in effective(row(0.51, 0.8), original, 0.8)[1]
    assert "0.79 of the original's utility" in effective(row(0.1, 0.79), original, 0.8)[1]
    assert effective({"cells": {"ks": {"value": None, "reason": "TEXT only"}}, "kept": None}, original, 0.8) == (
        False,
        "TEXT only",
    )


PEOPLE = 30


def swept(*names, knew=3.0, lost=()):
    """Rows that are effective and as far from the reference as the second is, and what they were measured by."""
    ids, draw = [f"r{k}" for k in range(3 * PEOPLE)], np.random.default_rng(1)
    plain = {part: draw.normal(0.6, 0.15, len(ids)).clip(0.01) for part in ("reference", "second")}
    values = {**plain, "original": plain["second"] + knew, **dict.fromkeys(names, plain["second"])}
    items = PerItem(
        {
            part: {"forget": {"ids": ids, "subjects": [f"s{k // 3}" for k in range(len(ids))], "truth_ratio": found}}
            for part, found in values.items()
            if part not in lost
        }
    )
    shared = {"cells": {"ks": {"value": 0.1}}, "kept": {"value": 0.95}, "detectors": [], "failed": "", "label": "m"}
    more = {"untuned": False, "trials": 1, "tokens": 5, "trial": 0, "settings": {}}
    rows = [{"key": name, **shared, **more} for name in names]
    return rows, {"cells": {"ks": {"value": 1.0}}}, SimpleNamespace(spec=Spec(names or ("npo",), draws=100)), items


def test_p_is_adjusted_for_every_method_that_was_tried():
    for lost in ((), ("gone",)):
        rows, *rest = swept("one", "two", "gone", lost=lost)
        compare(rows, *rest)
        assert rows[0]["p"] == pytest.approx(1 / 101)
        assert [row["p_holm"] for row in rows[:2]] == pytest.approx([3 / 101, 3 / 101])
        assert [row["equivalent"] for row in rows] == [True, True, not lost]
    assert rows[2]["p_holm"] is None and "gone" in rows[2]["p_reason"]


def test_no_star_for_what_is_destroyed_diverged_or_could_not_have_been_seen():
    rows, *rest = swept("fired", "diverged", "useless", "sound")
    rows[0]["detectors"] = ["gibberish"]
    rows[1]["failed"] = "the loss is not a number"
    rows[2]["kept"] = {"value": 0.45}
    power = compare(rows, *rest)
    assert [row["p_holm"] for row in rows] == pytest.approx([4 / 101] * 4)
    assert [row["equivalent"] for row in rows] == [False, False, False, True]
    assert power["informative"] and power["needed"] == pytest.approx(0.45)
    rows, *rest = swept("sound", knew=0.02)
    power = compare(rows, *rest)
    assert power["value"] < 0.45 and not power["informative"] and not rows[0]["equivalent"]
    facts = {"budget_tokens": 5, "chosen_by": "x", "seeds": [0], "level": 0.9, "margin": 0.15, "earlier_plans": 0}
    facts |= {"subjects": {"validation": 1, "reported": 1}, "positive_control": power}
    table = table_of({**facts, "rows": [{"label": "original", "kept": None, **rest[0]}, *rows]})
    assert "Uninformative: KS D of the original exceeds" in table and "0.010*" not in table
    assert "0.010*" in table_of({**facts, "rows": [{**rows[0], "equivalent": True}]})
    assert "trips" not in table
    broken = table_of({**facts, "rows": [{**rows[0], "detectors": ["gibberish"]}]})
    assert broken.splitlines()[3].endswith("trips gibberish"), "it stands in the method's own row"


@pytest.mark.parametrize(
    "given",
    [
        {"methods": []},
        {"methods": ["npo", "npo"]},
        {"trials": 3, "budget_tokens": 9},
        {"seeds": [1, 1]},
        {"seeds": [-1]},
        {"floor": 1.5},
        {"share": 1.0},
        {"draws": 5},
        {"trials": -1},
        {"space": {"dpo": {"beta": [0.1, 0.2]}}},
        {"colour": "red"},
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(given, tmp_path):
    import yaml

    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump({"methods": ["npo"], **given}))
    with pytest.raises(ExpungeError):
        read_spec(path, {})


def test_arguments_come_before_the_file(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_text("methods: [npo, dpo]\nbudget_tokens: 500\nspace:\n  npo: {beta: [0.1, 0.5]}\n")
    assert read_spec(path, {}).budget_tokens == 500
    found = read_spec(path, {"trials": 3, "seeds": (), "floor": None})
    assert (found.budget_tokens, found.trials, found.seeds) == (0, 3, (0,))
    assert found.space_of("npo", (("lr", 1.0, 2.0),)) == [("beta", 0.1, 0.5)]
    assert found.space_of("dpo", (("lr", 1.0, 2.0),)) == (("lr", 1.0, 2.0),)
    for text in ("- npo\n", "methods: [npo\n"):
        path.write_text(text)
        with pytest.raises(ConfigError):
            read_spec(path, {})


def test_the_toy_selection_splits():
    parts = split(toy_selection(), 0.5, seed=0)
    assert all({"Ana", "Bo"} & part for part in parts.values())
