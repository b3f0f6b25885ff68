"""Shadow models: who is in which, that nothing is done twice, and that the attacks see what they are made for."""

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.access import Access
from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError, ScopeError
from expunge.core.manifest import Manifest
from expunge.core.selection import Selection
from expunge.data.memory import MemoryStore
from expunge.engine.finetune import LIKELY
from expunge.evaluation.contrast import Cast
from expunge.evaluation.per_item import PerItem
from expunge.execution.pool import Pool
from expunge.metrics import lira, lira_offline, rmia_shadows, u_lira, u_lira_population
from expunge.testing.toy import toy_recipe, toy_selection
from expunge.workflow import shadow_model
from expunge.workflow import shadows as verb
from expunge.workflow.measure import score_tables
from expunge.workflow.shadow_model import drawn, members

pytestmark = pytest.mark.slow


def recipe():
    return toy_recipe(steps=40, layers=1)


@pytest.fixture
def here(monkeypatch):
    """Items are computed in this process and noted."""
    items = []

    def noted(function, given, **more):
        items.extend(given)
        return [function(item) for item in given]

    monkeypatch.setattr(verb, "map", noted)
    return items


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Eight models, unlearned by gradient ascent that is too weak to hide what they knew."""
    out = tmp_path_factory.mktemp("shadows") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verb, "map", lambda function, given, **more: [function(item) for item in given])
        tables = verb.shadows(out, recipe(), toy_selection(), method="grad_ascent", settings={"steps": 2}, seed=5)
    return out, tables


@given(st.integers(2, 9), st.integers(2, 6), st.integers(0, 2**32))
def test_each_person_is_in_half_of_the_models_and_each_model_holds_half_of_the_people(people, pairs, seed):
    names = [f"p{i}" for i in range(people)]
    parts = [members(names, number, seed) for number in range(2 * pairs)]
    assert {Counter(name for part in parts for name in part)[name] for name in names} == {pairs}
    assert all(people // 2 <= len(part) <= people - people // 2 for part in parts)
    assert parts == [members(names[::-1] * 2, number, seed) for number in range(2 * pairs)]


def test_what_a_model_forgets_is_what_it_was_trained_on():
    selection = toy_selection()
    own = drawn(selection, 3, seed=1)
    assert sorted(own.forget.ids + own.holdout.ids) == sorted(selection.forget.ids + selection.holdout.ids)
    assert not set(own.forget.subjects) & set(own.holdout.subjects) and len(set(own.forget.subjects)) == 2
    assert own.retain == selection.retain and own.validation == selection.validation
    assert {e.role for e in own.forget} == {"forget"} and {e.role for e in own.holdout} == {"holdout"}


def test_tables_hold_the_judged_models_roles_and_who_was_trained_on_what(made):
    _, tables = made
    selection = toy_selection()
    assert set(tables) == {"shadows", "unlearned_shadows"}
    items = PerItem(tables)
    for part in tables:
        for role in ("forget", "holdout"):
            assert items.ids(role) == sorted(selection.role(role).ids)
            member = items.values(part, role, "member")
            assert member.shape == (8, 6) and (member.sum(0) == 4).all()
    inside = items.values("shadows", "forget", "member") > 0
    loss = items.values("shadows", "forget", "loss")
    assert loss[inside].mean() > loss[~inside].mean() + 0.5, "models know what they were trained on"
    assert np.array_equal(inside, items.values("unlearned_shadows", "forget", "member") > 0)


def test_nothing_is_done_twice_and_a_lost_model_is_made_again_alike(made, here, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(made[0], out)
    asked = {"method": "grad_ascent", "settings": {"steps": 2}, "seed": 5}
    again = verb.shadows(out, recipe(), toy_selection(), **asked)
    assert here == [] and not Manifest.read(out).changed(out)
    key = read_json(out / "shadows.json")["keys"][3]["unlearned_shadows"]
    kept = {p.name: p.read_bytes() for p in (out / "scores" / key).iterdir()}
    shutil.rmtree(out / "scores" / key)
    verb.shadows(out, recipe(), toy_selection(), **asked)
    assert [item["number"] for item in here] == [3]
    assert {p.name: p.read_bytes() for p in (out / "scores" / key).iterdir()} == kept
    assert np.array_equal(
        PerItem(again).values("shadows", "forget", "loss"), PerItem(made[1]).values("shadows", "forget", "loss")
    )


def test_another_method_finds_the_trained_models(made, here, tmp_path, monkeypatch):
    out = tmp_path / "copy"
    shutil.copytree(made[0], out)

    def never(*args):
        pytest.fail("trained again")

    monkeypatch.setattr(shadow_model, "_train", never)
    tables = verb.shadows(out, recipe(), toy_selection(), method="npo", settings={"steps": 1}, models=4, seed=5)
    assert len(here) == 4 and len(tables["unlearned_shadows"]["forget"]) == 4
    assert set(verb.shadows(out, recipe(), toy_selection(), models=4, seed=5)) == {"shadows"}


def test_a_worker_makes_the_same_bytes(made, tmp_path):
    asked = {"method": "grad_ascent", "settings": {"steps": 2}, "seed": 5, "models": 4}
    verb.shadows(tmp_path / "apart", recipe(), toy_selection(), pool=Pool(), **asked)
    for path in (tmp_path / "apart" / "scores").rglob("*.safetensors"):
        assert path.read_bytes() == (made[0] / path.relative_to(tmp_path / "apart")).read_bytes()


def test_what_cannot_be_drawn_is_refused_before_anything_is_written(tmp_path):
    selection, out = toy_selection(), tmp_path / "none"
    for count in (2, 5):
        with pytest.raises(ConfigError, match="too few or odd"):
            verb.shadows(out, recipe(), selection, models=count)
    with pytest.raises(ConfigError, match="cannot be trained by this recipe"):
        verb.shadows(out, replace(recipe(), loss=2.0 * LIKELY), selection)
    with pytest.raises(ScopeError, match="never-seen"):
        verb.shadows(out, recipe(), Selection(selection.forget, selection.retain))
    assert not out.exists()


def test_the_attacks_see_a_model_that_knows_and_not_one_that_never_did(made):
    selection = toy_selection()
    asked = ("lira", "u_lira")
    tables = dict(made[1])
    for seed, (who, learned) in enumerate((("original", selection.forget), ("reference", ()))):
        target = recipe().train(MemoryStore(selection.retain + learned), seed=seed)
        tables[who] = score_tables(target.oracle(Access.all()), selection, asked)
    cast = Cast(PerItem(tables), {"model": "original", "reference": "reference"}, 0.9, 200, 0)
    never = Cast(cast.items, {"model": "reference", "reference": "reference"}, 0.9, 200, 0)
    for attack in (lira, lira_offline, rmia_shadows, u_lira, u_lira_population):
        knows, control = (part.estimate(attack, attack.needs, (0.0, 1.0)).value for part in (cast, never))
        assert knows > control + 0.2, attack.name
