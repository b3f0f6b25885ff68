"""The trust table's shadow models: each truth is read beside those of what made it, and nothing is redone."""

from argparse import Namespace

import numpy as np
import pytest
from benchmarks import trust
from benchmarks import trust_judging as judging
from benchmarks import trust_models as models
from benchmarks import trust_shadows as shadowing

from expunge.core.measure import SHADOWS
from expunge.evaluation.score_table import save_tables

PEOPLE = {role: [f"{role}-{i:02d}" for i in range(40)] for role in shadowing.ROLES}


class World:
    """A pair without people."""

    road = Namespace(recipe="recipe")

    def __init__(self, pair):
        self.pair = pair

    def selection(self):
        return f"selection {self.pair}"


def table(role, generator, known, **more):
    confidence = generator.normal(size=40) + np.where(known, 6.0, 0.0)
    columns = {"logit_confidence": confidence, "probability": 1 / (1 + np.exp(-confidence)), **more}
    return {"ids": PEOPLE[role], "subjects": PEOPLE[role], **columns}


def shadow_tables(generator, learned):
    """Four models, of which each person is in two; what was retrained knows nobody."""
    drawn = [generator.permutation(40) < 20 for _ in range(2)]
    inside = [drawn[0], ~drawn[0], drawn[1], ~drawn[1]]
    return {
        role: [table(role, generator, one & learned, member=one.astype(float)) for one in inside]
        for role in shadowing.ROLES
    }


@pytest.fixture
def at(tmp_path, monkeypatch):
    """A pair that is scored, and whose shadow models are there."""
    generator, found = np.random.default_rng(3), models.folders(tmp_path, "quick")
    for who in models.ARMS:
        tables = {role: table(role, generator, who == "trained" and role == "forget") for role in PEOPLE}
        save_tables(models.score_place(found, 0, who), tables, salt="s")
    made = {part: shadow_tables(generator, part == SHADOWS[0]) for part in SHADOWS}
    asked = []

    def told(*args, **more):
        asked.append(more)
        return made

    monkeypatch.setattr(shadowing, "shadows", told)
    monkeypatch.setattr(shadowing, "World", World)
    monkeypatch.setattr(shadowing, "SPLITS", 2)
    monkeypatch.setattr(judging, "DRAWS", 200)
    return {**found, "asked": asked, "made": made}


def test_the_attacks_by_shadow_models_are_those_that_the_tables_leave():
    names, left = shadowing.shadow_names(), models.unmeasured()
    assert "lira" in names and "u_lira_tpr_01" in names and not set(names) & set(models.table_names())
    assert names == [name for name in left if "shadow" in left[name]]


def test_each_truth_is_read_beside_the_shadow_models_of_what_made_it(at):
    names = shadowing.shadow_names()
    shadowing.judged({"at": at, "pair": 0, "count": 4, "names": names})
    assert at["asked"] == [{"method": "retrain", "models": 4, "seed": 0}]
    place = shadowing.verdict_place(at, 0, 4, names)
    rows = {row.name: row for row in judging.rows_of([place], names)}
    for name in ("lira", "lira_offline", "u_lira"):
        assert rows[name].caught[0] == 1.0, "half of the shadow models know a person, and so does the trained model"
    assert rows["u_lira"].statuses["trained"] == rows["lira"].statuses["trained"]
    assert not any(row.gone for row in rows.values()) and models.cost_of(place) > 0
    at["made"][SHADOWS[1]] = {role: at["made"][SHADOWS[1]][role][:3] for role in PEOPLE}
    other = {**at, "judged_shadows": f"{at['judged_shadows']}-again"}
    shadowing.judged({"at": other, "pair": 0, "count": 4, "names": names})
    rows = {row.name: row for row in judging.rows_of([shadowing.verdict_place(other, 0, 4, names)], names)}
    assert rows["lira"].pairs == 1 and "too few shadow models" in rows["u_lira"].gone[0]


def test_what_was_judged_or_trained_is_not_done_again(at, monkeypatch):
    done, kept = [], []
    monkeypatch.setattr(shadowing, "keep_data", lambda *args: kept.append(args))
    monkeypatch.setattr(shadowing, "shadowed", done.append)

    def items_of(out, recipe, selection, asked, *, models, seed):
        return [{"number": n, "method": asked["method"], "seed": seed, "keys": {"shadows": "k"}} for n in range(models)]

    monkeypatch.setattr(shadowing, "items_of", items_of)
    for part in (*SHADOWS, *SHADOWS):
        shadowing.shadow({"at": at, "pair": 2, "part": part, "number": 3})
    assert [(one["number"], one["method"], one["seed"]) for one in done] == [(3, "", 2), (3, "retrain", 2)]
    assert all(shadowing.shadow_place(at, 2, part, 3).is_file() for part in SHADOWS) and len(kept) == 2
    for _ in range(2):
        shadowing.judged({"at": at, "pair": 0, "count": 4, "names": ["lira"]})
    assert len(at["asked"]) == 1
    assert shadowing.verdict_place(at, 0, 4, ["lira"]) != shadowing.verdict_place(at, 0, 6, ["lira"])


def test_a_shadow_model_that_breaks_leaves_nothing_that_counts_as_done(at, monkeypatch):
    def breaks(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shadowing, "items_of", lambda *_, **more: [{"keys": {}}] * more["models"])
    monkeypatch.setattr(shadowing, "keep_data", lambda *_: None)
    monkeypatch.setattr(shadowing, "shadowed", breaks)
    with pytest.raises(KeyboardInterrupt):
        shadowing.shadow({"at": at, "pair": 0, "part": SHADOWS[0], "number": 0})
    assert not shadowing.shadow_place(at, 0, SHADOWS[0], 0).exists()


def test_the_plan_retrains_what_was_trained_and_moves_no_other_folder(tmp_path):
    at = models.folders(tmp_path, "quick")
    given = Namespace(pairs=3, attacked=3, parts=("shadows",), budget="quick", shadowed=2, shadows=4)
    stages = trust.stages_of(at, given)
    assert [stage.name for stage in stages] == ["models", "models", "scores", "models", "models", "judging"]
    assert [len(stage.items) for stage in stages] == [8, 2, 10, 8, 8, 2]
    assert [{item["part"] for item in stage.items} for stage in stages[3:5]] == [{part} for part in SHADOWS]
    both = trust.stages_of(at, Namespace(**{**vars(given), "parts": ("tables", "shadows")}))
    alone = trust.stages_of(at, Namespace(**{**vars(given), "parts": ("tables",)}))
    assert [stage.places for stage in alone] == [stage.places for stage in both if "shadow" not in stage.function]
