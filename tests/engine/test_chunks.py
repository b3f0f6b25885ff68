"""A term over the whole vocabulary is taken in chunks of its rows: the same gradients, and less held at once."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.steps import peaks
from benchmarks.steps_data import SHAPES, data_of, target_of
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.objective import Loss, PerRecord, as_loss, objective
from expunge.core.training import Training
from expunge.engine import chunks
from expunge.engine.run import Run
from expunge.objectives import ce_u, grad_ascent, kga, kl, nll, reverse_kl, undial
from expunge.testing.toy import toy_model, toy_selection

WHOLE = 10**12
SELECTION = toy_selection()
DATA = {"forget": SELECTION.forget, "retain": SELECTION.retain}
GAPS = PerRecord({record: 0.1 * i for i, record in enumerate(SELECTION.forget.ids)})


@objective(reduce="example")
def both_answers(logits, logits_alt_ref, mask, mask_alt):
    """Read two answers of different length and all the vocabulary of each."""
    own, other = (z.logsumexp(-1) * m for z, m in ((logits, mask), (logits_alt_ref, mask_alt)))
    return own.sum(1) * other.sum(1) / 100


@objective(reduce="example")
def two_roles(logits, logits_retain):
    """Read two batches side by side."""
    return logits.logsumexp(-1).mean(1) + logits_retain[:, :1].logsumexp(-1).mean()


@objective(reduce="token", on="retain")
def states_too(logits, hidden, hidden_ref):
    """Read logits beside the states of a layer."""
    return logits.square().mean(-1) + (hidden - hidden_ref).square().sum(-1)


LOSSES = {
    "kl": grad_ascent.bind() + kl.bind(),
    "one_role_twice": nll.bind().on("retain") + 0.3 * kl.bind() + 0.2 * reverse_kl.bind().on("retain"),
    "undial": undial.bind(gamma=3.0) + nll.bind().on("retain"),
    "kga": as_loss(kga.bind(gap=GAPS)),
    "ce_u": ce_u.bind(ignore_first=1) + nll.bind().on("retain"),
    "both_answers": both_answers.bind() + nll.bind().on("retain"),
    "states_too": grad_ascent.bind() + states_too.bind(layer=0),
}


def gradients(monkeypatch, loss, most, *, architecture="llama", **settings):
    """Gradients and means of a step away from the reference, and the largest view that each call of a formula got."""
    monkeypatch.setattr(chunks, "MOST", {"cpu": most})
    target = toy_model(seed=3, architecture=architecture)
    expert = toy_model(seed=4, architecture=architecture)
    for module in target.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    read: list[int] = []

    def watched(term):
        def function(*tensors, **given):
            read.append(max(tensor.numel() for tensor in tensors))
            return term.formula.function(*tensors, **given)

        full = any(need.view == "logits" for need in term.formula.needs)
        return replace(term, formula=replace(term.formula, function=function)) if full else term

    loss = Loss(tuple(watched(term) for term in as_loss(loss).terms))
    training = Training(**({"lr": 1e-3, "steps": 1, "batch_size": 5, "retain_batch_size": 7} | settings))
    run = Run(target, loss, DATA, training, 0, auxiliaries={"expert": expert})
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for _, parameter in sorted(run.model.named_parameters()):
            parameter.add_(0.05 * torch.randn_like(parameter))
    run.model.train()
    run._batch = {role: stream.at(0) for role, stream in run.streams.items()}
    run.backward(run.loss.roles)
    return {n: p.grad for n, p in run.named.items() if p.grad is not None}, run._means, read


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("name", LOSSES)
def test_chunks_change_no_gradient(monkeypatch, name, architecture):
    whole, means, wide = gradients(monkeypatch, LOSSES[name], WHOLE, architecture=architecture)
    assert max(g.abs().max() for g in whole.values()) > 1e-3
    for most in (1, max(wide) // 2):
        cut, cut_means, narrow = gradients(monkeypatch, LOSSES[name], most, architecture=architecture)
        assert max(narrow) < max(wide) and len(narrow) > len(wide), "it was cut"
        assert cut_means == pytest.approx(means, rel=1e-5, abs=1e-6)
        assert cut.keys() == whole.keys()
        for key, value in whole.items():
            torch.testing.assert_close(cut[key], value, rtol=1e-5, atol=1e-6)


def test_chunks_of_micro_batches_in_bfloat16_change_rounding_only(monkeypatch):
    settings = {"precision": "bfloat16", "micro_batch": 3}
    whole, means, _ = gradients(monkeypatch, LOSSES["kl"], WHOLE, **settings)
    cut, cut_means, _ = gradients(monkeypatch, LOSSES["kl"], 1, **settings)
    assert cut_means == pytest.approx(means, rel=1e-2)
    largest = max(float(g.abs().max()) for g in whole.values())
    for key, value in whole.items():
        assert float((cut[key] - value).abs().max()) < 1e-2 * largest, key
        assert cut[key].dtype == torch.float32


def test_a_term_over_two_roles_is_not_cut(monkeypatch):
    found = [gradients(monkeypatch, two_roles.bind() + nll.bind().on("retain"), most) for most in (1, WHOLE)]
    assert [len(read) for _, _, read in found] == [1, 1]


@given(st.lists(st.integers(1, 90), min_size=1, max_size=20), st.integers(1, 9000))
def test_chunks_hold_every_row_once_and_no_more_than_they_may(counts, vocabulary):
    found = chunks.chunks(kl.bind(), [torch.tensor(counts), torch.tensor([2] * len(counts))], vocabulary)
    assert [row for start, end in found for row in range(start, end)] == list(range(len(counts)))
    for start, end in found:
        assert end - start == 1 or max(counts) * vocabulary * (end - start) <= chunks.MOST["cpu"]
    assert chunks.chunks(nll.bind(), [torch.tensor(counts)], 10**9) == [(0, len(counts))]


def test_a_full_vocabulary_reference_costs_little_but_its_head(monkeypatch):
    # Logits are the largest thing in a step of this shape.
    data = data_of(Path("no such folder"), forget=8, retain=8)
    target = target_of(replace(SHAPES["tiny"], layers=2, vocabulary=2048), data)
    ratios = {}
    for most in (2**17, WHOLE):
        monkeypatch.setattr(chunks, "MOST", {"cpu": most})
        found = peaks(target, data, 8, 1)
        ratios[most] = (found["kl"] - found["head"]) / found["ascent"]
    assert ratios[2**17] <= 1.1 < 1.2 < ratios[WHOLE]
