"""Gradient norms of many sequences at once are those of each sequence alone."""

import numpy as np
import pytest
import torch

from expunge.engine import gradient_norms as many
from expunge.engine.gradient_norms import batched_gradient_norms
from expunge.engine.gradients import gradient_norms
from expunge.testing.toy import toy_corpus, toy_model

FAMILIES = ("llama", "gpt2", "qwen2", "gpt_neox")


@pytest.fixture(params=FAMILIES)
def target(request):
    return toy_model(seed=2, architecture=request.param)


def close(found, want) -> None:
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5 * want.max())


@pytest.mark.parametrize("budget", [1, 60, 9999])
def test_norms_are_those_of_one_backward_pass_a_sequence(target, budget, monkeypatch):
    items = target.template.encode_all(toy_corpus())
    want = gradient_norms(target.model, target.facts, items)
    monkeypatch.setattr(many, "BUDGET", budget)
    monkeypatch.setattr(many, "gradient_norms", None)
    close(batched_gradient_norms(target.model, target.facts, items), want)


def test_a_weight_that_is_head_and_embedding_has_one_gradient(target, monkeypatch):
    model = target.model
    monkeypatch.setattr(many, "gradient_norms", None)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    items = target.template.encode_all(toy_corpus())[:3]
    names = [name for name, _ in model.named_parameters()]
    shared = next(i for i, (_, p) in enumerate(model.named_parameters()) if p is model.get_output_embeddings().weight)
    for row, item in zip(batched_gradient_norms(model, target.facts, items), items, strict=True):
        logits = model(input_ids=torch.tensor([item.ids])).logits[0, item.n_prompt - 1 : -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(item.ids[item.n_prompt :]))
        want = torch.autograd.grad(loss, list(model.parameters()))
        assert row[shared] == pytest.approx(float(want[shared].norm()), rel=1e-5)
        assert len(row) == len(names)
        close(row, np.array([float(g.norm()) for g in want]))


def test_only_trained_parameters_count_and_the_model_stays_as_it_was(target, monkeypatch):
    for name, parameter in target.model.named_parameters():
        parameter.requires_grad_(".1." in name)
    items = target.template.encode_all(toy_corpus())[:4]
    before, flags = target.digest(), [p.requires_grad for p in target.model.parameters()]
    want = gradient_norms(target.model, target.facts, items)
    monkeypatch.setattr(many, "gradient_norms", None)
    found = batched_gradient_norms(target.model, target.facts, items)
    close(found, want)
    assert found.shape == (4, sum(flags)) and target.digest() == before
    assert [p.requires_grad for p in target.model.parameters()] == flags
    assert all(p.grad is None for p in target.model.parameters())
    assert not any(m._forward_hooks for m in target.model.modules())


def test_a_model_that_scales_its_embeddings_is_left_to_single_passes():
    target = toy_model(seed=2, architecture="gemma2")
    items = target.template.encode_all(toy_corpus())[:3]
    want = gradient_norms(target.model, target.facts, items)
    assert np.array_equal(batched_gradient_norms(target.model, target.facts, items), want)


def test_a_parameter_that_is_used_twice_is_left_to_single_passes(monkeypatch):
    target = toy_model(seed=2)
    first, second = target.facts.decoder_layers(target.model)[:2]
    second.mlp.up_proj.weight = first.mlp.up_proj.weight
    items = target.template.encode_all(toy_corpus())[:3]
    close(batched_gradient_norms(target.model, target.facts, items), gradient_norms(target.model, target.facts, items))
    monkeypatch.setattr(many, "gradient_norms", None)
    with pytest.raises(TypeError):
        batched_gradient_norms(target.model, target.facts, items)


@pytest.mark.parametrize("tied", [True, False])
def test_a_padding_token_that_stands_in_a_prompt_trains_no_embedding(tied, monkeypatch):
    target = toy_model(seed=2)
    model, items = target.model, target.template.encode_all(toy_corpus())
    embedding = model.get_input_embeddings()
    plain = batched_gradient_norms(model, target.facts, items)
    embedding.padding_idx = items[0].ids[items[0].n_prompt - 1]
    if not tied:
        head = model.get_output_embeddings()
        head.weight = type(head.weight)(head.weight.detach().clone())
    want = gradient_norms(model, target.facts, items)
    monkeypatch.setattr(many, "gradient_norms", None)
    found = batched_gradient_norms(model, target.facts, items)
    close(found, want)
    first = next(i for i, p in enumerate(model.parameters()) if p is embedding.weight)
    assert not np.allclose(found[0, first], plain[0, first], rtol=1e-3)


class RowScaled(torch.nn.Module):
    """A norm whose weight is one row of its own kind: it takes no weight a sequence."""

    def __init__(self, weight):
        super().__init__()
        self.weight = torch.nn.Parameter(weight.detach() + 0.1 * torch.arange(len(weight)))

    def forward(self, states):
        return torch.nn.functional.rms_norm(states, self.weight.shape, self.weight, 1e-6)


class MeanScaled(RowScaled):
    """A norm that divides by the mean of its weight, over whatever it is given as one."""

    def forward(self, states):
        return torch.nn.functional.rms_norm(states, states.shape[-1:]) * self.weight / self.weight.mean()


class LengthScaled(RowScaled):
    """A norm that divides by the length of its weight, which copies of it make longer."""

    def forward(self, states):
        return torch.nn.functional.rms_norm(states, states.shape[-1:]) * self.weight / self.weight.norm()


@pytest.mark.parametrize("kind", [RowScaled, MeanScaled, LengthScaled])
def test_a_norm_that_takes_no_weight_a_sequence_goes_one_by_one(kind, monkeypatch):
    target, alone = toy_model(seed=2), []
    for layer in target.facts.decoder_layers(target.model):
        layer.input_layernorm = kind(layer.input_layernorm.weight)
    items = target.template.encode_all(toy_corpus())[:6]
    want = gradient_norms(target.model, target.facts, items)
    single = many._one_by_one
    monkeypatch.setattr(many, "_one_by_one", lambda module, *more: alone.append(module) or single(module, *more))
    monkeypatch.setattr(many, "gradient_norms", None)
    close(batched_gradient_norms(target.model, target.facts, items), want)
    assert {type(module) for module in alone} == {kind}, "and the others are not"
