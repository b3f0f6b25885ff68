"""The benchmark of certified deletion, on few rows: its data, its counts, its page."""

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from benchmarks import certified_data, certified_page, certified_removals, certified_tables, certified_utility
from benchmarks import certified_tuning as tuning
from benchmarks import certified_ways as made
from benchmarks.certified_data import Rows, Task, unit

from expunge.core.files import write_json
from expunge.targets.convex.budget import Ledger

EPSILONS = (0.5, 4.0)
SETTING = {"penalty": 0.01}


def toy(seed=3, n=1000):
    draw = np.random.default_rng(seed)
    X = unit(np.column_stack([draw.normal(size=(n + 260, 3)), np.ones(n + 260)]))
    y = (X @ [2.0, -1.0, 0.5, 0.0] + 0.2 * draw.normal(size=len(X)) > 0).astype(int)
    who = {"sex": np.where(draw.random(len(X)) < 0.5, "a", "b")}
    whole = Rows(X, y, who)
    parts = whole.at(slice(0, n)), whole.at(slice(n, n + 60)), whole.at(slice(n + 60, None))
    return Task("adult", "a toy", 2, *parts, "toy")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("certified")
    patch = pytest.MonkeyPatch()
    few: dict[str, Any] = {
        "Newton removal, residual": (made.newton("residual"), ({"penalty": 0.1}, SETTING), (1, 20)),
        "Newton removal, worst case": (made.newton("worst"), ({"penalty": 1e-9},), (1, 20)),
        certified_tables.PLAIN: (tuning.fine_tuned("gradient", 3), certified_utility.CLIPPED[:1], (20,)),
    }
    patch.setattr(certified_utility, "ways", lambda: few)
    patch.setattr(certified_utility, "SIZES", (1, 20))
    patch.setattr(certified_removals, "REQUESTS", {"adult": (30, 6)})
    bench = certified_utility.Bench(toy(), out, epsilons=EPSILONS, seeds=(0, 1))
    yield bench, bench.found(), out
    patch.undo()


def test_no_certified_or_tested_digit_shapes_the_features_of_another(tmp_path, monkeypatch):
    for name, rows in (("PUBLIC", 60), ("TUNED", 10), ("TESTED", 8), ("FEATURES", 5), ("FILTERS", 3)):
        monkeypatch.setattr(certified_data, name, rows)
    draw = np.random.default_rng(0)
    images, y = draw.integers(0, 256, (90, 28, 28), dtype=np.uint8), draw.integers(0, 10, 90, dtype=np.uint8)

    def made_of(pixels):
        np.savez(tmp_path / "mnist.npz", x_train=pixels, y_train=y, x_test=images[:20], y_test=y[:20])
        return certified_data.mnist(tmp_path, 15)

    before = made_of(images)
    np.testing.assert_allclose(np.linalg.norm(before.train.X, axis=1), 1.0)
    alike: list[int] = []
    for at in range(90):
        changed = images.copy()
        changed[at] = 255 - changed[at]
        after = made_of(changed)
        own = (after.train.X != before.train.X).any(axis=1).sum() + (after.tune.X != before.tune.X).any(axis=1).sum()
        same = np.array_equal(after.test.X, before.test.X)
        assert not same or own <= 1
        alike.append(same)
    assert sum(alike) == 90 - 60


def test_splits_share_no_row_and_requests_do_not_depend_on_labels(shared):
    task = certified_data.adult(shared / "data" / "adult", 24_000)
    assert (len(task.train), len(task.tune), len(task.test)) == (24_000, 2_000, 6_561)
    np.testing.assert_allclose(np.linalg.norm(task.train.X, axis=1), 1.0)
    gone = task.forgotten(100)
    assert len(set(gone.tolist())) == 100
    assert len(task.train.without(gone)) == 23_900
    assert set(task.forgotten(1)) <= set(gone)


@pytest.mark.parametrize("on", ["worst", "bound", "residual"])
def test_more_noise_or_more_epsilon_never_makes_a_request_too_large(on):
    used = Ledger(1.0, requests=1, removed=1, worst=0.4, bound=0.03, residual=0.002)
    told = [[made.fits([used], sigma, epsilon, on) for sigma in (0.01, 0.1, 1.0, 10.0)] for epsilon in (0.1, 1.0, 8.0)]
    assert told == np.maximum.accumulate(np.maximum.accumulate(told, axis=0), axis=1).tolist()
    assert not told[0][0] and told[-1][-1]


@pytest.mark.parametrize("way", [made.one_shot, made.descent_secret, made.descent_published, made.langevin_steps])
def test_a_larger_epsilon_or_a_smaller_request_takes_less_noise(way):
    one, many = (way(toy(), SETTING, EPSILONS, m, (0, 1)) for m in (1, 20))
    assert one[4.0].sigma < one[0.5].sigma < many[0.5].sigma
    assert one[4.0].weights.shape == (2, 4, 1)
    assert not np.array_equal(*one[4.0].weights)


def test_fine_tuning_that_keeps_next_to_nothing_is_training_from_zero():
    """The noise of clips near 0 is near 0, and so is what is left of the old model."""
    setting = {"clip": 1e-9, "gradient": 1e-10, "steps": 2}
    tuned = tuning.fine_tuned("gradient", tuning.AFTERWARDS)(toy(), setting, (1.0,), 20, (0,))[1.0].weights
    assert tuned is not None
    np.testing.assert_allclose(tuned, tuning.from_zero(toy(), 20), atol=1e-6)


def test_answers_share_the_epsilon_of_a_vote():
    one, ten = (tuning.per_answer(2.0, k, 5000) for k in (1, 10))
    assert ten <= one / 9
    counts = np.array([[18, 2], [3, 17]])
    close, far = (tuning.voted(counts, np.array([0, 1]), each) for each in (ten, one))
    assert (close < far).all() and (close > 0.5).all()


def test_a_residual_lasts_longer_than_the_sum_of_its_bounds(found):
    for row in found[1]["removals"]["rows"]:
        counts, curves = row["counts"], {}
        for name, told in counts.items():
            curves[name] = [spent for _, spent in told["curve"]]
        less, more = ("polished residual", "polished bound") if row["polish"] else ("residual", "bound")
        assert counts[less]["fits"] >= counts[more]["fits"]
        assert all(a <= b * (1 + 1e-6) + 2e-4 for a, b in zip(curves[less], curves[more], strict=True))


def test_what_is_finished_is_not_done_again(found, monkeypatch):
    bench, before, out = found
    monkeypatch.setattr(made.ConvexModel, "fit", lambda *given: pytest.fail("trained again"))
    again = certified_utility.Bench(toy(), out, epsilons=EPSILONS, seeds=(0, 1)).found()
    assert again["ways"] == before["ways"] and again["cpu"] == pytest.approx(bench.spent)


def test_the_page_shows_what_there_is_and_says_what_is_missing(found, tmp_path):
    empty, none = certified_page.page(tmp_path, "C")
    assert empty.count("Not measured yet") == 5
    assert not none
    told = found[1]
    write_json(tmp_path / "certified-adult.json", told)
    row = {"epsilon": 4.0, "delta": 1e-4, "unit": "record", "utility": [0.5, 0.4, 0.6], "seconds": 3.0, "above": []}
    row |= {"attacks": {"loss_auc": [0.55, 0.5, 0.6]}, "bound": {"loss_auc": 0.9}}
    write_json(tmp_path / "dp_lora.json", {"rows": [row], "base_utility": [0.1, 0.05, 0.2]})
    text, drawn = certified_page.page(tmp_path, "C")
    assert "Not measured yet" not in text
    for line in (*certified_tables.sentences(told), certified_tables.accuracy_table(told, 20)):
        assert line in text
    assert "0.550 [0.500, 0.600] / 0.900" in text
    assert str(tmp_path) not in text
    assert all(f"]({name})" in text for name in drawn)
    for chart in drawn.values():
        ElementTree.fromstring(str(chart))


def test_a_mechanism_without_enough_noise_is_said_to_have_none(found):
    rows = {(row["way"], row["m"]): row["cells"] for row in found[1]["ways"]}
    assert all(cell["accuracy"] is None for cell in rows["Newton removal, worst case", 20])
    assert "No noise that was tried is enough: Newton removal, worst case" in " ".join(
        certified_tables.sentences({**found[1], "ways": [{**row, "cells": _as_one(row)} for row in found[1]["ways"]]})
    )


def _as_one(row):
    return [{**cell, "epsilon": 1.0} for cell in row["cells"][-1:]]


def test_an_attack_that_sees_nothing_is_called_uninformative(found):
    told = found[1]["groups"]

    def shifted(low):
        cells = [
            {**cell, "less": {**cell["less"], "groups": {"a": {"value": 0.1, "low": low, "high": 0.2}}}}
            for cell in told["forgetting"][0]["cells"]
        ]
        return {**told, "forgetting": [{**told["forgetting"][0], "cells": cells}, *told["forgetting"][1:]]}

    assert "uninformative" in certified_tables.forgetting_sentence(shifted(-0.1))
    assert "a (sex, 0.1000)" in certified_tables.forgetting_sentence(shifted(0.05))
