"""Relearning shows some records of each subject and asks the others."""

from dataclasses import replace

import pytest

from expunge.attacks import relearning
from expunge.core.access import Access, Oracle
from expunge.core.errors import EvidenceError, TargetError
from expunge.core.example import Examples
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.engine.score import score
from expunge.metrics import probability
from expunge.testing.toy import toy_model, toy_recipe, toy_selection

QUICK = replace(relearning, training=Training(lr=5e-3, steps=10, batch_size=8))


def test_each_subject_has_some_records_shown_and_the_others_asked():
    forget = toy_selection().forget
    for shown in (1, 2):
        given, asked = replace(relearning, shown=shown).split(forget)
        assert sorted([*given.ids, *asked.ids]) == sorted(forget.ids)
        for subject in ("Ana", "Bo"):
            assert given.subjects.count(subject) == shown and asked.subjects.count(subject) == 3 - shown


def test_what_is_shown_does_not_depend_on_the_order_of_records_or_on_others():
    forget = toy_selection().forget
    given, asked = relearning.split(forget)
    turned = relearning.split(Examples(reversed(list(forget))))
    assert [set(part.ids) for part in turned] == [set(given.ids), set(asked.ids)]
    alone, _ = relearning.split(Examples(e for e in forget if e.subject == "Bo"))
    assert set(alone.ids) == {i for i in given.ids if i.startswith("bo")}


def test_nothing_left_to_ask_is_refused():
    with pytest.raises(EvidenceError, match=r"nothing left to ask.*shows 3 records a subject"):
        replace(relearning, shown=3).run(toy_model().oracle(Access.all()), toy_selection().forget, seed=0)


@pytest.mark.parametrize("missing", [Access.FINETUNE, Access.LOGPROBS])
def test_it_needs_to_train_and_to_read_probabilities(missing):
    with pytest.raises(TargetError, match=f"relearning needs access {missing.name}"):
        relearning.run(Oracle(toy_model(), Access.all() & ~missing), toy_selection().forget, seed=0)


def test_the_outcome_is_the_probability_of_the_asked_answers_after_training_a_copy():
    target, forget = toy_model(), toy_selection().forget
    before = target.digest()
    rows = QUICK.run(target.oracle(Access.all()), forget, seed=3)
    given, asked = QUICK.split(forget)
    assert target.digest() == before
    assert [row["record_id"] for row in rows] == list(asked.ids)
    assert [row["subject"] for row in rows] == list(asked.subjects)
    from expunge.engine.finetune import finetune

    attacked = finetune(target.oracle(Access.all()), given, QUICK.training, seed=3)
    want = probability.of(score(attacked, asked, probability.needs))
    assert [row["outcome"] for row in rows] == pytest.approx(want.tolist(), rel=1e-9)
    untouched = probability.of(score(target, asked, probability.needs))
    assert [row["outcome"] for row in rows] != pytest.approx(untouched.tolist(), rel=1e-2)


def test_looking_on_the_way_changes_no_outcome_and_finds_what_a_smaller_budget_would():
    target, forget = toy_model(), toy_selection().forget
    rows = replace(QUICK, looks=(0, 4, 10, 99)).run(target.oracle(Access.all()), forget, seed=3)
    blind = replace(QUICK, looks=()).run(target.oracle(Access.all()), forget, seed=3)
    assert {*rows[0]} - {"record_id", "subject", "outcome"} == {"after_0", "after_4", "after_10"}
    assert {*blind[0]} - {"record_id", "subject", "outcome"} == {"after_10"}
    assert [row["outcome"] for row in rows] == [row["after_10"] for row in rows] == [row["outcome"] for row in blind]
    less = replace(QUICK, looks=(), training=replace(QUICK.training, steps=4))
    early = [row["outcome"] for row in less.run(target.oracle(Access.all()), forget, seed=3)]
    assert [row["after_4"] for row in rows] == early
    _, asked = QUICK.split(forget)
    untouched = probability.of(score(target, asked, probability.needs))
    assert [row["after_0"] for row in rows] == untouched.tolist()


def test_a_model_that_knew_gives_more_back_than_one_that_never_did():
    selection, recipe = toy_selection(), toy_recipe(steps=80, hidden=32)
    forget, kept = selection.forget, MemoryStore(selection.retain)
    gentle = replace(relearning, training=Training(lr=1e-3, steps=5, batch_size=8))
    means = []
    for data in (MemoryStore(selection.retain + forget), kept):
        rows = gentle.run(recipe.train(data, seed=0).oracle(Access.all()), forget, seed=0)
        means.append(sum(float(str(row["outcome"])) for row in rows) / len(rows))
    assert means[0] > means[1] + 0.1


def test_the_digest_covers_the_budget():
    digests = {relearning.digest(), QUICK.digest(), replace(relearning, shown=1).digest()}
    digests.add(replace(relearning, looks=(1,)).digest())
    assert len(digests) == 4 and relearning.digest() == type(relearning)().digest()
