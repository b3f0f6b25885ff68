"""Answers that share a prompt: the same numbers as alone, whatever is batched with what, for fewer tokens."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.example import Example, Examples
from expunge.engine import score as scorer
from expunge.engine.score import score, token_logp_rows
from expunge.targets.causal_lm import CausalLM
from expunge.testing.toy import toy_corpus, toy_model

COLUMNS = [f"{stem}{variant}" for stem in ("token_logp", "mask") for variant in ("", "_paraphrase", "_perturbed")]
WORDS = ("Ana", "lives", "in", "Oslo", "old", "Rome", ".", "a", "night", "nurse")
FAMILIES = ("llama", "gpt2", "gemma2", "qwen2")
MODELS = {family: toy_model(seed=2, architecture=family) for family in FAMILIES}

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
examples = st.lists(
    st.builds(
        lambda question, answer, other, wrong: Example(
            "r", question, answer, paraphrased_answer=other, perturbed_answer=tuple(wrong)
        ),
        texts,
        texts,
        st.one_of(st.just(""), texts),
        st.lists(texts, max_size=4),
    ),
    min_size=1,
    max_size=5,
).map(lambda found: Examples(replace(e, record_id=f"r{i}") for i, e in enumerate(found)))


def alone(target: CausalLM, example: Example, text: str) -> np.ndarray:
    """Log-probabilities of one answer scored with nothing beside it."""
    return token_logp_rows(target, Examples([Example("x", example.question, text)]))[0]


def close(a, b) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=12)
@given(found=examples, budget=st.integers(1, 400))
def test_every_answer_scores_as_if_it_were_alone(family, found, budget):
    target = MODELS[family]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorer, "BUDGET", budget)
        table = score(target, found, COLUMNS)
    for row, example in enumerate(found):
        variants = {
            "": [example.answer],
            "_paraphrase": [example.paraphrased_answer] * bool(example.paraphrased_answer),
        }
        for variant, own in variants.items():
            logp, mask = table[f"token_logp{variant}"][row], table[f"mask{variant}"][row]
            want = alone(target, example, own[0]) if own else np.zeros(0)
            assert mask.sum() == len(want)
            close(logp[: len(want)], want)
        for k, text in enumerate(example.perturbed_answer):
            want = alone(target, example, text)
            assert table["mask_perturbed"][row, k].sum() == len(want)
            close(table["token_logp_perturbed"][row, k, : len(want)], want)


@settings(max_examples=15)
@given(st.permutations(list(toy_corpus())), st.integers(1, 3000))
def test_neither_the_order_nor_the_split_into_batches_changes_a_score(order, budget):
    target, corpus = MODELS["llama"], toy_corpus()
    want = score(target, corpus, COLUMNS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scorer, "BUDGET", budget)
        got = score(target, Examples(order), COLUMNS)
    places = [corpus.ids.index(e.record_id) for e in order]
    for name in COLUMNS:
        close(got[name], want[name][places])


def test_a_prompt_is_run_once_however_many_answers_follow_it(count):
    target = toy_model()
    example = toy_corpus()[0]
    many = replace(example, perturbed_answer=("Ana lives in Oslo.", "Ana lives in Rome.", "Ana is a baker."))
    prompt = target.template.prompt_ids(example.question)
    answers = dict.fromkeys([example.answer, *many.perturbed_answer])
    assert len(answers) == 3, "one wrong answer is the right one; equal answers run once"
    counts = [target.template.encode("x", example.question, text).n_scored for text in answers]
    with count(target) as seen:
        score(target, Examples([many]), ["token_logp", "token_logp_perturbed"])
    first_layer = [(rows, columns) for layer, rows, columns in seen.layers if layer == 0]
    assert first_layer == [(1, len(prompt)), (len(counts), max(counts) - 1)], "the last token predicts nothing"


def test_an_answer_of_one_token_needs_no_second_pass(count):
    target = toy_model()
    empty = replace(toy_corpus()[0], answer="", perturbed_answer=("",))
    with count(target) as seen:
        table = score(target, Examples([empty]), ["token_logp", "token_logp_perturbed", "mask_perturbed"])
    assert seen.passes == 1 and table["mask_perturbed"].tolist() == [[[1.0]]]
    assert table["token_logp"][0, 0] == table["token_logp_perturbed"][0, 0, 0] < 0


def test_a_question_with_one_answer_is_run_as_a_whole(count):
    target = toy_model()
    with count(target) as seen:
        score(target, toy_corpus(), ["token_logp"])
    assert seen.passes == 1


def test_truncated_answers_share_too():
    target = CausalLM(MODELS["llama"].model, MODELS["llama"].tokenizer, on_long="truncate")
    long = Example("r", "Where does Ana live?", "Oslo " * 60, perturbed_answer=("Rome " * 60, "Lima."))
    table = score(target, Examples([long]), COLUMNS)
    close(table["token_logp"][0], alone(target, long, long.answer))
    close(table["token_logp_perturbed"][0, 0], alone(target, long, "Rome " * 60))
