"""The benchmark of SISA, on few rows: its formula, its deletions, its page."""

from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from benchmarks import exact_page
from benchmarks.exact_sisa import Bench, expected, planned, same
from benchmarks.exact_sisa_data import Task
from benchmarks.exact_sisa_page import charts, sentences, table

from expunge.core.files import write_json
from expunge.data.table import Table
from expunge.engine.parts.plan import plan_of
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.estimator import Estimator

TRAINER = Estimator("sklearn.linear_model:SGDClassifier", (0, 1), {"loss": "log_loss"})
GRID = ((1, 1), (2, 2))


def task(rows=90):
    draw = np.random.default_rng(3)
    X = draw.normal(size=(rows + 40, 3))
    y = (X @ [1.0, -2.0, 0.5] > 0).astype(int)
    learned = Table([f"r{i}" for i in range(rows)], X[:rows], y[:rows])
    return Task("adult", learned, Table([f"t{i}" for i in range(40)], X[rows:], y[rows:]), TRAINER, 3, "SGD")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(task(), tmp_path_factory.mktemp("sisa"), 2, GRID)
    return made, made.found()


def test_the_formula_is_the_mean_of_all_requests_where_shards_are_equal():
    recipe = SISA(TRAINER, shards=2, slices=2, epochs=3, partition="contiguous")
    held = recipe.manifests(task(40).train, seed=0)
    ids = [name for manifest in held for name in manifest.ids]
    one = [plan_of(held, [name]).point_epochs for name in ids]
    assert np.mean(one) == pytest.approx(expected(40, 2, recipe.slice_epochs, 1))
    two = [plan_of(held, pair).point_epochs for pair in combinations(ids, 2)]
    # Two records of one request cannot have the same place; the formula has it that they can.
    assert np.mean(two) == pytest.approx(expected(40, 2, recipe.slice_epochs, 2), rel=0.02)


def test_deletions_that_were_run_are_what_a_run_from_scratch_gives(bench):
    found = bench[1]
    assert same(found)
    first, parts = found["ways"]
    assert not first["deletions"]
    assert [row["deleted"] for row in parts["deletions"]] == [1, 1, 1, 8, 32]
    assert first["price"]["majority"] == (0.0, 0.0, 0.0)
    assert len(parts["checkpoints"]) == 4
    changed = {**found, "ways": [first, {**parts, "deletions": [{"after": "a", "fresh": "b"}]}]}
    assert not same(changed)


def test_what_is_finished_is_not_done_again(bench, monkeypatch):
    made, found = bench
    monkeypatch.setattr(SISA, "train", lambda *given, **more: pytest.fail("trained again"))
    assert Bench(task(), made.stages.out, 2, GRID).found()["ways"] == found["ways"]


def test_the_page_shows_what_there_is_and_says_what_is_missing(bench, tmp_path):
    empty, none = exact_page.page(tmp_path, "C")
    assert empty.count("Not measured yet") == 4
    assert not none
    write_json(tmp_path / "sisa-adult.json", bench[1])
    text, drawn = exact_page.page(tmp_path, "C")
    assert table(bench[1]) in text
    assert sentences(bench[1])[0] in text
    assert all(f"]({name})" in text for name in drawn)
    assert "exact_lm" in text
    for chart in drawn.values():
        ElementTree.fromstring(chart)
    assert set(charts([bench[1]])) == set(drawn)


def test_the_plan_grows_with_rows_and_seeds():
    assert planned("mnist", 200, 1) < planned("mnist", 200, 2) < planned("mnist", 400, 2)
