"""Gradient norms of single sequences against a plain backward pass."""

import numpy as np
import pytest
import torch

from expunge.core.errors import TargetError
from expunge.engine.gradients import gradient_norms, mean_gradient
from expunge.engine.score import score
from expunge.testing.toy import toy_model, toy_selection


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_each_norm_is_that_of_a_plain_backward_pass_of_one_sequence(architecture):
    target = toy_model(seed=2, architecture=architecture)
    items = target.template.encode_all(toy_selection().forget)[:3]
    found = gradient_norms(target.model, target.facts, items)
    for row, item in zip(found, items, strict=True):
        target.model.zero_grad()
        logits = target.model(input_ids=torch.tensor([item.ids])).logits[0, item.n_prompt - 1 : -1]
        torch.nn.functional.cross_entropy(logits, torch.tensor(item.ids[item.n_prompt :])).backward()
        norms = [float(p.grad.norm()) for p in target.model.parameters()]
        np.testing.assert_allclose(row, norms, rtol=1e-4, atol=1e-6)


def test_it_leaves_the_model_as_it_was_and_reads_trained_parameters_only():
    target = toy_model(architecture="gpt2")
    target.model.train()
    frozen = next(target.model.parameters()).requires_grad_(False)
    before, items = target.digest(), target.template.encode_all(toy_selection().forget)[:2]
    first, again = (gradient_norms(target.model, target.facts, items) for _ in range(2))
    assert np.array_equal(first, again), "dropout is off"
    assert first.shape == (2, sum(p is not frozen for p in target.model.parameters()))
    assert target.model.training and target.digest() == before
    assert all(p.grad is None for p in target.model.parameters())
    assert gradient_norms(target.model, target.facts, []).shape == (0, first.shape[1])


@pytest.mark.parametrize("name", ["gradient_norms", "mean_gradient", "score"])
def test_a_pass_that_fails_leaves_the_mode_as_it_was(name, monkeypatch):
    target = toy_model()
    target.model.train()
    items, parameters = target.template.encode_all(toy_selection().forget)[:2], dict(target.model.named_parameters())
    calls = {
        "gradient_norms": lambda: gradient_norms(target.model, target.facts, items),
        "mean_gradient": lambda: mean_gradient(target.model, target.facts, items, parameters, rows=1),
        "score": lambda: score(target, toy_selection().forget, ("token_logp",)),
    }

    def fail(*_, **__):
        raise TargetError("out of memory")

    monkeypatch.setattr(target.model.base_model, "forward", fail)
    with pytest.raises(TargetError):
        calls[name]()
    assert target.model.training
