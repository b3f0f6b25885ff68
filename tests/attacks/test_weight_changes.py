"""Bucket flips and weight changes: what was not changed gets 0, and both sides must be of one shape."""

import pytest
import torch

from expunge.attacks import bucket_flips, weight_delta
from expunge.core.access import Access, Oracle
from expunge.core.attack import run_attack
from expunge.core.errors import EvidenceError, TargetError
from expunge.core.evidence import Estimate
from expunge.core.policy import Assessment, Comparison, Criterion, Policy, judge
from expunge.engine.quantise import RoundToNearest, linear_weights, quantised
from expunge.testing.toy import toy_model, toy_selection
from expunge.workflow.measure import attack_tables

PAIR = (bucket_flips, weight_delta)


def found(attack, target, original):
    rows = run_attack(
        attack, target.oracle(Access.all()), toy_selection(), seed=0, original=original.oracle(Access.all())
    )
    return {row["record_id"]: row for row in rows}


@pytest.mark.parametrize("attack", PAIR)
def test_a_model_that_was_not_changed_gets_0_everywhere(attack):
    rows = found(attack, toy_model(), toy_model())
    assert {row["outcome"] for row in rows.values()} == {0.0}


def test_steps_below_the_grid_flip_no_bucket_and_another_model_flips_most():
    original = quantised(toy_model(), RoundToNearest(4))
    nudged = original.clone()
    for weight in linear_weights(nudged.model).values():
        step = weight.abs().amax(1, keepdim=True) / 7
        weight += 0.2 * step * (weight.abs() < 6.9 * step)
    small, large = found(bucket_flips, nudged, original), found(bucket_flips, toy_model(seed=1), original)
    assert {row["outcome"] for row in small.values()} == {0.0}
    assert all(row["flips_8bit"] > 0.5 for row in small.values())
    assert all(row["outcome"] > 0.5 for row in large.values())
    assert {row["record_id"] for row in small.values()} == set(linear_weights(original.model))


def test_the_share_counts_the_weights_that_moved_a_bucket():
    original = quantised(toy_model(), RoundToNearest(4))
    moved = original.clone()
    name, weight = next(iter(linear_weights(moved.model).items()))
    step = float(weight[0].abs().max()) / 7
    place = int(weight[0].abs().argmin())
    weight[0, place] += step * (1 if weight[0, place] <= 0 else -1)
    rows = found(bucket_flips, moved, original)
    assert rows[name]["outcome"] == pytest.approx(1 / weight.numel())
    assert rows[name]["weights"] == weight.numel()
    assert sum(row["outcome"] for row in rows.values()) == rows[name]["outcome"]


def test_the_change_is_relative_to_the_original_and_tied_weights_count_once():
    original, scaled = toy_model(), toy_model()
    with torch.no_grad():
        for parameter in scaled.model.parameters():
            parameter *= 1.25
    rows = found(weight_delta, scaled, original)
    assert all(row["outcome"] == pytest.approx(0.25, rel=1e-6) for row in rows.values())
    named = dict(original.model.named_parameters())
    assert rows.keys() == named.keys()
    assert all(row["change"] == pytest.approx(0.25 * float(named[n].detach().norm())) for n, row in rows.items())


def test_a_tensor_that_was_all_zeros_has_no_relative_change():
    original = toy_model(architecture="gpt2")
    rows = found(weight_delta, toy_model(architecture="gpt2", seed=1), original)
    zeros = {name for name, p in original.model.named_parameters() if not p.detach().any()}
    assert zeros and rows.keys() == {name for name, _ in original.model.named_parameters()} - zeros


@pytest.mark.parametrize("attack", PAIR)
def test_models_of_another_shape_are_refused_and_so_is_a_closed_original(attack):
    with pytest.raises(EvidenceError, match="one shape"):
        found(attack, toy_model(layers=1), toy_model())
    closed = Oracle(toy_model(), Access.all() & ~Access.WEIGHTS)
    with pytest.raises(TargetError, match="needs access WEIGHTS"):
        attack.run(toy_model().oracle(Access.all()), toy_selection().forget, seed=0, original=closed)


@pytest.mark.parametrize("attack", PAIR)
def test_a_policy_that_names_one_is_never_earned_by_it(attack):
    original, never = toy_model(), toy_model(seed=1)
    arms = [found(attack, target, original) for target in (original, never)]
    known, control = (sum(row["outcome"] for row in rows.values()) / len(rows) for rows in arms)
    name = attack.settings()["name"]
    policy = Policy("own", "1", (Criterion(name, 0.05),), utility_floor=0.9, detectors=())
    alike = Comparison(name, Estimate(0.0, -0.01, 0.01, 0.9), Estimate(known - control, -1.0, 0.0, 0.9))
    verdict = judge(policy, Assessment((alike,), Estimate(1.0, 0.99, 1.0, 0.9), ()))
    assert verdict.status == "uninformative"


def test_the_rows_are_about_tensors_and_make_tables():
    named = {attack.settings()["name"]: attack for attack in PAIR}
    original = toy_model().oracle(Access.all())
    tables = attack_tables(toy_model(seed=1).oracle(Access.all()), toy_selection(), named, seed=0, original=original)
    assert tables.keys() == {"bucket_flips", "weight_delta"} and {attack.unit for attack in PAIR} == {"tensor"}
    for table in tables.values():
        assert len(table["ids"]) == len(set(table["ids"])) == len(table["outcome"]) and table["outcome"].max() > 0.5
