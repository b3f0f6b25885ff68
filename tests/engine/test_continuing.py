"""Generation goes on from a given beginning, and after earlier turns, as a plain loop over the tokens does."""

import pytest
import torch

from expunge.core.access import Access, Oracle
from expunge.core.errors import ConfigError, StoreError
from expunge.engine.generate import generate
from expunge.targets.guarded import GuardedTarget
from expunge.testing.toy import toy_corpus, toy_model, toy_recipe, toy_store

TURNS = [("Where does Ana live?", "Ana lives in Oslo."), ("What does Bo do?", "Bo works as a judge.")]


@pytest.fixture(scope="module")
def knowing():
    return toy_recipe(steps=120, hidden=32).train(toy_store(), seed=0)


def greedy(target, ids, limit):
    start = len(ids)
    while len(ids) < start + limit:
        with torch.no_grad():
            ids = [*ids, int(target.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
        if ids[-1] == target.template.end:
            break
    return target.tokenizer.decode(ids[start:], skip_special_tokens=True).strip()


def test_an_answer_is_its_own_first_words_and_what_follows_them(knowing):
    questions = [e.question for e in toy_corpus()]
    whole = [text.split() for text in generate(knowing, questions, max_new_tokens=12)]
    for first in (0, 1, 2):
        begun = [" ".join(words[:first]) for words in whole]
        rest = generate(knowing, questions, max_new_tokens=12 - first, prefill=begun)
        assert rest == [" ".join(words[first:]) for words in whole]


def test_the_model_goes_on_from_a_beginning_that_it_would_not_have_chosen(knowing):
    asked, begun = "Where does Ana live?", "Bo works"
    ids = [*knowing.template.prompt_ids(asked), *knowing.tokenizer(begun)["input_ids"]]
    want = greedy(knowing, ids, 8)
    assert generate(knowing, [asked, asked], max_new_tokens=8, prefill=[begun, ""])[0] == want
    assert generate(knowing, [asked], max_new_tokens=8) != [want]


def test_without_a_chat_template_the_beginning_follows_the_plain_prompt():
    target = toy_model(seed=2, architecture="gpt2")
    target.tokenizer.chat_template = None
    text = "Question: What does Bo do?\nAnswer: Bo works\nQuestion: Where does Ana live?\nAnswer: Ana lives"
    want = greedy(target, list(target.tokenizer(text)["input_ids"]), 8)
    turns = [[("What does Bo do?", "Bo works")]]
    assert generate(target, ["Where does Ana live?"], max_new_tokens=8, prefill=["Ana lives"], turns=turns) == [want]


def test_earlier_turns_are_the_conversation_that_the_template_writes(knowing):
    question = "Which pet has Cy?"
    talk = [("user", TURNS[0][0]), ("assistant", TURNS[0][1]), ("user", TURNS[1][0]), ("assistant", TURNS[1][1])]
    messages = [{"role": role, "content": text} for role, text in (*talk, ("user", question))]
    text = knowing.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = list(knowing.tokenizer(text, add_special_tokens=False)["input_ids"])
    want = greedy(knowing, ids, 8)
    assert generate(knowing, [question, question], max_new_tokens=8, turns=[TURNS, ()])[0] == want
    assert knowing.template.prompt_ids(question, "", TURNS) == ids


def test_hooks_see_every_question_and_the_whole_answer(knowing):
    wrapped, seen = [], []

    def wrap(question):
        wrapped.append(question)
        return question

    def watch(prompt, answer):
        seen.append((prompt, answer))
        return answer

    oracle = Oracle(knowing, Access.TEXT, wrap=wrap, filter=watch)
    rest = generate(oracle, ["Which pet has Cy?"], max_new_tokens=8, prefill=["Cy has"], turns=[TURNS])
    assert wrapped == ["Which pet has Cy?", *(question for question, _ in TURNS)]
    conversation = "\n".join([*(text for turn in TURNS for text in turn), "Which pet has Cy?"])
    assert seen == [(conversation, f"Cy has {rest[0]}")]


def test_a_guard_cannot_be_passed_by_naming_somebody_earlier_or_in_the_beginning(knowing):
    guard = GuardedTarget(knowing, "", ("Ana",), "No.").oracle(Access.all())
    plain = ["What is one and one?"]
    assert generate(guard, plain, max_new_tokens=8) != ["No."]
    assert generate(guard, plain, max_new_tokens=8, prefill=["Ana lives"]) == ["No."]
    assert generate(guard, plain, max_new_tokens=8, turns=[TURNS]) == ["No."]


def test_one_beginning_and_one_conversation_a_question_that_leave_room():
    target = toy_model()
    for given in ({"prefill": ["Oslo"]}, {"turns": [(), (), ()]}):
        with pytest.raises(ConfigError, match="for 2 questions"):
            generate(target, ["Where?", "When?"], **given)
    with pytest.raises(StoreError, match="the context holds 48"):
        generate(target, ["Where?"], prefill=["Oslo " * 60])
