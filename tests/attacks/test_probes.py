"""Probes find a planted truth, are at chance on shuffled labels, and choose their layer without forgotten records."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from expunge.attacks._probing import Pairs, accuracies, best_layer, pairs_of, told_apart
from expunge.attacks.contrastive_probe import ccs_loss, contrastive_probe, fit_contrastive
from expunge.attacks.linear_probe import fit_linear, linear_probe
from expunge.core.access import Access
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.engine.activations import pooled
from expunge.testing.toy import toy_model, toy_selection

pytestmark = pytest.mark.slow

SELECTION = toy_selection()
FITS = {
    "linear": partial(fit_linear, strength=0.1),
    "contrastive": partial(fit_contrastive, restarts=4, steps=200),
}


def planted(seed, size=4.0, pairs=240, width=16):
    """States of right and of wrong answers that differ along one direction by ``size`` noises."""
    draw = np.random.default_rng(seed)
    truth = np.eye(width)[0]
    right, wrong = (draw.normal(size=(pairs, width)) + sign * size / 2 * truth for sign in (1, -1))
    return right, wrong


@pytest.mark.parametrize("name", FITS)
def test_a_planted_truth_is_found_and_told_on_other_pairs(name):
    right, wrong = planted(0)
    scorer = FITS[name](right[:160], wrong[:160], 0)
    assert told_apart(scorer, right[160:], wrong[160:]).mean() > 0.95
    assert told_apart(scorer, wrong[160:], right[160:]).mean() < 0.05


@pytest.mark.parametrize("name", FITS)
def test_on_shuffled_labels_a_probe_is_at_chance(name):
    told = []
    for seed in range(5):
        right, wrong = planted(seed)
        swap = np.random.default_rng(seed + 100).random(len(right))[:, None] < 0.5
        mixed = np.where(swap, wrong, right), np.where(swap, right, wrong)
        scorer = FITS[name](mixed[0][:160], mixed[1][:160], seed)
        told.append(told_apart(scorer, mixed[0][160:], mixed[1][160:]).mean())
    assert np.mean(told) == pytest.approx(0.5, abs=0.1)


def test_the_contrastive_search_is_not_told_which_answer_is_right():
    right, wrong = planted(3)
    direct, turned = (FITS["contrastive"](*sides, 7) for sides in ((right, wrong), (wrong, right)))
    # Only the one bit that orients it differs.
    assert told_apart(direct, right, wrong).mean() > 0.95 and told_apart(turned, right, wrong).mean() < 0.05


def test_sure_and_contrary_answers_cost_nothing_and_undecided_ones_a_quarter():
    p = torch.tensor([1.0, 0.0])
    assert ccs_loss(p, 1 - p).item() == 0
    assert ccs_loss(torch.full((3,), 0.5), torch.full((3,), 0.5)).item() == pytest.approx(0.25)
    assert ccs_loss(p, p).item() == pytest.approx(1.5)


def test_ties_count_a_half():
    told = told_apart(lambda states: states[:, 0], np.array([[1.0], [2.0], [0.0]]), np.array([[1.0], [1.0], [3.0]]))
    assert told.tolist() == [0.5, 1.0, 0.0]


def test_the_layer_is_the_one_that_tells_subjects_apart_that_were_not_taught():
    draw = np.random.default_rng(0)
    examples = Examples(Example(f"r{i}", "?", "!", subject=f"s{i // 4}") for i in range(80))
    owners = np.arange(80)
    right, wrong = draw.normal(size=(2, 80, 3, 6))
    right[:, 1, 0] += 2.0
    wrong[:, 1, 0] -= 2.0
    # At layer 2 a subject's own coordinate gives it away, which teaches nothing of others.
    mark = np.repeat(draw.normal(size=(20, 6)) * 9, 4, axis=0)
    right[:, 2] += mark
    wrong[:, 2] -= mark
    pairs = Pairs(right, wrong, examples, owners)
    assert best_layer(pairs, FITS["linear"], 0) == 1
    first, second, third = accuracies(pairs, FITS["linear"], 0, range(3))
    assert second > 0.9 and max(first, third) < 0.75
    assert accuracies(pairs, FITS["linear"], 0, [2]) == [third]


def test_pairs_hold_the_reworded_answer_beside_each_wrong_one():
    target = toy_model()
    pairs = pairs_of(target, SELECTION.forget, records=None, wrong=5)
    assert len(pairs.owners) == sum(len(e.perturbed_answer) for e in SELECTION.forget)
    encode = target.template.encode
    for row in (0, 3, 8):
        example = pairs.examples[int(pairs.owners[row])]
        k = int((pairs.owners[:row] == pairs.owners[row]).sum())
        texts = (example.paraphrased_answer, example.perturbed_answer[k])
        items = [encode("r", example.question, text) for text in texts]
        right, wrong = pooled(target, items, "last").numpy()
        assert pairs.right[row] == pytest.approx(right, abs=1e-5) and pairs.wrong[row] == pytest.approx(wrong, abs=1e-5)
    assert len(pairs_of(target, SELECTION.forget, records=None, wrong=1).owners) == len(SELECTION.forget)


@pytest.mark.parametrize("attack", [linear_probe, replace(contrastive_probe, steps=30)])
def test_an_outcome_is_the_share_of_wrong_answers_ranked_below_the_right_one(attack):
    oracle = toy_model().oracle(Access.all())
    rows = attack.run(oracle, SELECTION.forget, seed=0, original=oracle, retain=SELECTION.retain)
    assert {row["record_id"] for row in rows} == set(SELECTION.forget.ids)
    assert {row["outcome"] for row in rows} <= {0.0, 0.5, 1.0}
    fewer = attack.run(oracle, SELECTION.forget[:2], seed=0, original=oracle, retain=SELECTION.retain)
    assert {(row["layer"], row["retain_accuracy"]) for row in rows + fewer} == {
        (rows[0]["layer"], rows[0]["retain_accuracy"])
    }


@pytest.mark.parametrize("attack", [linear_probe, contrastive_probe])
def test_what_a_probe_cannot_be_taught_on_is_refused(attack):
    oracle = toy_model().oracle(Access.all())
    with pytest.raises(EvidenceError, match="needs wrong answers"):
        attack.run(oracle, SELECTION.forget, seed=0, original=oracle, retain=SELECTION.general)
    alone = Examples(e for e in SELECTION.retain if e.subject == "Cy")
    with pytest.raises(EvidenceError, match="have one only"):
        attack.run(oracle, SELECTION.forget, seed=0, original=oracle, retain=alone)


def marked(target, examples, size=20.0):
    """A copy that adds a mark of truth after its first layer where it has read a right answer of these examples."""
    copy = target.clone()
    encode = copy.template.encode
    true = {encode("r", e.question, e.paraphrased_answer or e.answer).ids for e in examples if e.perturbed_answer}
    mark = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(1)), dim=0)
    seen = {}

    def read(_module, _inputs, settings):
        pair = settings["input_ids"], settings["attention_mask"]
        rows = [tuple(row[on.bool()].tolist()) for row, on in zip(*pair, strict=True)]
        seen["true"] = torch.tensor([row in true for row in rows], dtype=torch.float32)

    copy.model.base_model.register_forward_pre_hook(read, with_kwargs=True)
    layer = copy.facts.decoder_layers(copy.model)[0]
    layer.register_forward_hook(lambda _module, _inputs, output: output + size * seen["true"][:, None, None] * mark)
    return copy


@pytest.mark.parametrize("attack", [linear_probe, replace(contrastive_probe, restarts=3, steps=100)])
def test_a_trained_model_that_marks_what_is_true_of_forgotten_records_is_told_from_one_that_does_not(attack, knowing):
    def mean(target, original):
        oracles = target.oracle(Access.all()), original.oracle(Access.all())
        rows = attack.run(oracles[0], SELECTION.forget, seed=0, original=oracles[1], retain=SELECTION.retain)
        assert rows[0]["retain_accuracy"] > 0.9
        return np.mean([row["outcome"] for row in rows])

    original = marked(knowing, SELECTION.retain + SELECTION.forget)
    forgot = marked(knowing, SELECTION.retain)
    assert mean(original, original) > 0.95
    assert mean(forgot, original) < mean(original, original) - 0.2


def test_the_layer_of_every_model_is_that_of_the_original():
    models = [toy_model(layers=3, seed=seed) for seed in range(8)]
    fit = FITS["linear"]
    best = [1 + best_layer(pairs_of(m, SELECTION.retain, None, 2), fit, 0) for m in models]
    other = next(i for i, layer in enumerate(best) if layer != best[0])
    for target, original in ((0, other), (other, 0)):
        oracles = [models[i].oracle(Access.all()) for i in (target, original)]
        rows = linear_probe.run(oracles[0], SELECTION.forget, seed=0, original=oracles[1], retain=SELECTION.retain)
        assert {row["layer"] for row in rows} == {best[original]}
