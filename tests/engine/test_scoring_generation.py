"""The one-pass scorer and the generator against plain loops over single sequences."""

import itertools

import numpy as np
import pytest
import torch

from expunge.core.access import Access, Oracle
from expunge.core.errors import StoreError, TargetError, UnknownName
from expunge.core.example import Example, Examples
from expunge.data.collate import Template
from expunge.engine import generate as generator
from expunge.engine.generate import generate
from expunge.engine.score import score
from expunge.targets.causal_lm import CausalLM
from expunge.testing.toy import toy_corpus, toy_model, toy_recipe, toy_selection, toy_store

ARCHITECTURES = ("llama", "gpt2")
VARIANTS = ("", "_paraphrase", "_perturbed")


def answers(example, variant):
    own = {"": (example.answer,), "_paraphrase": (example.paraphrased_answer,), "_perturbed": example.perturbed_answer}
    return [text for text in own[variant] if text]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_column_is_what_a_plain_loop_gives(architecture, variant):
    target, corpus = toy_model(seed=2, architecture=architecture), toy_corpus()
    stems = ("token_logp", "token_hit", "token_mu", "token_sigma", "mask", "n_tokens")
    table = score(target, corpus, [stem + variant for stem in stems])
    for row, example in enumerate(corpus):
        texts = answers(example, variant)
        if not texts:
            assert not table[f"mask{variant}"][row].any()
        for k, text in enumerate(texts):
            item = target.template.encode("x", example.question, text)
            with torch.no_grad():
                logits = target.model(input_ids=torch.tensor([item.ids])).logits[0, item.n_prompt - 1 : -1].double()
            logp, labels = logits.log_softmax(-1), torch.tensor(item.ids[item.n_prompt :])
            n, p = item.n_scored, logits.softmax(-1)
            mean = (p * logp).sum(-1)
            want = {
                "token_logp": logp[torch.arange(n), labels],
                "token_hit": (logits.argmax(-1) == labels).double(),
                "token_mu": mean,
                "token_sigma": ((p * logp.square()).sum(-1) - mean.square()).sqrt(),
                "mask": torch.ones(n),
            }
            for stem, value in want.items():
                found = table[stem + variant][row]
                found = found[k] if variant == "_perturbed" else found
                np.testing.assert_allclose(found[:n], value.numpy(), rtol=1e-5, atol=1e-5)
                assert not found[n:].any(), "padding is 0"
    if not variant:
        assert table["n_tokens"].tolist() == [i.n_scored for i in target.template.encode_all(corpus)]


def test_only_what_is_asked_for_is_computed(count):
    target, corpus = toy_model(), toy_selection().forget
    with count(target) as seen:
        table = score(target, corpus, ["mask", "n_tokens", "text"])
    assert seen.passes == 0 and set(table) == {"mask", "n_tokens", "text"}
    with count(target) as seen:
        score(target, corpus, ["token_logp", "token_mu", "token_sigma", "token_hit", "token_logp_paraphrase"])
    assert seen.passes == 2, "one sweep for every column of every answer: one of a question, then what the others add"
    items = [[target.template.encode("x", e.question, t) for v in VARIANTS[:2] for t in answers(e, v)] for e in corpus]
    pairs = [zip(*(item.ids[item.n_prompt :] for item in both), strict=False) for both in items]
    again = sum(len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pair))) for pair in pairs)
    assert sum(seen.head_rows) == sum(item.n_scored for both in items for item in both) - again


def test_a_variant_that_nobody_has_is_an_empty_column():
    bare = Examples(Example(f"r{i}", "Where does Ana live?", "Oslo.") for i in range(3))
    table = score(
        toy_model(), bare, ["mask_perturbed", "token_logp_perturbed", "token_logp_paraphrase", "mask_paraphrase"]
    )
    assert all(len(value) == 3 and not np.any(value) for value in table.values())


def test_scoring_leaves_the_mode_and_the_weights_of_the_model():
    target = toy_model(architecture="gpt2")
    target.model.train()
    before = target.digest()
    first, again = (score(target, toy_corpus(), ["token_logp"])["token_logp"] for _ in range(2))
    assert np.array_equal(first, again), "dropout is off while scoring"
    assert target.model.training and target.digest() == before


def test_scoring_needs_access_known_columns_and_room():
    target, corpus = toy_model(), toy_selection().forget
    with pytest.raises(TargetError, match=r"scoring needs access LOGPROBS\. the target grants TEXT"):
        score(Oracle(target, Access.TEXT), corpus, ["token_logp"])
    with pytest.raises(UnknownName, match="Did you mean 'token_logp'"):
        score(target, corpus, ["token_lopg"])
    long = Examples([Example("r9", "Where does Ana live?", "Oslo " * 60)])
    with pytest.raises(StoreError, match="record 'r9' is"):
        score(target, long, ["token_logp"])


def speaking(architecture: str):
    """A model whose answers differ: trained for a moment, or random where that is enough."""
    if architecture == "llama":
        return toy_recipe(steps=40).train(toy_store(), seed=0)
    return toy_model(seed=2, architecture=architecture)


def greedy(target, question: str, limit: int, system: str = "") -> str:
    ids = target.template.prompt_ids(question, system)
    start = len(ids)
    while len(ids) < min(start + limit, target.template.max_length):
        with torch.no_grad():
            ids.append(int(target.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == target.template.end:
            break
    return target.tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_generation_is_greedy_whatever_the_batch(monkeypatch, architecture):
    target = speaking(architecture)
    questions = [e.question for e in toy_corpus()]
    questions.append("Where does Ana live? " * 6)
    want = [greedy(target, question, 10) for question in questions]
    assert len(set(want)) > 2
    for rows in (64, 1, 3):
        monkeypatch.setattr(generator, "ROWS", rows)
        assert generate(target, questions, max_new_tokens=10) == want
        assert generate(target, questions[::-1], max_new_tokens=10) == want[::-1]
    assert generate(target, [], max_new_tokens=10) == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_long_prompt_does_not_cut_the_answers_of_others(architecture):
    target = speaking(architecture)
    short = "Where does Ana live?"
    long = "Where does Ana live " * 11
    assert 40 < len(target.template.prompt_ids(long)) < 48
    alone, room = generate(target, [short], max_new_tokens=20), 48 - len(target.template.prompt_ids(long))
    together = generate(target, [long, short], max_new_tokens=20)
    assert len(target.tokenizer(alone[0])["input_ids"]) > room
    assert together == [greedy(target, long, 20), alone[0]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_answer_that_ended_at_the_last_place_waits_there_for_the_others(architecture):
    target = speaking(architecture)
    questions = ["Where does Ana live " * 11, *(f"Where does {name} live?" for name in ("Ana", "Bo", "Cy") * 4)]
    long = len(target.template.prompt_ids(questions[0]))
    rooms = [48, *[20] * 12]
    assert 40 < long < 48
    want = [greedy(target, question, room) for question, room in zip(questions, rooms, strict=True)]
    assert generate(target, questions, max_new_tokens=rooms) == want


def test_the_hooks_of_an_oracle_wrap_the_prompt_and_filter_the_answer():
    target = toy_model(seed=2)
    asked = []

    def veil(prompt: str, answer: str) -> str:
        asked.append(prompt)
        return f"[{answer}]"

    oracle = Oracle(
        target, Access.TEXT, wrap=lambda q: q.replace("Bo", "Ana"), filter=veil, system="I do not know Ana."
    )
    got = generate(oracle, ["Where does Bo live?"], max_new_tokens=6)
    assert got == [f"[{greedy(target, 'Where does Ana live?', 6, 'I do not know Ana.')}]"]
    assert asked == ["Where does Bo live?"], "the filter sees what was asked"
    with pytest.raises(TargetError, match="generation needs access TEXT"):
        generate(Oracle(target, Access.WEIGHTS), ["Where?"])


def test_a_template_of_another_target_is_a_value():
    target = toy_model()
    assert target.template == Template(target.tokenizer, 48, "error")


def test_a_prompt_without_room_for_an_answer_is_refused_or_loses_its_middle():
    target = toy_model(seed=2)
    long = "Where does Ana live " * 14
    with pytest.raises(StoreError, match=r"a question is \d+ tokens long, the context holds 48"):
        generate(target, ["Where does Ana live?", long], max_new_tokens=4)
    cut = CausalLM(target.model, target.tokenizer, on_long="truncate")
    whole = target.template.prompt_ids(long)
    kept = [*whole[:23], *whole[-24:]]
    assert len(whole) > 48
    with torch.no_grad():
        best = int(target.model(input_ids=torch.tensor([kept])).logits[0, -1].argmax())
    want = target.tokenizer.decode([best], skip_special_tokens=True)
    assert generate(cut, [long], max_new_tokens=4) == [want]


def test_the_model_s_own_generation_settings_do_not_matter():
    target = speaking("llama")
    want = generate(target, ["Where does Ana live?"], max_new_tokens=6)
    settings = target.model.generation_config
    settings.do_sample, settings.temperature, settings.num_beams, settings.repetition_penalty = True, 9.0, 3, 5.0
    assert generate(target, ["Where does Ana live?"], max_new_tokens=6) == want
