"""A common opening, groups of rows and frozen layers change what is computed, never what comes out."""

import itertools
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.objective import as_loss
from expunge.core.training import Training
from expunge.data.collate import Batch, Encoded, collate
from expunge.engine import passes, prefix_states
from expunge.engine.passes import groups_of, opening
from expunge.engine.run import Run
from expunge.engine.train import train
from expunge.engine.views import run_states
from expunge.objectives import kl, nll, npo
from expunge.targets.model_facts import MODEL_FACTS
from expunge.testing.toy import toy_model, toy_selection

OPENING = (5, 9, 7, 11, 6, 8, 10, 12, 5)
LOSS = npo.bind(beta=0.3) + kl.bind() + nll.bind().on("retain")
ALWAYS, NEVER = {"cpu": 0.0}, {"cpu": 1e99}


def still(target):
    for module in target.model.modules():
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                setattr(module, name, 0.0)
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return target


def rows() -> list[Encoded]:
    """Sequences that begin alike and differ in length, the second also in where its prompt ends."""
    own = [(7, 8, 9), (6, 7, 8, 9, 10, 11, 12, 5, 6, 7, 8), (9, 9, 5, 6), (8, 5)]
    return [Encoded(f"r{i}", (*OPENING, *ids), len(OPENING) + (i == 1)) for i, ids in enumerate(own)]


def data():
    selection = toy_selection()
    return {"forget": selection.forget, "retain": selection.retain}


@pytest.mark.parametrize("family", sorted(MODEL_FACTS))
def test_rows_that_share_an_opening_give_what_they_give_alone(family, count, monkeypatch):
    target = still(toy_model(seed=3, architecture=family, layers=3))
    monkeypatch.setattr(passes, "STARTING", ALWAYS)
    run = {"final": True, "layers": (0, 2)}
    target.model.train()
    with count(target) as seen:
        together = run_states(target.model, target.facts, collate(rows()), **run)
    assert (0, 1, len(OPENING) - 1) in seen.layers, "the opening, once; its last token predicts"
    assert seen.passes == 5, "the opening, and four widths of a row each"
    alone = [run_states(target.model, target.facts, collate([row]), **run) for row in rows()]
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(together.final, torch.cat([s.final for s in alone]), **close)
    for layer in (0, 2):
        torch.testing.assert_close(together.layers[layer], torch.cat([s.layers[layer] for s in alone]), **close)


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
def test_gradients_flow_through_the_opening(family, monkeypatch):
    target = still(toy_model(seed=3, architecture=family))
    found = []
    for starting in (ALWAYS, NEVER):
        monkeypatch.setattr(passes, "STARTING", starting)
        target.model.train().zero_grad()
        states = run_states(target.model, target.facts, collate(rows()), final=True, layers=())
        states.final.pow(3).sum().backward()
        found.append({n: p.grad.clone() for n, p in target.model.named_parameters() if p.grad is not None})
    largest = max(float(g.abs().max()) for g in found[0].values())
    assert largest > 1e-3
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-5, atol=1e-6 * largest)


def test_a_masked_column_ends_the_opening():
    batch = collate(rows())
    assert opening(batch) == len(OPENING) - 1
    batch.attention_mask[2, 4] = 0
    assert opening(batch) == 4


def test_a_model_that_drops_values_gets_neither(count, monkeypatch):
    monkeypatch.setattr(passes, "STARTING", ALWAYS)
    target = toy_model(architecture="gpt2")
    for mode, wanted in ((True, 1), (False, 5)):
        target.model.train(mode)
        with count(target) as seen:
            run_states(target.model, target.facts, collate(rows()), final=True, layers=())
        assert seen.passes == wanted


def test_where_activations_are_made_again_nothing_is_remembered(monkeypatch):
    target = toy_model(seed=3)
    found = []
    for starting in (ALWAYS, NEVER):
        monkeypatch.setattr(passes, "STARTING", starting)
        target.model.train()
        for layer in target.facts.decoder_layers(target.model):
            monkeypatch.setattr(layer, "gradient_checkpointing", True)
            monkeypatch.setattr(layer, "_gradient_checkpointing_func", lambda run, *a: run(*a), raising=False)
        found.append(run_states(target.model, target.facts, collate(rows()), final=True, layers=()).final)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_a_head_alone_may_be_trained_and_no_layer_runs(monkeypatch):
    monkeypatch.setattr(passes, "STARTING", ALWAYS)
    target = still(toy_model(seed=3, architecture="phi"))
    stack = target.facts.decoder_layers(target.model)
    items = rows()
    before = run_states(target.model, target.facts, collate(items), final=True, layers=()).final
    kept = prefix_states.LowerStates(target.model, target.facts, items, len(stack), torch.device("cpu"))
    attention = stack[0].self_attn.register_forward_pre_hook(lambda *_: pytest.fail("a layer ran"))
    found = run_states(target.model, target.facts, collate(items), final=True, layers=(), lower=kept.of(items)).final
    attention.remove()
    torch.testing.assert_close(found, before, rtol=1e-5, atol=1e-5)


def test_layers_that_share_out_their_weights_run_once(count, monkeypatch):
    monkeypatch.setattr(passes, "STARTING", ALWAYS)
    target = toy_model()
    monkeypatch.setattr(target.facts.decoder_layers(target.model)[0], "reshard", lambda: None, raising=False)
    with count(target) as seen:
        run_states(target.model, target.facts, collate(rows()), final=True, layers=())
    assert seen.passes == 1


def test_no_token_behind_the_last_that_predicts_runs_unless_it_is_asked_for(count):
    target = toy_model()
    batch = collate(rows())
    last = Batch(batch.input_ids, batch.attention_mask, batch.rows, batch.cols + 1, batch.labels, batch.counts)
    widths = []
    for asked in (batch, last):
        with count(target) as seen:
            run_states(target.model, target.facts, asked, final=True, layers=())
        widths.append(seen.layers[0][2])
    assert widths == [batch.input_ids.shape[1] - 1, batch.input_ids.shape[1]]


@given(widths=st.lists(st.integers(1, 12), min_size=1, max_size=7), cost=st.integers(0, 20))
def test_no_other_cut_of_the_sorted_rows_costs_fewer_tokens(widths, cost):
    def tokens(groups):
        return sum(len(g) * max(widths[i] for i in g) + cost for g in groups)

    found = groups_of(widths, cost)
    order = sorted(range(len(widths)), key=lambda i: -widths[i])
    assert sorted(i for group in found for i in group) == list(range(len(widths)))
    for cuts in itertools.product((False, True), repeat=len(widths) - 1):
        groups = [[order[0]]]
        for cut, row in zip(cuts, order[1:], strict=True):
            groups.append([row]) if cut else groups[-1].append(row)
        assert tokens(found) <= tokens(groups)


def ended(target, monkeypatch, *, limit: int, trainable=(), starting=ALWAYS):
    """Weights after a run over several epochs, and how often the lowest layer's attention ran."""
    monkeypatch.setattr(prefix_states, "LIMIT", limit)
    monkeypatch.setattr(passes, "STARTING", starting)
    target = target.clone()
    ran = []
    attention = target.facts.decoder_layers(target.model)[0].self_attn
    handle = attention.register_forward_pre_hook(lambda *_: ran.append(torch.is_grad_enabled()))
    training = Training(lr=1e-3, epochs=8, batch_size=3, trainable=trainable)
    train(target, as_loss(LOSS), data(), training, seed=0)
    handle.remove()
    return {n: p.detach() for n, p in target.model.named_parameters()}, sum(ran)


@pytest.mark.parametrize("trainable", [(r"model\.layers\.2\..*",), (r"model\.layers\.[12]\..*q_proj.*",)])
def test_frozen_layers_run_once_a_sequence_and_change_no_weight(trainable, monkeypatch):
    target = toy_model(seed=3, layers=3)
    kept, ran = ended(target, monkeypatch, limit=1 << 30, trainable=trainable)
    assert ran == 0, "no step ran the lowest layer"
    plain, ran = ended(target, monkeypatch, limit=0, trainable=trainable, starting=NEVER)
    assert ran == 16
    before = dict(target.model.named_parameters())
    assert any(not torch.equal(kept[n], before[n]) for n in kept)
    for name, value in kept.items():
        torch.testing.assert_close(value, plain[name], rtol=1e-6, atol=1e-6)


def test_nothing_is_kept_below_what_is_trained():
    target = toy_model(seed=3, layers=3)
    for pattern, kept in ((r"model\.embed_tokens.*", False), (r"model\.layers\.[02]\..*", False), (r".*2\..*", True)):
        own = target.clone()
        for name, parameter in own.model.named_parameters():
            parameter.requires_grad_(re.fullmatch(pattern, name) is not None)
        run = Run(own, as_loss(LOSS), data(), Training(lr=1e-3, epochs=9, batch_size=3), 0)
        assert (run._lower is not None) == kept


def test_a_run_that_reads_each_record_once_keeps_nothing():
    own = toy_model(seed=3, layers=3).clone()
    for name, parameter in own.model.named_parameters():
        parameter.requires_grad_("layers.2." in name)
    run = Run(own, as_loss(LOSS), data(), Training(lr=1e-3, epochs=1, batch_size=3), 0)
    assert run._lower is None


def test_a_reference_is_made_of_the_records_that_the_run_reads():
    target = toy_model(seed=3)
    run = Run(target.clone(), as_loss(LOSS), data(), Training(lr=1e-3, steps=2, batch_size=2), 0)
    (final,) = [kept for (_, kind, _), kept in run.references["ref"]._states.items() if kind == "final"]
    read = {run.encoded["retain", ""][i].key for step in (0, 1) for i in run.streams["retain"].at(step)}
    assert set(final._where) == read and 0 < len(read) < len(data()["retain"])
