"""Labels cover the answer and the end token; the mask comes from lengths; nothing is cut without being counted."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import StoreError, TargetError
from expunge.core.example import Example
from expunge.data.collate import Encoded, Template, by_length, collate
from expunge.data.corpora.word_tokenizer import word_tokenizer

WORDS = ("Ana", "lives", "in", "Oslo", "Where", "does", "live", "Question", "Answer", "Hush", "?", ".", ":")
QUESTION, ANSWER = "Where does Ana live?", "Ana lives in Oslo."


def template(*, chat: bool = True, max_length: int = 48, on_long="error", text: str | None = None) -> Template:
    tokenizer = word_tokenizer(WORDS)
    if not chat:
        tokenizer.chat_template = None
    elif text is not None:
        tokenizer.chat_template = text
    return Template(tokenizer, max_length, on_long)


def words(form: Template, ids) -> list[str]:
    return form.tokenizer.convert_ids_to_tokens(list(ids))


def test_chat_form_scores_the_answer_and_the_end_token():
    form = template()
    item = form.encode("r1", QUESTION, ANSWER)
    assert words(form, item.ids[: item.n_prompt]) == ["<user>", "Where", "does", "Ana", "live", "?", "<assistant>"]
    assert words(form, item.ids[item.n_prompt :]) == ["Ana", "lives", "in", "Oslo", ".", "<eos>"]
    assert (item.key, item.n_scored, item.truncated) == ("r1", 6, 0)


def test_plain_form_scores_the_answer_and_the_end_token():
    form = template(chat=False)
    item = form.encode("r1", QUESTION, ANSWER)
    prompt = ["Question", ":", "Where", "does", "Ana", "live", "?", "Answer", ":"]
    assert words(form, item.ids) == [*prompt, "Ana", "lives", "in", "Oslo", ".", "<eos>"]
    assert item.n_prompt == len(prompt)


@pytest.mark.parametrize("chat", [True, False])
def test_a_system_message_stands_before_the_question_and_is_not_scored(chat):
    form = template(chat=chat)
    bare, told = form.encode("r", QUESTION, ANSWER), form.encode("r", QUESTION, ANSWER, system="Hush.")
    assert words(form, told.ids)[: 3 if chat else 2] == (["<system>", "Hush", "."] if chat else ["Hush", "."])
    assert told.ids[told.n_prompt :] == bare.ids[bare.n_prompt :]
    assert told.n_scored == bare.n_scored


def test_what_a_template_writes_after_the_end_token_is_not_scored():
    text = template().tokenizer.chat_template + "{{ '' if add_generation_prompt else ' Hush .' }}"
    form = template(text=text)
    assert form.encode("r", QUESTION, ANSWER) == template().encode("r", QUESTION, ANSWER)


def test_a_template_without_an_end_token_gets_one():
    form = template(text=template().tokenizer.chat_template.replace("' ' + eos_token", "' '"))
    assert form.encode("r", QUESTION, ANSWER) == template().encode("r", QUESTION, ANSWER)


def test_a_template_whose_prompt_is_no_prefix_is_refused():
    text = "{{ 'Hush ' if add_generation_prompt else '' }}{% for m in messages %}{{ m['content'] + ' ' }}{% endfor %}"
    with pytest.raises(TargetError, match="not a prefix of its conversation"):
        template(text=text).encode("r", QUESTION, ANSWER)


@pytest.mark.parametrize("chat", [True, False])
def test_an_answer_that_holds_the_end_token_is_refused(chat):
    with pytest.raises(StoreError, match="holds the end token '<eos>'"):
        template(chat=chat).encode("r", QUESTION, "Ana lives <eos> in Oslo.")


def test_a_template_that_knows_no_system_role_is_named():
    text = "{{ raise_exception('no system role') if messages[0]['role'] == 'system' else '' }}"
    with pytest.raises(TargetError, match=r"cannot write a conversation of system, user.*no system role"):
        template(text=text).prompt_ids(QUESTION, system="Hush.")


def test_a_tokenizer_without_an_end_token_is_refused():
    form = template(chat=False)
    form.tokenizer.eos_token = None
    with pytest.raises(TargetError, match="no end token"):
        form.encode("r", QUESTION, ANSWER)


@pytest.mark.parametrize("chat", [True, False])
def test_the_context_limit_is_an_error_or_a_counted_truncation(chat):
    whole = template(chat=chat).encode("r7", QUESTION, ANSWER)
    n = len(whole.ids)
    assert template(chat=chat, max_length=n).encode("r7", QUESTION, ANSWER) == whole
    with pytest.raises(StoreError, match=rf"record 'r7' is {n} tokens long, the context holds {n - 1}\..*Shorten it"):
        template(chat=chat, max_length=n - 1).encode("r7", QUESTION, ANSWER)
    cut = template(chat=chat, max_length=n - 2, on_long="truncate").encode("r7", QUESTION, ANSWER)
    assert (cut.ids, cut.truncated, cut.n_scored) == (whole.ids[:-2], 2, whole.n_scored - 2)


def test_a_prompt_that_fills_the_context_cannot_be_truncated():
    form = template()
    room = len(form.prompt_ids(QUESTION))
    with pytest.raises(StoreError, match="of them are the prompt"):
        template(max_length=room, on_long="truncate").encode("r", QUESTION, ANSWER)
    assert template(max_length=room + 1, on_long="truncate").encode("r", QUESTION, ANSWER).n_scored == 1


def test_examples_are_encoded_with_their_own_answer():
    form = template()
    example = Example("r1", QUESTION, ANSWER, paraphrased_answer="Oslo.")
    assert form.encode_all([example]) == [form.encode("r1", QUESTION, ANSWER)]


@st.composite
def sequences(draw):
    ids = st.integers(0, 5)  # few ids, so that pad, end and words collide all the time
    shapes = draw(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=1, max_size=6))
    return [
        Encoded(f"r{i}", tuple(draw(st.lists(ids, min_size=p + a, max_size=p + a))), p)
        for i, (p, a) in enumerate(shapes)
    ]


@given(sequences(), st.integers(0, 5))
def test_ragged_sequences_are_padded_masked_and_labelled_by_length(items, pad):
    batch = collate(items, pad=pad)
    longest = max(len(item.ids) for item in items)
    assert batch.input_ids.shape == batch.attention_mask.shape == (len(items), longest)
    assert batch.counts.tolist() == [item.n_scored for item in items]
    token = 0
    for row, item in enumerate(items):
        n = len(item.ids)
        assert batch.input_ids[row].tolist() == [*item.ids, *[pad] * (longest - n)]
        assert batch.attention_mask[row].tolist() == [1] * n + [0] * (longest - n)
        span = slice(token, token + item.n_scored)
        assert batch.rows[span].tolist() == [row] * item.n_scored
        assert batch.cols[span].tolist() == list(range(item.n_prompt - 1, n - 1))
        assert batch.labels[span].tolist() == list(item.ids[item.n_prompt :])
        token += item.n_scored
    assert token == len(batch.rows) == len(batch.labels)


@given(sequences(), st.integers(0, 5), st.integers(0, 5))
def test_the_pad_id_shows_nowhere_but_under_the_mask(items, first, second):
    a, b = collate(items, pad=first), collate(items, pad=second)
    for name in ("attention_mask", "rows", "cols", "labels", "counts"):
        assert torch.equal(getattr(a, name), getattr(b, name))
    assert torch.equal(a.input_ids * a.attention_mask, b.input_ids * b.attention_mask)


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(1, 80))
def test_batches_of_similar_length_hold_every_position_once_and_keep_the_budget(lengths, budget):
    batches = by_length(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    widths = [max(lengths[i] for i in batch) for batch in batches]
    assert widths == sorted(widths, reverse=True)
    assert all(len(b) == 1 or w * len(b) <= budget for b, w in zip(batches, widths, strict=True))
