"""The adversary stays within its radius, never does worse with more room, and touches nothing but the prompt."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.attacks._rows import known
from expunge.attacks.latent_adversary import latent_adversary, within
from expunge.core.access import Access
from expunge.core.errors import ConfigError
from expunge.engine.activations import batches_of, continued
from expunge.testing.toy import toy_model, toy_selection

FORGET = toy_selection().forget
ALL = Access.all()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3_text"])
def test_probabilities_rise_with_epsilon_and_start_from_the_untouched_model(architecture):
    target = toy_model(architecture=architecture)
    before = target.digest()
    attack = replace(latent_adversary, epsilons=(0.0, 0.1, 0.5, 3.0), at=0.1, steps=6)
    found = attack.climb(target, FORGET)
    want = known(target, FORGET)
    assert found[:, 0] == pytest.approx(want, rel=1e-5)
    assert found[:, 1] == pytest.approx(found[:, 0], rel=1e-12)
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found[:, -1] > 1.02 * found[:, 0]).all()
    assert target.digest() == before and all(p.grad is None for p in target.model.parameters())


def test_every_push_stays_within_the_radius_and_on_the_prompt(monkeypatch):
    target, seen = toy_model(), []
    monkeypatch.setattr(
        importlib.import_module("expunge.attacks.latent_adversary"),
        "continued",
        lambda model, facts, batch, layer, states: (
            seen.append((layer, states.detach())) or continued(model, facts, batch, layer, states)
        ),
    )
    replace(latent_adversary, epsilons=(0.2,), at=0.2, steps=5).climb(target, FORGET)
    (positions, _), *more = batches_of(target.template.encode_all(FORGET), torch.device("cpu"))
    assert not more and len(positions) == len(FORGET)
    plain = seen[0][1]
    first = [target.template.encode_all(FORGET)[i].n_prompt for i in positions]
    pushed = 0.0
    for layer, states in seen[1:]:
        assert layer == 0
        share = (states - plain).norm(dim=2) / plain.norm(dim=2)
        assert share.max() <= 0.2 * (1 + 1e-5)
        for row, n_prompt in enumerate(first):
            assert not share[row, n_prompt:].any()
        pushed = max(pushed, float(share.max()))
    assert pushed == pytest.approx(0.2, rel=1e-3)


def test_a_record_is_pushed_alike_whatever_it_is_batched_with():
    target = toy_model()
    attack = replace(latent_adversary, steps=4)
    together = attack.climb(target, FORGET)
    alone = np.concatenate([attack.climb(target, FORGET[i : i + 1]) for i in range(len(FORGET))])
    assert together == pytest.approx(alone, rel=1e-3)


def test_vectors_are_brought_to_the_ball_and_not_turned():
    push = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    found = within(push, torch.tensor([0.0, 0.1, 1.0, 2.0, 100.0]))
    assert not found[0].any() and torch.equal(found[4], push[4])
    assert (found.norm(dim=1) <= torch.tensor([0.0, 0.1, 1.0, 2.0, 100.0]) * (1 + 1e-6)).all()
    assert (torch.nn.functional.cosine_similarity(found[1:], push[1:]) > 1 - 1e-6).all()
    assert not within(torch.zeros(2, 4), torch.zeros(2)).any()


def test_the_ease_is_bounded_and_read_off_the_ladder(knowing, unknowing):
    attack = replace(latent_adversary, epsilons=(0.1, 0.3), at=0.1, steps=4)
    means = []
    for target in (knowing, unknowing):
        rows = attack.run(target.oracle(ALL), FORGET, seed=0)
        assert set(rows[0]) == {"record_id", "subject", "outcome", "untouched", "at_0.1", "at_0.3", "ease"}
        for row in rows:
            reached = [e for e, name in ((0, "untouched"), (0.1, "at_0.1"), (0.3, "at_0.3")) if row[name] >= 0.5]
            assert row["ease"] == pytest.approx(1 / (1 + reached[0]) if reached else 0)
            assert row["outcome"] == row["at_0.1"]
        means.append(np.mean([row["ease"] for row in rows]))
    assert means[0] > means[1]
    never = replace(attack, reached=1.1).run(unknowing.oracle(ALL), FORGET, seed=0)
    assert all(row["ease"] == 0 for row in never)


def test_which_layer_is_pushed_is_a_share_of_the_depth():
    one, other = (
        replace(latent_adversary, depth=depth, steps=3).climb(toy_model(layers=3), FORGET) for depth in (0.0, 1.0)
    )
    assert one[:, 0] == pytest.approx(other[:, 0], rel=1e-5) and not np.allclose(one[:, -1], other[:, -1])


@pytest.mark.parametrize("ladder", [(0.5, 0.1), (0.1, 0.1), (-0.1, 0.5), (0.1, 0.2)])
def test_a_ladder_that_does_not_rise_or_lacks_its_rung_is_refused(ladder):
    with pytest.raises(ConfigError, match="cannot be climbed"):
        replace(latent_adversary, epsilons=ladder, at=0.5)
