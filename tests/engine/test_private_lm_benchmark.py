"""The benchmark of DP-LoRA: it plays the game that the bound is about, names what is above it, and writes its file."""

import doctest
import json
import math
from dataclasses import replace

import benchmarks.private_lm as bench
import numpy as np
import pytest

from expunge.accounting.attacker import best_auc
from expunge.core.adapter import Adapter
from expunge.metrics._told_apart import hits


@pytest.fixture
def small(monkeypatch):
    shape = {"hidden": 16, "layers": 1, "heads": 2, "kv_heads": 1, "inner": 16, "context": 64}
    settings = {
        "PEOPLE": 16,
        "OTHERS": 6,
        "SHAPE": shape,
        "BASE": replace(bench.BASE, steps=2),
        "STEPS": 2,
        "EPOCHS": 1,
    }
    settings |= {"EPSILONS": (8.0, math.inf), "RATE": 1.0, "DRAWS": 40, "ADAPTER": Adapter(r=2, alpha=4.0)}
    for name, value in settings.items():
        monkeypatch.setattr(bench, name, value)


def test_the_examples_of_its_functions_hold():
    assert doctest.testmod(bench).failed == 0


def test_each_record_or_each_person_has_a_coin_of_its_own(small):
    apart, together = bench.world(0, "record", ""), bench.world(0, "subject", "")
    for where in (apart, together):
        assert len(where.inside) + len(where.outside) == 6 * 16 and len(where.others) == 6 * 6
    people = [{e.subject for e in records} for records in (together.inside, together.outside)]
    assert not people[0] & people[1]
    assert {e.subject for e in apart.inside} & {e.subject for e in apart.outside}
    assert not {e.subject for e in apart.others} & {e.subject for e in (*apart.inside, *apart.outside)}


def test_hits_of_one_tail_are_those_of_the_other_with_signs_turned():
    rng = np.random.default_rng(0)
    high, low = rng.normal(size=90) * 2 + 0.5, rng.normal(size=250)
    keys = ("model", "forget", "loss"), ("model", "holdout", "loss")
    both = hits(high, low, np.ones(90), np.ones(250), alarms=0.01)
    turned = [
        float(bench.found_at(dict(zip(keys, pair, strict=True)), name="loss")) for pair in ((high, low), (-high, -low))
    ]
    assert max(turned) == both > 0


def test_what_is_above_the_promise_is_named_and_ends_in_an_error(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["private_lm", "--out", str(tmp_path / "out")])
    bench.main()
    kept = json.loads((tmp_path / "out" / "dp_lora.json").read_text())
    assert [(r["unit"], r["epsilon"]) for r in kept["rows"]] == [
        ("record", 8.0),
        ("record", None),
        ("subject", 8.0),
        ("subject", None),
    ]
    for r in kept["rows"]:
        assert set(r["attacks"]) == set(r["bound"]) == set(bench.attacks()) and not r["above"]
        assert all(low <= value <= high for value, low, high in (r["utility"], *r["attacks"].values()))
        assert r["bound"]["loss_auc"] == (1.0 if r["epsilon"] is None else best_auc(8.0, bench.DELTA))
        assert r["n"]["utility"] == 36
    first = kept["rows"][0]
    assert first["promised"] <= 8.0
    capsys.readouterr()
    broken = {**kept, "rows": [{**first, "above": bench.above(first["attacks"], {**first["bound"], "loss_auc": 0.4})}]}
    monkeypatch.setattr(bench, "measured", lambda *given: broken)
    with pytest.raises(SystemExit):
        bench.main()
    assert "ABOVE WHAT WAS PROMISED: record, epsilon 8.0: loss_auc" in capsys.readouterr().err
