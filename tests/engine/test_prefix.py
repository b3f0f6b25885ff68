"""Answers that share a prompt: the same numbers as alone, whatever is batched with what, for fewer tokens."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.example import Example, Examples
from expunge.engine import score as scorer
from expunge.engine.prefix import trunk_of
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


def in_common(one, two) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


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


def test_what_answers_have_in_common_is_run_once(count):
    target = toy_model()
    example = toy_corpus()[0]
    wrong = ("Ana lives in Oslo.", "Ana lives in Rome.", "Ana is a baker.")
    many = replace(example, answer="Ana lives in Oslo.", paraphrased_answer="Oslo.", perturbed_answer=wrong)
    items = [target.template.encode("x", example.question, text) for text in dict.fromkeys([*wrong, "Oslo."])]
    assert len(items) == 4, "one wrong answer is the right one; equal answers run once"
    whole, *others = [item.ids[:-1] for item in items]
    left = [in_common(whole, ids) for ids in others]
    assert left[0] > left[1] > left[2] == items[0].n_prompt, "they leave the first at different places"
    with count(target) as seen:
        score(target, Examples([many]), COLUMNS)
    first_layer = [(rows, columns) for layer, rows, columns in seen.layers if layer == 0]
    longest = max(len(ids) - begun for ids, begun in zip(others, left, strict=True))
    assert first_layer == [(1, len(whole)), (3, longest)], "the last token predicts nothing"
    scored = [items[0].n_scored, *(len(ids) + 1 - begun for ids, begun in zip(others, left, strict=True))]
    assert seen.head_rows == [scored[0], sum(scored[1:])]


def test_columns_that_the_first_answer_has_not_are_computed_for_each():
    target, example = toy_model(seed=3), toy_corpus()[0]
    right = replace(example, answer="Ana lives in Oslo.", perturbed_answer=("Ana lives in Rome.", "Ana lives in Lima."))
    for columns in (["token_logp_perturbed", "token_hit"], ["token_hit_perturbed", "token_logp"]):
        table = score(target, Examples([right]), [*columns, "mask", "mask_perturbed"])
        for name in columns:
            variant = "_perturbed" * name.endswith("_perturbed")
            for k, text in enumerate(right.perturbed_answer if variant else [right.answer]):
                plain = score(target, Examples([replace(example, answer=text)]), [name.removesuffix(variant)])
                want = plain[name.removesuffix(variant)][0]
                found = table[name][0, k] if variant else table[name][0]
                close(found[: len(want)], want)


def test_answers_that_differ_in_their_last_token_need_no_second_pass(count):
    target = CausalLM(MODELS["llama"].model, MODELS["llama"].tokenizer, on_long="truncate")
    both = ("Oslo " * 60, "Oslo " * 70)
    with count(target) as seen:
        table = score(target, Examples([Example("r", "Where?", both[0], perturbed_answer=both)]), COLUMNS)
    assert seen.passes == 1
    close(table["token_logp"][0], alone(target, Example("r", "Where?", ""), both[1]))
    close(table["token_logp_perturbed"][0, 1], table["token_logp"][0])


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=2, max_size=6))
def test_the_sequence_that_runs_whole_saves_the_most_tokens(sequences):
    def tokens(whole):
        others = (ids for i, ids in enumerate(sequences) if i != whole)
        return len(sequences[whole]) + sum(len(ids) - in_common(ids, sequences[whole]) for ids in others)

    assert tokens(trunk_of(sequences)) == min(map(tokens, range(len(sequences))))


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
