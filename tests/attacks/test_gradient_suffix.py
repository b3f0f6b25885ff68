"""A searched suffix: the gradient is that of the loss, the loss falls, and the suffix can be sent as text."""

import dataclasses
import random

import pytest
import torch

from expunge.attacks import gradient_suffix
from expunge.attacks.gradient_suffix import writable
from expunge.core.access import Access, Oracle
from expunge.core.errors import EvidenceError, TargetError
from expunge.core.example import Example, Examples
from expunge.data.memory import MemoryStore
from expunge.engine.suffix import answer_nll, encode_suffix, token_gradients, with_suffix
from expunge.targets.causal_lm import load_causal_lm
from expunge.testing.toy import toy_model, toy_recipe, toy_selection, toy_vocabulary

pytestmark = pytest.mark.slow

FAST = dataclasses.replace(gradient_suffix, steps=6, candidates=12, shown=3, length=4)


def encoded(target, examples, suffix):
    return [encode_suffix(target.oracle(Access.all()), example, suffix) for example in examples]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_the_gradient_says_how_the_loss_changes_with_the_embedding(architecture):
    target, examples = toy_model(seed=1, architecture=architecture), list(toy_selection().forget)[:3]
    suffix = tuple(writable(target.tokenizer, len(target.tokenizer))[3:6])
    rows = encoded(target, examples, suffix)
    found = token_gradients(target, rows, len(suffix)).double()
    assert found.shape == (3, target.model.get_input_embeddings().weight.shape[0])
    table = target.model.get_input_embeddings()
    with torch.no_grad():
        vectors = table(torch.arange(found.shape[1]))
    place, token, step = 1, 9, 0.05

    def loss(scale):
        def shift(_module, given, out):
            out = out.clone()
            for row, position in enumerate(r.start + place for r in rows):
                out[row, position] += scale * vectors[token]
            return out

        hook = table.register_forward_hook(shift)
        try:
            return float(_loss(target, rows))
        finally:
            hook.remove()

    slope = (loss(step) - loss(-step)) / (2 * step)
    assert float(found[place, token]) == pytest.approx(slope, rel=1e-2)
    assert abs(slope) > 1e-6


def _loss(target, rows):
    from expunge.data.collate import collate

    batch = collate([row.item for row in rows])
    with torch.no_grad():
        logits = target.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    logp = logits[batch.rows, batch.cols].double().log_softmax(-1)[torch.arange(len(batch.labels)), batch.labels]
    return -torch.stack([part.mean() for part in logp.split(batch.counts.tolist())]).mean()


def test_the_loss_of_answers_is_that_of_a_plain_pass():
    target, examples = toy_model(seed=1), list(toy_selection().forget)
    suffix = tuple(writable(target.tokenizer, len(target.tokenizer))[:5])
    rows = encoded(target, examples, suffix)
    assert float(answer_nll(target, [row.item for row in rows]).mean()) == pytest.approx(
        float(_loss(target, rows)), rel=1e-5
    )
    for row in rows:
        assert row.item.ids[row.start : row.start + 5] == suffix and row.start + 5 <= row.item.n_prompt


def test_a_suffix_that_text_cannot_carry_is_no_suffix():
    target = toy_model()
    unknown = target.tokenizer.unk_token_id
    assert encode_suffix(Oracle(target, Access.all()), toy_selection().forget[0], (unknown, unknown + 9)) is not None
    swallowed = Oracle(target, Access.all(), wrap=lambda question: question.partition("?")[0])
    assert encode_suffix(swallowed, toy_selection().forget[0], (7, 8)) is None
    with pytest.raises(EvidenceError, match="no suffix of 4 tokens"):
        FAST.run(swallowed, toy_selection().forget, seed=0)


def test_the_search_lowers_the_loss_and_asks_only_those_that_it_did_not_read(knowing):
    before = knowing.digest()
    oracle, forget = knowing.oracle(Access.all()), toy_selection().forget
    rows = FAST.run(oracle, forget, seed=0)
    assert knowing.digest() == before and not any(p.grad is not None for p in knowing.model.parameters())
    read = []
    spy = dataclasses.replace(oracle, wrap=lambda question: read.append(question) or question)
    shown = [e for e in forget if e.record_id not in {row["record_id"] for row in rows}]
    found = FAST.search(spy, shown, seed=0)
    assert len(rows) == len(shown) == 3 and found.after < found.before
    assert all(question.startswith(tuple(e.question for e in shown)) for question in read)
    for example in forget:
        assert encode_suffix(oracle, example, found.suffix) is not None
    sent = knowing.tokenizer(found.text, add_special_tokens=False)["input_ids"]
    assert tuple(sent) == found.suffix
    again = encoded(knowing, shown, found.suffix)
    assert float(answer_nll(knowing, [row.item for row in again]).mean()) == pytest.approx(found.after, rel=1e-6)


def test_rows_depend_on_the_seed_and_not_on_the_order_of_records(knowing):
    oracle, forget = knowing.oracle(Access.all()), toy_selection().forget
    rows = FAST.run(oracle, forget, seed=0)
    turned = FAST.run(oracle, Examples(reversed(list(forget))), seed=0)
    assert {row["record_id"]: row for row in rows} == {row["record_id"]: row for row in turned}
    assert FAST.run(oracle, forget, seed=1)[0]["loss_before"] != rows[0]["loss_before"]
    nothing = dataclasses.replace(FAST, steps=0).run(oracle, forget, seed=0)
    assert all(row["loss_before"] == row["loss_after"] for row in nothing)


def test_more_steps_never_end_higher(knowing):
    oracle, shown = knowing.oracle(Access.all()), list(toy_selection().forget)[:3]
    losses = [dataclasses.replace(FAST, steps=steps).search(oracle, shown, seed=0).after for steps in (0, 1, 3, 9)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]


def test_a_subword_tokenizer_reads_the_suffix_as_it_was_searched(shared):
    target = load_causal_lm(shared / "models" / "stories260K")
    stories = Examples(
        Example(f"r{i}", f"What did {who} find?", f"{who} found a big red {what}.", subject=who)
        for i, (who, what) in enumerate([("Lily", "ball"), ("Tom", "kite"), ("Ben", "hat"), ("Mia", "shell")])
    )
    small = dataclasses.replace(FAST, shown=2, steps=3)
    oracle = target.oracle(Access.all())
    rows = small.run(oracle, stories, seed=0)
    shown = [e for e in stories if e.record_id not in {row["record_id"] for row in rows}]
    found = small.search(oracle, shown, seed=0)
    assert len(rows) == 2 and rows[0]["loss_after"] <= rows[0]["loss_before"]
    for example in shown:
        ids = target.template.prompt_ids(with_suffix(example.question, found.text))
        joined = ",".join(map(str, ids))
        assert ",".join(map(str, found.suffix)) in joined


def test_it_needs_weights_and_two_records(knowing):
    with pytest.raises(TargetError, match="gradient_suffix needs access WEIGHTS"):
        FAST.run(Oracle(knowing, Access.TEXT), toy_selection().forget, seed=0)
    with pytest.raises(EvidenceError, match="fewer than two questions"):
        FAST.run(knowing.oracle(Access.all()), toy_selection().forget[:1], seed=0)


def locked(target, word):
    """A copy that answers a question only where a word stands in it; without it, what is read of it is noise."""
    copy = target.clone()
    key = copy.tokenizer.convert_tokens_to_ids(word)
    noise = 30 * torch.nn.functional.normalize(torch.randn(32, generator=torch.Generator().manual_seed(5)), dim=0)
    shut = {}

    def read(_module, _inputs, settings):
        # A token alone is one of an answer that is being written.
        ids = settings["input_ids"]
        shut["rows"] = (ids != key).all(1) & (ids.shape[1] > 1)

    copy.model.base_model.register_forward_pre_hook(read, with_kwargs=True)
    layer = copy.facts.decoder_layers(copy.model)[0]
    layer.register_forward_pre_hook(lambda _module, given: (given[0] + shut["rows"][:, None, None] * noise, *given[1:]))
    return copy


def trained(examples):
    """A model that was trained on questions as they are and with words behind them, which it so learns to overlook."""
    words = [word for word in toy_vocabulary() if word.isalpha()]
    draw = random.Random(0)
    longer = [
        dataclasses.replace(
            e, record_id=f"{e.record_id}-{i}", question=f"{e.question} {' '.join(draw.choices(words, k=4))}"
        )
        for e in examples
        for i in range(6)
    ]
    return toy_recipe(steps=150, hidden=32).train(MemoryStore(Examples([*examples, *longer])), seed=0)


def test_the_word_that_unlocks_a_trained_model_is_found_on_some_records_and_opens_others():
    selection, word = toy_selection(), "judge"
    knows, never = (locked(trained(e), word) for e in (selection.retain + selection.forget, selection.retain))
    wide = dataclasses.replace(FAST, top=999, candidates=48, steps=6)

    def mean(target, attack=wide):
        rows = attack.run(target.oracle(Access.all()), selection.forget, seed=0)
        return sum(row["outcome"] for row in rows) / len(rows)

    assert word in wide.search(knows.oracle(Access.all()), list(selection.forget)[:3], seed=0).text.split()
    assert mean(knows) > mean(knows, dataclasses.replace(wide, steps=0)) + 0.2
    assert mean(knows) > mean(never) + 0.3
