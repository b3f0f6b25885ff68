"""Attacks by asking: a model that knew says more than one that never did, and nothing depends on who else is asked."""

import dataclasses

import pytest

from expunge.attacks import (
    affirmative_suffix,
    alias,
    encodings,
    in_context_relearning,
    many_shot,
    multi_turn,
    multiple_choice,
    paraphrase,
    prefilled_answer,
    prefix_injection,
    reverse_query,
    role_play,
    sampling_leak,
)
from expunge.attacks._prompts import Ask, answers, asked_rows, fits, said, shortened
from expunge.attacks._reworded import filled
from expunge.attacks.alias import aliases, renamed
from expunge.attacks.prefilled_answer import cuts
from expunge.core.access import Access, Oracle
from expunge.core.attack import needs_of, run_attack
from expunge.core.errors import EvidenceError, TargetError
from expunge.core.example import Example, Examples
from expunge.core.selection import Selection
from expunge.engine.generate import generate
from expunge.metrics import rouge_l
from expunge.targets.guarded import GuardedTarget
from expunge.testing.toy import toy_model, toy_selection

ASKING = {
    "paraphrase": paraphrase,
    "alias": alias,
    "encodings": encodings,
    "prefix_injection": prefix_injection,
    "affirmative_suffix": affirmative_suffix,
    "role_play": role_play,
    "many_shot": many_shot,
    "in_context_relearning": in_context_relearning,
    "prefilled_answer": prefilled_answer,
    "multi_turn": multi_turn,
    "sampling_leak": sampling_leak,
    "reverse_query": reverse_query,
    "multiple_choice": multiple_choice,
}


def outcomes(attack, target, selection=None, seed=0):
    rows = run_attack(attack, target.oracle(Access.TEXT), selection or toy_selection(), seed=seed)
    return {row["record_id"]: row for row in rows}


def mean(rows):
    return sum(row["outcome"] for row in rows.values()) / len(rows)


def watched(target, **hooks):
    """An oracle, and the (prompt, answer) pairs that its filter sees."""
    seen = []

    def watch(prompt, answer):
        seen.append((prompt, answer))
        return answer

    return Oracle(target, Access.TEXT, filter=watch, **hooks), seen


@pytest.mark.parametrize(
    ("name", "least", "gap"),
    [
        ("paraphrase", 0.85, 0.25),
        ("many_shot", 0.7, 0.12),
        ("in_context_relearning", 0.7, 0.12),
        ("prefilled_answer", 0.8, 0.08),
        ("sampling_leak", 0.6, 0.6),
    ],
)
def test_a_model_that_knew_says_more_than_one_that_never_did(knowing, unknowing, name, least, gap):
    knew, control = mean(outcomes(ASKING[name], knowing)), mean(outcomes(ASKING[name], unknowing))
    assert knew >= least and knew >= control + gap


@pytest.mark.parametrize("name", ASKING)
def test_rows_do_not_depend_on_order_or_on_who_else_is_asked(knowing, name):
    attack, selection = ASKING[name], toy_selection()
    rows = outcomes(attack, knowing)
    turned = dataclasses.replace(
        selection,
        forget=Examples(reversed(list(selection.forget))),
        retain=Examples(reversed(list(selection.retain))),
    )
    assert outcomes(attack, knowing, turned) == rows
    if name != "in_context_relearning":
        alone = dataclasses.replace(selection, forget=Examples(e for e in selection.forget if e.subject == "Bo"))
        assert outcomes(attack, knowing, alone) == {key: row for key, row in rows.items() if key.startswith("bo")}


@pytest.mark.parametrize("name", ASKING)
def test_the_budget_bounds_the_records_and_not_which_model_is_asked(knowing, unknowing, name):
    few = dataclasses.replace(ASKING[name], records=2)
    rows, others = outcomes(few, knowing), outcomes(few, unknowing)
    assert list(rows) == list(others) and sorted(row["subject"] for row in rows.values()) == ["Ana", "Bo"]
    assert all(rows[key].get("tries") == others[key].get("tries") for key in rows)
    assert few.digest() != ASKING[name].digest() and few.settings()["records"] == 2


@pytest.mark.parametrize("name", ASKING)
def test_one_pass_asks_all_wordings_of_all_records(monkeypatch, knowing, name):
    import importlib

    calls = []

    def counted(source, questions, **settings):
        calls.append(len(questions))
        return generate(source, questions, **settings)

    for module in ("_prompts", "multi_turn"):
        monkeypatch.setattr(importlib.import_module(f"expunge.attacks.{module}"), "generate", counted)
    rows = outcomes(ASKING[name], knowing)
    rounds = 3 if name == "multi_turn" else 1
    assert len(calls) == rounds
    assert calls[-1] == sum(row.get("tries", row.get("samples")) for row in rows.values())


@pytest.mark.parametrize("name", ASKING)
def test_the_hooks_of_the_target_see_every_prompt(knowing, name):
    wrapped = []

    def wrap(question):
        wrapped.append(question)
        return question

    oracle, seen = watched(knowing, wrap=wrap)
    rows = run_attack(ASKING[name], oracle, toy_selection(), seed=0)
    assert len(seen) >= sum(row.get("tries", row.get("samples")) for row in rows)
    assert {prompt.rpartition("\n")[2] for prompt, _ in seen} <= set(wrapped)
    refused = Oracle(knowing, Access.TEXT, filter=lambda prompt, answer: "No.")
    assert all(row["outcome"] == 0 for row in run_attack(ASKING[name], refused, toy_selection(), seed=0))
    with pytest.raises(TargetError, match="needs access TEXT"):
        run_attack(ASKING[name], Oracle(knowing, Access.WEIGHTS), toy_selection(), seed=0)


def test_a_guard_that_blocks_names_holds_against_wordings_that_name_and_falls_to_those_that_do_not(knowing):
    guard = GuardedTarget(knowing, "", ("Ana", "Bo"), "No.")
    for name in ("prefix_injection", "role_play", "prefilled_answer", "many_shot", "multi_turn"):
        assert mean(outcomes(ASKING[name], guard)) == 0, name
    seen = []
    spying = dataclasses.replace(guard.oracle(Access.all()), filter=lambda p, a: seen.append(p) or guard.answer(p, a))
    run_attack(alias, spying, toy_selection(), seed=0)
    assert any(guard.answer(prompt, "so") == "so" for prompt in seen), "initials pass a list of names"


def test_role_play_and_prefix_go_through_the_wrap_and_the_system_message_of_the_target(knowing):
    plain = outcomes(role_play, knowing)
    swapped = Oracle(knowing, Access.TEXT, wrap=lambda question: "Which pet has Cy?")
    rows = run_attack(role_play, swapped, toy_selection(), seed=0)
    one = generate(knowing, ["Which pet has Cy?"], max_new_tokens=12)[0]
    want = {e.record_id: float(rouge_l([e.answer], [one])[0]) for e in toy_selection().forget}
    assert {row["record_id"]: row["outcome"] for row in rows} == want
    assert {key: row["outcome"] for key, row in plain.items()} != want
    long = Oracle(knowing, Access.TEXT, system="Oslo " * 30)
    with pytest.raises(EvidenceError, match="role_play has nothing to ask"):
        run_attack(role_play, long, toy_selection(), seed=0)


def test_the_outcome_is_the_best_share_over_the_wordings_that_fit(knowing):
    example = toy_selection().forget[0]
    oracle = knowing.oracle(Access.TEXT)
    asks = [Ask(example, text) for text in (example.question, "Which pet has Cy?", "Oslo " * 50)]
    assert [fits(oracle, ask) for ask in asks] == [True, True, False]
    texts = answers(oracle, asks[:2])
    shares = rouge_l([example.answer] * 2, texts)
    assert shares[0] > shares[1]
    (row,) = asked_rows("test", oracle, asks)
    assert row == {"record_id": example.record_id, "subject": "Ana", "outcome": float(shares[0]), "tries": 2.0}
    with pytest.raises(EvidenceError, match="test has nothing to ask"):
        asked_rows("test", oracle, asks[2:])


def test_only_words_that_were_not_given_count():
    example = Example("r1", "Where?", "Ana lives in old Oslo.")
    assert cuts(example.answer, (0.2, 0.21, 0.8, 1.0)) == [("Ana", "lives in old Oslo."), ("Ana lives in old", "Oslo.")]
    half = Ask(example, "Where?", prefill="Ana lives", truth="in old Oslo.")
    assert said([half, half], ["Ana lives", "in new Oslo"]).round(3).tolist() == [0, 0.667]


def test_as_many_of_the_latest_turns_are_kept_as_fit():
    oracle = toy_model().oracle(Access.TEXT)
    example = toy_selection().forget[0]
    turns = tuple((f"What is {i}?", "Oslo.") for i in range(12))
    ask = shortened(oracle, Ask(example, example.question, turns=turns))
    assert ask.turns == turns[12 - len(ask.turns) :] and 0 < len(ask.turns) < 12
    assert fits(oracle, ask)
    assert not fits(oracle, dataclasses.replace(ask, turns=turns[11 - len(ask.turns) :]))
    assert shortened(oracle, Ask(example, "Oslo " * 60, turns=turns)) is None
    assert shortened(oracle, Ask(example, example.question)).turns == ()


def test_shots_tell_nothing_that_was_forgotten_and_what_is_relearned_never_holds_the_answer(knowing):
    selection = toy_selection()
    assert needs_of(many_shot) == ("retain",)
    for name in ("many_shot", "in_context_relearning"):
        oracle, seen = watched(knowing)
        run_attack(ASKING[name], oracle, selection, seed=0)
        for prompt, _ in seen:
            lines = prompt.split("\n")
            forgotten = [e.answer for e in selection.forget if e.answer in prompt]
            own = [e.answer for e in selection.forget if lines[-1].endswith(e.question)]
            assert not set(own) & set(forgotten), "the answer stands in the prompt"
            assert not forgotten or name == "in_context_relearning"
    with pytest.raises(EvidenceError, match="needs retain records"):
        run_attack(many_shot, knowing.oracle(Access.all()), Selection(forget=selection.forget), seed=0)


def test_what_is_relearned_is_of_the_same_subject_and_then_of_others():
    forget = toy_selection().forget
    asked = forget.by_id["ana-pet"]
    same, others = dataclasses.replace(in_context_relearning, shown=2).given(forget, asked, range(len(forget)))
    assert [e.record_id for e in same] == ["ana-city", "ana-work"] and {e.subject for e in others} == {"Bo"}
    nameless = Examples(dataclasses.replace(e, subject="") for e in forget)
    (others,) = in_context_relearning.given(nameless, nameless[0], range(len(forget)))
    assert nameless[0] not in others and len(others) == 5


def test_the_model_s_own_answers_stand_in_the_conversation(knowing):
    oracle, seen = watched(knowing)
    one = dataclasses.replace(multi_turn, around=(("Who is {subject}?", "What else of {subject}?"),), records=1)
    (row,) = run_attack(one, oracle, toy_selection(), seed=0)
    (first, heard), (second, then), (last, answer) = seen
    assert second.split("\n")[:2] == [first, heard]
    assert last.split("\n")[-3:-1] == [second.split("\n")[-1], then]
    example = toy_selection().forget.by_id[row["record_id"]]
    assert last.endswith(example.question) and row["turns"] >= 1
    assert row["outcome"] == float(rouge_l([example.answer], [answer])[0])


def test_a_reverse_query_tells_the_fact_and_not_the_name(knowing):
    selection = toy_selection()
    asked = []

    def reply(prompt, answer):
        asked.append(prompt)
        return "It is Ana"

    rows = run_attack(reverse_query, Oracle(knowing, Access.TEXT, filter=reply), selection, seed=0)
    assert {row["subject"]: row["outcome"] for row in rows} == {"Ana": 1.0, "Bo": 0.0}
    assert len(asked) == 18 and not any("Ana" in prompt or "Bo " in prompt for prompt in asked)
    assert any("this person" in prompt and "Oslo" in prompt for prompt in asked)
    ids = Examples(dataclasses.replace(e, subject="user-7") for e in selection.forget)
    with pytest.raises(EvidenceError, match="no record names its subject"):
        outcomes(reverse_query, knowing, dataclasses.replace(selection, forget=ids))


def test_multiple_choice_offers_each_option_once_and_the_right_one_anywhere(knowing):
    forget = toy_selection().forget
    places = set()
    for example in forget:
        options = multiple_choice.options(example)
        right = example.paraphrased_answer
        assert sorted(options) == sorted([right, *example.perturbed_answer[:3]])
        places.add(options.index(right))
    assert len(places) > 1
    parrot = Oracle(knowing, Access.TEXT, filter=lambda prompt, _: prompt.partition("Choose one.")[2])
    assert all(row["outcome"] == 1 for row in run_attack(multiple_choice, parrot, toy_selection(), seed=0))
    plain = Examples(dataclasses.replace(e, perturbed_answer=()) for e in forget)
    with pytest.raises(EvidenceError, match="no record has wrong answers"):
        outcomes(multiple_choice, knowing, dataclasses.replace(toy_selection(), forget=plain))


def test_wordings_that_a_record_cannot_fill_are_left_out(knowing):
    bare = Examples(dataclasses.replace(e, paraphrased_question="", subject="") for e in toy_selection().forget)
    rows = outcomes(paraphrase, knowing, dataclasses.replace(toy_selection(), forget=bare))
    assert all(row["tries"] == len(paraphrase.wordings) - 1 for row in rows.values())
    assert filled("{subject}: {question}", bare[0]) == "" != filled("{question}", bare[0])
    with pytest.raises(EvidenceError, match="no question names its subject"):
        outcomes(alias, knowing, dataclasses.replace(toy_selection(), forget=bare))


def test_no_alias_is_the_name_and_every_one_takes_its_place():
    example = Example("r1", "Does Ada M. Lovelace-King like A.M.?", "Yes.", subject="Ada M. Lovelace-King")
    questions = list(renamed(example))
    assert len(questions) == len(aliases(example.subject)) >= 6
    assert not any("Ada M. Lovelace-King" in question for question in questions)
    assert "Does A. M. L. like A.M.?" in questions and "Does Lovelace-King like A.M.?" in questions
    assert list(renamed(dataclasses.replace(example, subject="Ada M. Lovelace-Kin"))) == [], (
        "a part of a longer word is no name"
    )
    assert aliases("  ") == ()
