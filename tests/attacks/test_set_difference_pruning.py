"""Pruning takes what matters to the behaviour and not to utility, from a copy, and is chosen on the attacker's half."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from expunge.attacks._drawing import halves
from expunge.attacks._rows import known
from expunge.attacks.set_difference_pruning import (
    _matrices,
    _said,
    importance,
    ranks,
    set_difference,
    set_difference_pruning,
)
from expunge.core.access import Access
from expunge.core.attack import at_budget
from expunge.core.example import Examples
from expunge.data.collate import collate
from expunge.engine.views import run_states
from expunge.ops.answer import flat_logp
from expunge.testing.toy import toy_model, toy_selection

SELECTION = toy_selection()
SHARES = st.floats(0, 1)


@given(st.integers(0, 99), SHARES, SHARES)
def test_the_difference_is_that_of_the_two_sets(seed, behaviour, utility):
    draw = np.random.default_rng(seed)
    scores = [torch.tensor(draw.permutation(24.0 * np.ones(24).cumsum()).reshape(4, 6)) for _ in range(2)]
    found = set_difference(*(ranks(score) for score in scores), behaviour, utility).flatten()
    tops = [
        set(score.flatten().argsort(descending=True)[: round(share * 24)].tolist())
        for score, share in zip(scores, (behaviour, utility), strict=True)
    ]
    assert set(found.nonzero()[:, 0].tolist()) == tops[0] - tops[1]


def test_importance_is_the_mean_over_records_of_weight_times_gradient():
    target = toy_model()
    name = "model.layers.1.mlp.down_proj.weight"
    weight = dict(target.model.named_parameters())[name]
    items = target.template.encode_all(SELECTION.retain[:3])
    want = torch.zeros_like(weight)
    for item in items:
        batch = collate([item])
        states = run_states(target.model, target.facts, batch, final=True, layers=())
        nll = -flat_logp(target.facts.head(target.model)(states.final), batch.labels).mean()
        want += (weight * torch.autograd.grad(nll, weight)[0]).abs().detach() / 3
    found = importance(target, items, {name: weight})[name]
    torch.testing.assert_close(found, want)
    assert not torch.allclose(found, importance(target, items[:1], {name: weight})[name])


def plainly(target, prompt, room):
    """Greedy tokens, one pass each; the end token last if it comes in time."""
    said = []
    while len(said) < room and target.template.end not in said:
        with torch.no_grad():
            said.append(int(target.model(torch.tensor([[*prompt, *said]])).logits[0, -1].argmax()))
    return tuple(said)


def test_what_the_model_says_itself_is_kept_as_the_tokens_that_it_says(knowing, monkeypatch):
    shown = SELECTION.forget[:3]
    for target in (knowing, toy_model(seed=3)):
        items = target.template.encode_all(shown)
        most = max(item.n_scored for item in items)
        monkeypatch.setattr(target.tokenizer, "decode", None)
        found = _said(target, shown)
        monkeypatch.undo()
        for item, said in zip(items, found, strict=True):
            prompt = item.ids[: item.n_prompt]
            assert said.ids == (*prompt, *plainly(target, prompt, most)) and said.n_prompt == item.n_prompt


def test_an_answer_that_could_not_be_encoded_again_is_scored_all_the_same(monkeypatch):
    target = toy_model()
    end, unknown = target.template.end, target.tokenizer.unk_token_id
    monkeypatch.setitem(importance.__globals__, "decode", lambda *_, **__: [[unknown, 7, unknown], []])
    items = _said(target, SELECTION.forget[:2])
    assert items[0].ids[items[0].n_prompt :][:3] == (unknown, 7, unknown)
    assert items[1].ids[items[1].n_prompt :] == (end,)
    found = importance(target, items, dict(_matrices(target)))
    assert all(bool(weight.isfinite().all()) and float(weight.sum()) > 0 for weight in found.values())


def test_the_outcome_is_that_of_the_point_which_the_attackers_half_finds_best():
    target = toy_model()
    attack = replace(set_difference_pruning, behaviour=(0.05, 0.3), utility=(0.1,))
    before = target.digest()

    def run(attack):
        return attack.run(target.oracle(Access.all()), SELECTION.forget, seed=0, retain=SELECTION.retain)

    rows, singles = run(attack), [run(replace(attack, behaviour=(share,))) for share in attack.behaviour]
    assert target.digest() == before
    shown, held_out = halves(SELECTION.forget)
    assert [row["record_id"] for row in rows] == list(held_out.ids)
    assert [row["untouched"] for row in rows] == pytest.approx(known(target, held_out).tolist())
    untouched = replace(attack, behaviour=(0.0,))
    assert all(row["outcome"] == row["untouched"] and row["pruned"] == 0 for row in run(untouched))
    assert rows in ([*singles, run(untouched)])
    # Asked of the other half alone, the choice stays: what is held out chooses nothing.
    fewer = Examples([*shown, held_out[0]])
    again = attack.run(target.oracle(Access.all()), fewer, seed=0, retain=SELECTION.retain)
    assert again[0]["pruned"] == rows[0]["pruned"]


def test_a_model_that_answers_is_not_pruned_for_the_worse(knowing):
    oracle = knowing.oracle(Access.all())
    rows = set_difference_pruning.run(oracle, SELECTION.forget, seed=0, retain=SELECTION.retain)
    untouched, found = (np.mean([row[name] for row in rows]) for name in ("untouched", "outcome"))
    assert untouched > 0.6 and found > untouched - 0.1


def plant(target):
    """Overwrite one neuron of the first layer: it fires on the forgotten names and spoils what is read from there."""
    mlp = target.facts.decoder_layers(target.model)[0].mlp
    seen = []
    handle = mlp.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    batch = collate(target.template.encode_all(SELECTION.forget + SELECTION.retain))
    with torch.no_grad():
        target.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    handle.remove()
    real = batch.attention_mask.bool()
    names = torch.tensor(target.tokenizer.convert_tokens_to_ids(["Ana", "Bo"]))
    states, named = seen[0][real], torch.isin(batch.input_ids, names)[real]
    found = LogisticRegression(C=1000, max_iter=9000, fit_intercept=False, class_weight="balanced")
    towards = torch.tensor(found.fit(states.numpy(), named.numpy()).coef_[0], dtype=torch.float32)
    towards /= (states @ towards)[named].mean()
    spoil = torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(0)), dim=0)
    with torch.no_grad():
        least = int((mlp.down_proj.weight.norm(dim=0) * mlp.up_proj.weight.norm(dim=1)).argmin())
        mlp.gate_proj.weight[least], mlp.up_proj.weight[least] = 20 * towards, towards
        mlp.down_proj.weight[:, least] = spoil


def test_a_planted_neuron_that_hides_answers_is_pruned(knowing):
    attacked = knowing.clone()
    plant(attacked)
    rows = set_difference_pruning.run(attacked.oracle(Access.all()), SELECTION.forget, seed=0, retain=SELECTION.retain)
    untouched, found = (np.mean([row[name] for row in rows]) for name in ("untouched", "outcome"))
    assert untouched < 0.5 and found > untouched + 0.15
    assert 0 < rows[0]["pruned"] < 0.1


def test_the_full_grid_has_45_points():
    full = at_budget(set_difference_pruning, "full")
    assert len(full.behaviour) * len(full.utility) == 45
