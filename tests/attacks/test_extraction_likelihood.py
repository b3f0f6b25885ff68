"""Extraction likelihood: what the beginnings of an answer bring out, against the formula taken token by token."""

from dataclasses import replace

import pytest
import torch

from expunge.attacks import extraction_excess, extraction_likelihood
from expunge.core.access import Access, Oracle
from expunge.core.attack import at_budget, run_attack
from expunge.core.errors import EvidenceError
from expunge.core.example import Example, Examples
from expunge.evaluation.attacking import attack_statistic
from expunge.evaluation.per_item import outcomes as table_of
from expunge.metrics._ngrams import ngram_overlap
from expunge.testing.toy import toy_model, toy_recipe, toy_selection, toy_store

pytestmark = pytest.mark.slow

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


def excess_of(rows):
    statistic, _ = attack_statistic("extraction_excess")
    table = table_of(rows)
    return float(statistic({key: table[key[2]] for key in statistic.needs}))


def test_the_excess_is_over_the_mean_of_never_seen_records(half):
    selection, attack = toy_selection(), replace(at_budget(extraction_excess, "full"), n=2)
    rows = run_attack(attack, half.oracle(Access.TEXT), selection, seed=0)
    want = {e.record_id: one_by_one(half, e, 2) for e in (*selection.forget, *selection.holdout)}
    assert {row["record_id"]: row["outcome"] for row in rows} == pytest.approx(want)
    assert {row["record_id"] for row in rows if row["unseen"]} == set(selection.holdout.ids)
    threshold = sum(want[key] for key in selection.holdout.ids) / len(selection.holdout)
    above = [max(0.0, want[key] - threshold) for key in selection.forget.ids]
    assert threshold > 0 and excess_of(rows) == pytest.approx(sum(above) / len(above)) and sum(above) > 0


def test_what_was_learned_lies_above_the_threshold_and_what_was_not_or_all_alike_does_not(knows, knowing):
    selection = toy_selection()
    found = [
        excess_of(run_attack(extraction_excess, model.oracle(Access.TEXT), selection, seed=0))
        for model in (knowing, toy_model(), knows)
    ]
    assert found[0] > 0.3 and found[1] < 0.1 and found[2] == 0.0, "the last has seen the holdout too"


def test_without_never_seen_text_there_is_no_threshold():
    selection = replace(toy_selection(), holdout=Examples())
    with pytest.raises(EvidenceError, match="needs holdout records"):
        run_attack(extraction_excess, toy_model().oracle(Access.all()), selection, seed=0)
    short = Examples([Example("s", "Where does Ana live?", "Oslo", subject="s")])
    with pytest.raises(EvidenceError, match="there is no threshold"):
        extraction_excess.run(toy_model().oracle(Access.all()), toy_selection().forget, seed=0, holdout=short)
