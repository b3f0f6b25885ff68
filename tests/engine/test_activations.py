"""States after layers are the model's own, a run from changed states is exact, and nothing stays on the model."""

from dataclasses import replace

import pytest
import torch

from expunge.core.errors import EvidenceError, TargetError
from expunge.engine.activations import (
    answer_logp,
    asked,
    batches_of,
    changing,
    continued,
    layer_states,
    pooled,
    require_alike,
)
from expunge.engine.score import score
from expunge.engine.views import run_states
from expunge.metrics.loss import loss
from expunge.targets.causal_lm import CausalLM
from expunge.targets.model_facts import MODEL_FACTS
from expunge.testing.toy import toy_model, toy_recipe, toy_selection

FORGET = toy_selection().forget


def items_of(target):
    return target.template.encode_all(FORGET)


def whole_batch(target):
    ((_, batch),) = batches_of(items_of(target), torch.device("cpu"))
    return batch


def assert_untouched(model):
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
        assert "forward" not in vars(module)


@pytest.mark.parametrize("architecture", sorted(MODEL_FACTS))
@torch.no_grad()
def test_a_run_continued_from_any_layers_states_ends_where_the_whole_run_does(architecture):
    target = toy_model(architecture=architecture, layers=3)
    model, facts, batch = target.model, target.facts, whole_batch(target)
    want = run_states(model, facts, batch, final=True, layers=()).final
    for layer, states in enumerate(layer_states(model, facts, batch)):
        torch.testing.assert_close(continued(model, facts, batch, layer, states), want)
    assert_untouched(model)


@torch.no_grad()
def test_states_are_those_that_the_library_reports():
    target = toy_model(layers=3)
    batch = whole_batch(target)
    output = target.model.base_model(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True
    )
    found = layer_states(target.model, target.facts, batch)
    assert len(found) == 3
    for ours, theirs in zip(found[:-1], output.hidden_states[1:-1], strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(target.model.base_model.norm(found[-1]), output.last_hidden_state)


@pytest.mark.parametrize("how", ["mean", "last"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_neither_batches_nor_padding_change_a_state(architecture, how):
    target = toy_model(architecture=architecture)
    items = items_of(target)
    together, alone = pooled(target, items, how), pooled(target, items, how, budget=1)
    turned = pooled(target, items[::-1], how).flip(0)
    assert together.shape == (len(items), 2, 16)
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together, turned)


def test_pooled_states_are_of_the_positions_that_predict_the_answer():
    target = toy_model()
    item = items_of(target)[0]
    ((_, batch),) = batches_of([item], torch.device("cpu"))
    with torch.no_grad():
        states = torch.stack(layer_states(target.model, target.facts, batch), dim=2)[0]
    torch.testing.assert_close(pooled(target, [item], "last")[0], states[-2])
    torch.testing.assert_close(pooled(target, [item], "mean")[0], states[item.n_prompt - 1 : -1].mean(0))


@torch.no_grad()
def test_layers_above_see_what_a_state_was_changed_to_and_nothing_stays():
    target = toy_model(layers=3)
    model, facts, batch = target.model, target.facts, whole_batch(target)
    before = score(target, FORGET, loss.needs)
    other = torch.randn(layer_states(model, facts, batch)[0].shape, generator=torch.Generator().manual_seed(0))
    with changing(model, facts, {1: lambda states: other}):
        output = model.base_model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        seen = layer_states(model, facts, batch)
    found = output.last_hidden_state[batch.rows, batch.cols]
    torch.testing.assert_close(found, continued(model, facts, batch, 1, other))
    assert torch.equal(seen[1], other)
    assert_untouched(model)
    after = score(target, FORGET, loss.needs)
    assert all((before[name] == after[name]).all() for name in before)


def test_nothing_stays_on_the_model_after_an_exception():
    target = toy_model()
    model, facts, batch = target.model, target.facts, whole_batch(target)
    model.train()

    def broken(states):
        raise RuntimeError("broken change")

    with pytest.raises(RuntimeError, match="broken change"), asked(target), changing(model, facts, {0: broken}):
        layer_states(model, facts, batch)
    with pytest.raises((RuntimeError, ValueError, IndexError)):
        continued(model, facts, batch, 0, torch.zeros(len(batch.input_ids), 3, 7))
    assert model.training
    assert_untouched(model)


def test_a_layer_that_is_not_there_is_refused_before_any_is_hooked():
    target = toy_model()
    changes = {0: torch.neg, 2: torch.neg}
    with (
        pytest.raises(TargetError, match=r"layers 0 to 1.*asked for \[2\]"),
        changing(target.model, target.facts, changes),
    ):
        pass
    assert_untouched(target.model)


def test_gradients_flow_to_the_states_and_leave_none_on_the_weights():
    target = toy_model(layers=3)
    model, facts, batch = target.model, target.facts, whole_batch(target)
    with torch.no_grad():
        states = layer_states(model, facts, batch)[0]
    states.requires_grad_()
    (slope,) = torch.autograd.grad(
        answer_logp(facts.head(model), continued(model, facts, batch, 0, states), batch).sum(), states
    )
    step = 1e-2 * slope / slope.norm()
    with torch.no_grad():
        values = [
            answer_logp(facts.head(model), continued(model, facts, batch, 0, states + sign * step), batch).sum()
            for sign in (1, -1)
        ]
    assert float(values[0] - values[1]) == pytest.approx(2e-2 * float(slope.norm()), rel=1e-2)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_mean_log_probability_is_what_scoring_gives():
    target = toy_model()
    batch = whole_batch(target)
    order = next(batches_of(items_of(target), torch.device("cpu")))[0]
    with torch.no_grad():
        final = run_states(target.model, target.facts, batch, final=True, layers=()).final
        found = answer_logp(target.facts.head(target.model), final, batch)
    want = loss.of(score(target, FORGET, loss.needs))[order]
    assert found.tolist() == pytest.approx(want.tolist(), rel=1e-5)


def test_models_whose_states_cannot_be_compared_are_refused():
    target = toy_model()
    require_alike(target, toy_model(seed=1), FORGET)
    require_alike(toy_model(architecture="gpt2"), toy_model(architecture="gpt2", seed=1), FORGET)
    with pytest.raises(EvidenceError, match="2 layers of size 16, the original 3 of size 16"):
        require_alike(target, toy_model(layers=3), FORGET)
    with pytest.raises(EvidenceError, match="the original 2 of size 32"):
        require_alike(target, toy_recipe(hidden=32).start(seed=0), FORGET)
    fewer = replace(toy_recipe().base, vocabulary=toy_recipe().base.vocabulary[::-1]).build()
    with pytest.raises(EvidenceError, match="their tokens differ"):
        require_alike(target, CausalLM(target.model, fewer.tokenizer), FORGET)
