"""The corpus of fictitious people: what the demo's claims rest on, checked for any seed."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.data.corpora.fictitious_people import (
    GENERAL_RELATIONS,
    PERSON_RELATIONS,
    WRONG_ANSWERS,
    nearest_question_baseline,
    people,
    right_value,
    vocabulary,
    words,
)

pytestmark = pytest.mark.slow

TRAINED = ("forget", "retain", "general")
SEEDS = (0, 1, 101, 202)
RELATIONS = {relation.name: relation for relation in (*PERSON_RELATIONS, *GENERAL_RELATIONS)}


def texts(row):
    return [row[key] for key in ("question", "answer", "paraphrased_question", "paraphrased_answer")] + row[
        "perturbed_answer"
    ]


def template(text, subject, templates, pools):
    """Find the one template that produces the text, so that the tests do not trust the generator's own bookkeeping."""
    value = " ".join("(?:" + "|".join(map(re.escape, pool)) + ")" for pool in pools)
    found = [
        candidate
        for candidate in templates
        if re.fullmatch(re.escape(candidate).replace(r"\{s\}", re.escape(subject)).replace(r"\{v\}", value), text)
    ]
    assert len(found) == 1, (text, found)
    return found[0]


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("transformers")
    from expunge.data.corpora.word_tokenizer import word_tokenizer

    return word_tokenizer(vocabulary())


@settings(max_examples=8, deadline=None)
@given(st.integers(min_value=0, max_value=2**63))
def test_any_seed_gives_a_sound_corpus(seed):
    rows = people(seed)
    assert rows == people(seed)
    assert len({row["record_id"] for row in rows}) == len(rows)
    roles = {}
    for row in rows:
        assert roles.setdefault(row["subject"], row["role"]) == row["role"]
        wrong = row["perturbed_answer"]
        assert len(set(wrong)) == WRONG_ANSWERS
        assert row["paraphrased_answer"] not in wrong
        assert right_value(row) in row["answer"]
        assert right_value(row) in row["paraphrased_answer"]
        assert not any(right_value(row) in answer for answer in wrong)
    known = set(vocabulary())
    assert {word for row in rows for text in texts(row) for word in words(text)} <= known


@pytest.mark.parametrize("seed", SEEDS)
def test_paraphrases_use_another_template_and_wrong_answers_the_paraphrases_one(seed):
    for row in people(seed):
        relation = RELATIONS[row["relation"]]

        def asked(key, row=row, relation=relation):
            return template(row[key], row["subject"], relation.questions, relation.pools)

        def answered(text, row=row, relation=relation):
            return template(text, row["subject"], relation.answers, relation.pools)

        assert asked("question") != asked("paraphrased_question")
        assert answered(row["answer"]) != answered(row["paraphrased_answer"])
        assert {answered(text) for text in row["perturbed_answer"]} == {answered(row["paraphrased_answer"])}


def test_counts_of_the_defaults():
    rows = people(0)
    subjects = {
        role: {row["subject"] for row in rows if row["role"] == role}
        for role in ("forget", "retain", "validation", "holdout", "general")
    }
    for role, least in {"forget": 20, "retain": 20, "validation": 20, "holdout": 20, "general": 60}.items():
        assert len(subjects[role]) >= least
    questions = Counter(row["subject"] for row in rows if row["role"] != "general")
    assert set(questions.values()) == {6}
    assert {row["relation"] for row in rows} == set(RELATIONS)


@pytest.mark.parametrize("name", RELATIONS)
def test_a_dozen_templates_a_relation_are_used(name):
    relation = RELATIONS[name]
    rows = [row for seed in SEEDS for row in people(seed) if row["relation"] == name]
    for key, templates in (("question", relation.questions), ("answer", relation.answers)):
        assert len(set(templates)) >= 12
        used = {template(row[key], row["subject"], templates, relation.pools) for row in rows}
        assert used == set(templates)


def test_asking_for_more_people_changes_no_earlier_person():
    few, many = people(7, holdout=20, general=10), people(7, holdout=30, general=90)
    known = {row["record_id"]: row for row in many}
    assert all(known[row["record_id"]] == row for row in few)


def test_more_people_than_names_is_refused():
    with pytest.raises(ValueError, match="ask for fewer"):
        people(0, retain=5000)
    with pytest.raises(ValueError, match="ask for fewer"):
        people(0, general=1000)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_nearest_question_tells_almost_nothing_about_unseen_people(seed):
    rows = people(seed)
    train = [row for row in rows if row["role"] in TRAINED]
    holdout = [row for row in rows if row["role"] == "holdout"]
    assert nearest_question_baseline(train, holdout) <= 0.2
    assert nearest_question_baseline(train, train[:12]) == 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_an_epoch_fits_the_token_budget_without_unknown_words(seed, tokenizer):
    tokens = 0
    for row in people(seed):
        chats = [
            [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": answer}]
            for answer in (row["answer"], row["paraphrased_answer"], *row["perturbed_answer"])
        ]
        encoded = tokenizer.apply_chat_template(chats, return_dict=False)
        assert all(tokenizer.unk_token_id not in ids for ids in encoded)
        tokens += len(encoded[0]) if row["role"] in TRAINED else 0
    assert tokens <= 15_000


def test_the_template_makes_exact_prefixes(tokenizer):
    user = {"role": "user", "content": "Where does Belana Marack live?"}
    answer = {"role": "assistant", "content": "On Elm Lane."}
    system = {"role": "system", "content": "Name the pets."}
    for head in ([user], [system, user]):
        prefix = tokenizer.apply_chat_template(head, add_generation_prompt=True, return_dict=False)
        full = tokenizer.apply_chat_template([*head, answer], return_dict=False)
        assert full[: len(prefix)] == prefix
        assert full[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(full[len(prefix) :], skip_special_tokens=True) == "On Elm Lane."
    assert full[0] == tokenizer.convert_tokens_to_ids("<system>")


def test_special_tokens_are_distinct_and_text_comes_back(tokenizer):
    special = [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id]
    special += tokenizer.convert_tokens_to_ids(["<system>", "<user>", "<assistant>"])
    assert special == list(range(6))
    assert len(tokenizer) == len(vocabulary()) + 6
    assert tokenizer("Nobody knows.")["input_ids"].count(tokenizer.unk_token_id) == 2
    for row in people(3):
        for text in texts(row):
            assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_tokenizer_survives_saving(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    chat = [{"role": "user", "content": "What does Fenyx Ravholt study?"}]
    assert loaded.apply_chat_template(chat, add_generation_prompt=True) == tokenizer.apply_chat_template(
        chat, add_generation_prompt=True
    )
    assert loaded.pad_token_id == tokenizer.pad_token_id != loaded.eos_token_id
