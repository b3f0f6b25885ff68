"""Padding, the split of batches, their order and that of records change nothing beyond 1e-5."""

import pytest
import torch

from expunge.core.example import Examples
from expunge.core.objective import as_loss, constant
from expunge.core.seeds import keyed_order
from expunge.core.training import Training
from expunge.data import collate as collation
from expunge.data.collate import by_length, collate
from expunge.data.memory import MemoryStore
from expunge.engine import score as scorer
from expunge.engine import train as loop
from expunge.engine import views as computer
from expunge.engine.batches import Batches
from expunge.engine.score import score
from expunge.engine.views import Demand, compute
from expunge.objectives import calibrated_ascent, grad_ascent, kl, nll, npo
from expunge.testing.toy import toy_model, toy_recipe, toy_selection, toy_store

LEVEL = constant("never_seen_level", scale=1.0)
LOSSES = {
    "nll": nll.bind() + nll.bind().on("retain"),
    "grad_ascent": grad_ascent.bind() + nll.bind().on("retain"),
    "npo": npo.bind(beta=0.3) + kl.bind(),
    "calibrated_ascent": calibrated_ascent.bind(level=LEVEL) + 0.5 * nll.bind().on("retain"),
}
COLUMNS = ("token_logp", "token_mu", "token_sigma", "token_logp_paraphrase", "token_logp_perturbed", "mask", "n_tokens")
ARCHITECTURES = ("llama", "gpt2")


def data() -> dict[str, Examples]:
    selection = toy_selection()
    return {"forget": selection.forget, "retain": selection.retain, "never_seen": selection.never_seen}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float = 1e-5) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def weights(target) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in target.model.named_parameters()}


def eager(architecture: str = "llama"):
    """A model without dropout, whose gradients can be compared between splits."""
    target = toy_model(seed=5, architecture=architecture)
    for module in target.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if architecture == "gpt2":
        target.model.config.attn_pdrop = 0.0
        for block in target.model.base_model.h:
            block.attn.attn_dropout.p = 0.0
    return target


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", LOSSES)
def test_accumulation_changes_no_gradient(gradients, name, architecture):
    target = eager(architecture)
    whole, means = gradients(target, LOSSES[name], data())
    assert any(g.abs().max() > 1e-4 for g in whole.values())
    for micro in (1, 2, 5):
        split, split_means = gradients(target, LOSSES[name], data(), micro_batch=micro)
        same(split, whole)
        assert split_means == pytest.approx(means, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_the_amount_of_right_padding_changes_no_gradient(gradients, monkeypatch, name):
    target = eager()
    whole, _ = gradients(target, LOSSES[name], data())

    def wide(items, *, pad=0):
        batch = collate(items, pad=pad)
        more = torch.zeros((len(items), 7), dtype=torch.long)
        fields = {k: getattr(batch, k) for k in ("rows", "cols", "labels", "counts")}
        ids = torch.cat([batch.input_ids, more + 9], 1)
        return collation.Batch(ids, torch.cat([batch.attention_mask, more], 1), **fields)

    calls = []
    monkeypatch.setattr(computer, "collate", lambda items, **k: calls.append(1) or wide(items, **k))
    padded, _ = gradients(target, LOSSES[name], data())
    assert calls
    same(padded, whole)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_pad_id_may_be_the_end_token_or_any_word(architecture):
    target = eager(architecture)
    items = target.template.encode_all(toy_selection().retain)
    word = items[0].ids[1]
    demand = Demand(final=True, layers=(0,))

    def seen(pad: int) -> list[torch.Tensor]:
        original = computer.collate
        computer.collate = lambda batch: collate(batch, pad=pad)
        try:
            (views,) = compute(target.model, target.facts, [items], demand, torch.device("cpu"))
        finally:
            computer.collate = original
        return [views.get("token_logp", None), views.get("logits", None), views.get("hidden", 0)]

    for pad in (target.template.end, word, target.tokenizer.pad_token_id):
        for a, b in zip(seen(pad), seen(1), strict=True):
            assert torch.equal(a, b)


def test_real_end_and_pad_tokens_inside_an_answer_are_attended_to():
    target = eager()
    item = target.template.encode("x", "Where does Ana live?", "Ana lives <pad> in Oslo.")
    batch = collate([item], pad=target.tokenizer.pad_token_id)
    assert target.tokenizer.pad_token_id in item.ids
    assert batch.attention_mask.sum() == len(item.ids)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_combined_forward_gives_what_separate_ones_give(architecture):
    target = eager(architecture)
    forget, retain = (target.template.encode_all(data()[role]) for role in ("forget", "retain"))
    demand = Demand(final=True, layers=(1,))
    cpu = torch.device("cpu")
    together = compute(target.model, target.facts, [forget, retain], demand, cpu)
    for views, items in zip(together, (forget, retain), strict=True):
        (alone,) = compute(target.model, target.facts, [items], demand, cpu)
        for view in ("logp", "token_logp", "logits", "hidden", "labels", "mask", "n_tokens"):
            torch.testing.assert_close(views.get(view, 1), alone.get(view, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 20, 60, 10**9])
def test_the_split_and_order_of_batches_change_no_score(monkeypatch, budget):
    target, corpus = eager(), toy_selection().retain + toy_selection().forget
    want = score(target, corpus, COLUMNS)
    monkeypatch.setattr(scorer, "BUDGET", budget)
    turned = keyed_order(corpus.ids, 1)
    got = score(target, Examples(corpus[i] for i in turned), COLUMNS)
    for name in COLUMNS:
        assert abs(got[name] - want[name][turned]).max() < 1e-5, name


def test_every_batch_is_within_its_budget_and_every_record_in_one():
    lengths = [3, 9, 1, 4, 30, 9]
    batches = by_length(lengths, 20)
    assert sorted(i for batch in batches for i in batch) == list(range(6))
    assert all(len(b) == 1 or max(lengths[i] for i in b) * len(b) <= 20 for b in batches)


def test_terms_are_averaged_over_the_whole_batch_and_not_over_means(gradients):
    target = eager()
    ragged = Examples(sorted(data()["retain"], key=lambda e: len(e.answer)))
    encoded = target.template.encode_all(ragged)
    _, means = gradients(target, nll.bind().on("retain"), {"retain": ragged}, micro_batch=1)
    rows = [torch.tensor(row) for row in scorer.token_logp_rows(target, ragged)]
    whole = -torch.cat(rows).mean().item()
    of_means = -torch.stack([row.mean() for row in rows]).mean().item()
    assert len({item.n_scored for item in encoded}) > 2 and abs(whole - of_means) > 1e-3
    assert means["0:nll/retain"] == pytest.approx(whole, abs=1e-5)


def test_an_example_term_is_averaged_over_examples(gradients):
    target = eager()
    _, means = gradients(target, npo.bind(beta=0.5), data(), micro_batch=4)
    assert means["0:npo/forget"] == pytest.approx(4 * 0.6931472, abs=1e-5)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("micro", [0, 3])
def test_several_steps_end_at_the_same_weights_whatever_the_split(name, micro):
    training = Training(lr=1e-3, steps=4, batch_size=4, micro_batch=micro)
    plain = Training(lr=1e-3, steps=4, batch_size=4)
    ends = []
    for settings in (plain, training):
        target = eager()
        loop.train(target, as_loss(LOSSES[name]), data(), settings, seed=2)
        ends.append(weights(target))
    same(*ends)


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_records_changes_no_weight(name):
    ends = []
    for turn in (False, True):
        target = eager()
        records = {role: Examples(reversed(list(e))) if turn else e for role, e in data().items()}
        loop.train(target, as_loss(LOSSES[name]), records, Training(lr=1e-3, steps=6, batch_size=4), seed=2)
        ends.append(weights(target))
    same(*ends)


def test_the_order_of_a_store_changes_no_bit_of_a_fine_tuned_model():
    store = toy_store()
    turned = MemoryStore(reversed(list(store.all())))
    assert turned.digest() == store.digest()
    recipe = toy_recipe(steps=6)
    assert recipe.train(turned, seed=1).digest() == recipe.train(store, seed=1).digest()


def test_every_epoch_visits_every_record_once_in_an_order_of_its_own():
    keys = [f"r{i}" for i in range(23)]
    lengths = [1 + i % 5 for i in range(23)]
    batches = Batches(keys, lengths, 4, seed=0, name="forget")
    epochs = [[batches.at(e * batches.per_epoch + i) for i in range(batches.per_epoch)] for e in range(3)]
    assert all(sorted(i for b in epoch for i in b) == list(range(23)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert Batches(keys, lengths, 4, seed=0, name="forget").at(batches.per_epoch + 2) == epochs[1][2]
    assert Batches(keys, lengths, 4, seed=1, name="forget").at(0) != batches.at(0)
    assert Batches(keys, lengths, 4, seed=0, name="retain").at(0) != batches.at(0)


def test_batches_hold_the_same_records_whatever_their_order():
    keys = [f"r{i}" for i in range(61)]  # more than a pool holds
    lengths = {key: 1 + i % 5 for i, key in enumerate(keys)}
    turned = keys[::-1]
    a = Batches(keys, [lengths[k] for k in keys], 3, seed=3, name="x")
    b = Batches(turned, [lengths[k] for k in turned], 3, seed=3, name="x")
    for step in range(2 * a.per_epoch):
        assert [keys[i] for i in a.at(step)] == [turned[i] for i in b.at(step)]
