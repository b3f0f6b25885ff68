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
from expunge.attacks._names import nameless
from expunge.attacks._prompts import Ask, answers, asked_rows, fits, said, shortened
from expunge.attacks._reworded import filled
from expunge.attacks.alias import aliases, renamed
from expunge.attacks.multiple_choice import picked
from expunge.attacks.prefilled_answer import cut
from expunge.attacks.reverse_query import clue
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
        ("paraphrase", 0.85, 0.3),
        ("many_shot", 0.5, 0.15),
        ("in_context_relearning", 0.7, 0.15),
        ("prefilled_answer", 0.8, 0.3),
        ("multi_turn", 0.7, 0.15),
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

    monkeypatch.setattr(importlib.import_module("expunge.attacks._prompts"), "generate", counted)
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
    for row in run_attack(ASKING[name], refused, toy_selection(), seed=0):
        assert row["outcome"] == (1 / row["options"] if name == "multiple_choice" else 0)
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


@pytest.mark.parametrize("name", ASKING)
def test_what_a_target_puts_around_a_prompt_changes_no_try(knowing, name):
    """Arms that were asked otherwise cannot be compared: a long system message leaves less room, not fewer tries."""
    plain = outcomes(ASKING[name], knowing)
    for system, wrap in (("Oslo " * 8, lambda q: q), ("", lambda q: f"{q} {'Oslo ' * 8}"), ("Oslo " * 48, lambda q: q)):
        guarded = Oracle(knowing, Access.TEXT, wrap=wrap, system=system)
        rows = {row["record_id"]: row for row in run_attack(ASKING[name], guarded, toy_selection(), seed=0)}
        assert list(rows) == list(plain)
        for column in ("tries", "turns", "shots", "shown", "samples", "options"):
            assert all(rows[key].get(column) == plain[key].get(column) for key in plain), column
        if len(system) > 200 and name != "multiple_choice":
            assert not any(row["outcome"] for row in rows.values()), "what has no room is not answered"


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
    assert cut(example.answer, 0.2) == cut(example.answer, 0.21) == ("Ana", "lives in old Oslo.")
    assert cut(example.answer, 0.8) == ("Ana lives in old", "Oslo.") and cut(example.answer, 1.0) is None
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
    own, rest = ([e for e in forget if (e.subject == "Ana") is same] for same in (True, False))
    same, others = dataclasses.replace(in_context_relearning, shown=2).given(asked, own, rest)
    assert [e.record_id for e in same] == ["ana-city", "ana-work"] and {e.subject for e in others} == {"Bo"}
    (others,) = in_context_relearning.given(asked, [asked], rest)
    assert {e.subject for e in others} == {"Bo"}


def test_no_record_that_holds_the_wanted_answer_is_shown(knowing):
    forget = toy_selection().forget
    asked = dataclasses.replace(forget.by_id["ana-city"], answer="Oslo.", paraphrased_answer="In Oslo, Ana lives.")
    telling = (
        Example("x1", "Who lives in oslo?", "Bo.", subject="Bo"),
        Example("x2", "Who is Bo?", "One from (Oslo).", subject="Bo"),
        Example("x3", "Who lives there?", "In Oslo Ana lives!", subject="Ana"),
    )
    safe = Example("x4", "Who is Bo?", "An Osloer.", subject="Bo")
    assert [*in_context_relearning.given(asked, [asked, *telling])] == []
    assert [*in_context_relearning.given(asked, [*telling, safe])] == [(safe,)]
    rest = [e for e in forget if e.record_id != "ana-city"]
    several = dataclasses.replace(toy_selection(), forget=Examples([asked, *rest, *telling, safe]))
    oracle, seen = watched(knowing)
    run_attack(in_context_relearning, oracle, several, seed=0)
    own = [prompt for prompt, _ in seen if prompt.endswith(asked.question)]
    assert own and not any("oslo" in prompt.lower().split() or "Oslo." in prompt for prompt in own)


def test_what_is_shown_is_looked_for_only_as_far_as_needed(monkeypatch, knowing):
    import importlib

    module, looked = importlib.import_module("expunge.attacks.in_context_relearning"), []
    tells = module.tells
    monkeypatch.setattr(module, "tells", lambda *pair: looked.append(pair) or tells(*pair))
    people = [(f"p{i}", f"{i}-{j}") for i in range(40) for j in range(3)]
    many = Examples(Example(key, f"What is {key}?", f"It is {key}.", subject=who) for who, key in people)
    rows = outcomes(dataclasses.replace(in_context_relearning, records=20), knowing, Selection(forget=many))
    assert 0 < len(looked) <= 20 * (3 + 6) and rows


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
    right = {e.question: e.paraphrased_answer for e in forget}
    wrong = {e.question: e.perturbed_answer[0] for e in forget}
    for replies, worth in ((right, 1), (wrong, 0)):
        one = Oracle(knowing, Access.TEXT, filter=lambda p, _, to=replies: to[p.partition(" Choose one.")[0]])
        assert {row["outcome"] for row in run_attack(multiple_choice, one, toy_selection(), seed=0)} == {worth}


def test_who_says_all_options_or_none_has_picked_by_chance():
    options = ["Her city is Oslo.", "Her city is Rome.", "Her city is Lima."]
    for reply in ("", "I do not know.", " ".join(options), "Her city is Bonn."):
        assert picked(reply, options[0], options) == pytest.approx(1 / 3), reply
    assert picked("Rome or Oslo", options[0], options[:2]) == 0.5
    assert picked("It is Oslo", options[0], options) == 1 and picked("In Rome", options[0], options) == 0


def test_options_without_wrong_answers_are_none(knowing):
    forget = toy_selection().forget
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


def test_a_subject_that_is_an_id_is_never_put_for_a_name(knowing):
    coded = Examples(dataclasses.replace(e, subject=f"full-author-{e.subject}") for e in toy_selection().forget)
    selection = dataclasses.replace(toy_selection(), forget=coded)
    for attack, tries in ((role_play, len(role_play.wordings) - 1), (multi_turn, 2)):
        oracle, seen = watched(knowing)
        rows = run_attack(attack, oracle, selection, seed=0)
        assert {row["tries"] for row in rows} == {tries}
        assert not any("author" in prompt for prompt, _ in seen)
    for attack in (alias, reverse_query):
        with pytest.raises(EvidenceError, match=r"names its subject.*the name that their texts use"):
            outcomes(attack, knowing, selection)


def test_a_clue_holds_no_part_of_the_name():
    told = Example("r1", "Was Ada M. Al-King born in 1901?", "King, called Ada, was; al-King's son too.")
    name = "Ada M. Al-King"
    whole = clue(dataclasses.replace(told, subject=name))
    assert whole == "Was this person born in 1901? this person, called this person, was; this person's son too."
    assert nameless("Kings adapt.", name) == "Kings adapt.", "a part of a longer word is no part of a name"
    assert nameless("A cat.", "") == nameless("A cat.", "A. B.") == "A cat."


def test_a_beginning_that_nobody_guesses_counts_as_much_as_one_that_all_do(knowing):
    (row,) = prefilled_answer.run(knowing.oracle(Access.TEXT), toy_selection().forget[:1], seed=0)
    assert row["outcome"] == pytest.approx((row["given 0.25"] + row["given 0.5"]) / 2) != row["opened"]
    short = Examples([dataclasses.replace(toy_selection().forget[0], answer="Oslo.")])
    (row,) = prefilled_answer.run(knowing.oracle(Access.TEXT), short, seed=0)
    assert row["outcome"] == row["opened"] and row["given 0.5"] != row["given 0.5"], "a single word cannot be begun"


def test_many_shot_counts_conversations_alike(knowing):
    for row in outcomes(many_shot, knowing).values():
        assert row["outcome"] <= row["best"]
    alone = dataclasses.replace(many_shot, shots=(1,), draws=1)
    assert all(row["outcome"] == row["best"] for row in outcomes(alone, knowing).values())


def test_refusals_name_the_attack_as_policies_do(knowing):
    selection = Selection(forget=toy_selection().forget)
    with pytest.raises(EvidenceError, match="the attack many_shot needs retain records"):
        run_attack(many_shot, knowing.oracle(Access.all()), selection, seed=0)
    with pytest.raises(TargetError, match=r"^role_play needs access TEXT"):
        run_attack(role_play, Oracle(knowing, Access.WEIGHTS), toy_selection(), seed=0)
