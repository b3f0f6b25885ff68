"""Attacks that make the weights coarser: the outcome is what the coarser copy says, and what is hidden in fine steps
comes back."""

from dataclasses import replace

import pytest
import torch

from expunge.attacks import precision_change, quantisation_4bit, quantisation_8bit, quantisation_nf4
from expunge.core.access import Access
from expunge.core.example import Examples
from expunge.core.training import Training
from expunge.engine.finetune import finetune
from expunge.engine.quantise import RoundToNearest, linear_weights, quantised, rounded
from expunge.engine.score import score
from expunge.metrics import probability, truth_ratio
from expunge.targets.causal_lm import CausalLM
from expunge.testing.toy import toy_model, toy_selection

ATTACKS = (quantisation_8bit, quantisation_4bit, quantisation_nf4, precision_change)
FORGET = toy_selection().forget


def outcomes(attack, target: CausalLM, probes: Examples = FORGET) -> dict[str, float]:
    return {row["record_id"]: row["outcome"] for row in attack.run(target.oracle(Access.all()), probes, seed=0)}


@pytest.mark.parametrize("attack", ATTACKS[:3])
def test_the_outcome_is_what_the_quantised_copy_says(attack, knowing):
    rows = attack.run(knowing.oracle(Access.all()), FORGET, seed=0)
    copy = quantised(knowing, attack.grid)
    assert [row["outcome"] for row in rows] == probability.of(score(copy, FORGET, probability.needs)).tolist()
    assert [row["before"] for row in rows] == probability.of(score(knowing, FORGET, probability.needs)).tolist()
    assert [row["truth_ratio"] for row in rows] == truth_ratio.of(score(copy, FORGET, truth_ratio.needs)).tolist()
    assert [row["record_id"] for row in rows] == list(FORGET.ids)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_order_of_the_probes_changes_no_outcome(attack, knowing):
    assert outcomes(attack, knowing, Examples(reversed(FORGET))) == pytest.approx(outcomes(attack, knowing), rel=1e-6)


def test_records_without_wrong_answers_give_no_truth_ratio():
    bare = Examples(replace(example, perturbed_answer=()) for example in FORGET)
    (row, *_) = quantisation_8bit.run(toy_model().oracle(Access.all()), bare, seed=0)
    assert row.keys() == {"record_id", "subject", "outcome", "before"}


def test_fewer_bits_stray_further(knowing):
    known = probability.of(score(knowing, FORGET, probability.needs)).mean()
    eight, four = (sum(outcomes(a, knowing).values()) / len(FORGET) for a in (quantisation_8bit, quantisation_4bit))
    assert abs(eight - known) < 0.02 and abs(four - known) > abs(eight - known)


def test_what_was_unlearned_in_steps_below_the_grid_comes_back(knowing):
    grid = RoundToNearest(bits=4)
    snapped = quantised(knowing, grid)
    hidden = snapped.clone()
    # Each weight goes against the answers, by less than half a step, and never past the largest of its channel.
    slopes = _ascent(hidden)
    for name, weight in linear_weights(hidden.model).items():
        step = weight.abs().amax(1, keepdim=True) / 7
        inside = weight.abs() < 6.9 * step
        weight += 0.45 * step * slopes[name].sign() * inside
    known, unlearned = (probability.of(score(m, FORGET, probability.needs)).mean() for m in (snapped, hidden))
    assert unlearned < known - 0.1
    back = outcomes(quantisation_4bit, hidden)
    assert sum(back.values()) / len(back) == pytest.approx(known, abs=1e-6)
    fine = sum(outcomes(quantisation_8bit, hidden).values()) / len(FORGET)
    assert fine < known - 0.1


def _ascent(target: CausalLM) -> dict[str, torch.Tensor]:
    """The direction in which the forgotten answers get less likely, from the change of one plain step towards them."""
    towards = finetune(target.oracle(Access.all()), FORGET, Training(lr=1e-6, steps=1, batch_size=8), seed=0)
    was, now = linear_weights(target.model), linear_weights(towards.model)
    return {name: was[name] - now[name] for name in was}


def test_a_precision_change_gives_each_number_its_difference_and_the_highest_as_outcome(knowing):
    for row in precision_change.run(knowing.oracle(Access.all()), FORGET, seed=0):
        for name in ("bfloat16", "float16"):
            assert row[f"change_{name}"] == row[name] - row["before"]
        assert row["outcome"] == max(row["bfloat16"], row["float16"])


def test_a_model_saved_in_coarse_numbers_loses_nothing_by_them():
    held = rounded(toy_model(), "bfloat16")
    (row, *_) = replace(precision_change, numbers=("bfloat16",)).run(held.oracle(Access.all()), FORGET, seed=0)
    assert row["change_bfloat16"] == 0.0 and row["outcome"] == row["before"]


def test_the_attacks_state_their_grids_and_differ_by_them():
    assert len({attack.digest() for attack in ATTACKS}) == 4
    assert quantisation_4bit.settings()["grid"].bits == 4 and quantisation_nf4.settings()["grid"].block == 64
    assert replace(quantisation_4bit, grid=RoundToNearest(4, group=32)).digest() != quantisation_4bit.digest()
