"""Extraction likelihood: what the beginnings of an answer bring out, against the formula taken token by token."""

from dataclasses import replace

import pytest
import torch

from expunge.attacks import extraction_likelihood
from expunge.core.access import Access, Oracle
from expunge.core.attack import at_budget
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.metrics._ngrams import ngram_overlap
from expunge.testing.toy import toy_model, toy_recipe, toy_selection, toy_store

WHOLE = replace(at_budget(extraction_likelihood, "full"), n=2)


@pytest.fixture(scope="module")
def knows():
    return toy_recipe(steps=400).train(toy_store(), seed=0)


@pytest.fixture(scope="module")
def half():
    return toy_recipe(steps=120).train(toy_store(), seed=0)


def outcomes(attack, model, probes, seed=0):
    return {row["record_id"]: row["outcome"] for row in attack.run(model.oracle(Access.all()), probes, seed=seed)}


def one_by_one(model, example, n):
    """The paper's equation with a plain greedy loop, one beginning at a time."""
    ids = model.tokenizer(f" {example.answer}", add_special_tokens=False)["input_ids"]
    n = n if len(ids) > n else len(ids) // 2
    found = []
    for t in range(len(ids) - n):
        context = [*model.template.prompt_ids(example.question), *ids[:t]]
        said = []
        while len(said) < len(ids) - t:
            with torch.no_grad():
                token = int(model.model(torch.tensor([context + said])).logits[0, -1].argmax())
            if token == model.template.end:
                break
            said.append(token)
        found.append(ngram_overlap(said, ids[t:], n))
    return sum(found) / len(found)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_beginning_counts_as_in_the_paper(half, n):
    forget = toy_selection().forget
    found = outcomes(replace(WHOLE, n=n), half, forget)
    assert found == pytest.approx({e.record_id: one_by_one(half, e, n) for e in forget})
    assert len(set(found.values())) > 1


def test_a_model_that_knows_the_answers_gives_them_and_one_that_does_not_does_not(knows):
    selection = toy_selection()
    assert set(outcomes(WHOLE, knows, selection.forget).values()) == {1.0}
    assert set(outcomes(extraction_likelihood, knows, selection.forget).values()) == {1.0}
    assert max(outcomes(WHOLE, toy_model(), selection.forget).values()) < 0.2


def test_the_quick_budget_draws_some_beginnings_of_each_record_by_itself(half):
    forget, quick = toy_selection().forget, replace(WHOLE, prefixes=2)
    rows = quick.run(half.oracle(Access.all()), forget, seed=5)
    assert {row["prefixes"] for row in rows} == {2.0}
    alone = outcomes(quick, half, forget[2:3], seed=5)
    assert alone.items() <= {row["record_id"]: row["outcome"] for row in rows}.items()
    assert outcomes(quick, half, Examples(reversed(forget.items)), seed=5) == outcomes(quick, half, forget, seed=5)
    many = [outcomes(replace(WHOLE, prefixes=1), half, forget, seed=s) for s in range(3)]
    assert len({tuple(found.values()) for found in many}) > 1, "the seed decides which"


def test_an_answer_that_is_too_short_is_left_out():
    short = Example("s", "Where does Ana live?", "Oslo", subject="s")
    with pytest.raises(EvidenceError, match="no answer has two tokens"):
        extraction_likelihood.run(toy_model().oracle(Access.all()), Examples([short]), seed=0)
    probes = Examples([short, *toy_selection().forget])
    assert "s" not in outcomes(extraction_likelihood, toy_model(), probes)


def test_text_is_all_that_it_needs(knows):
    forget = toy_selection().forget
    rows = WHOLE.run(Oracle(knows, Access.TEXT), forget, seed=0)
    assert len(rows) == len(forget) and all(0.0 <= row["outcome"] <= 1.0 for row in rows)
