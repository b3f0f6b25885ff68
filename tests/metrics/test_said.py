"""Scores of what is said: answers in other clothes, personal strings, loops, first answers."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import EvidenceError
from expunge.metrics import (
    answer_said,
    distinct_ratio,
    generation_entropy,
    knowledge_memorization,
    perplexity,
    pii_leak,
    probability,
    repetition,
    rouge_l_f1,
)
from expunge.metrics._ngrams import ngram_overlap
from expunge.metrics._personal import personal, repeats
from expunge.metrics._said import normalised, says
from expunge.metrics.knowledge_memorization import first_answer

WORDS = st.lists(st.text("abcdeéß", min_size=2, max_size=6), min_size=1, max_size=6)


@given(answer=WORDS, before=WORDS, after=WORDS, marks=st.sampled_from(["", ".", "!", " –", "’,"]))
def test_case_articles_and_punctuation_hide_no_answer(answer, before, after, marks):
    shouted = " the ".join(word.upper() + marks for word in answer)
    said = f"{' '.join(before)}, {shouted} {' '.join(after)}."
    assert says(said, " ".join(answer))
    assert says(said, "not there at all", others=f"nor here\n{' '.join(answer)}")


@given(answer=WORDS, said=WORDS)
def test_an_answer_is_said_only_in_a_row_of_whole_words(answer, said):
    wanted, found = (normalised(" ".join(words)).split() for words in (answer, said))
    rows = [found[i : i + len(wanted)] for i in range(len(found))]
    assert says(" ".join(said), " ".join(answer)) == (bool(wanted) and wanted in rows)


def test_what_has_no_words_is_never_said():
    assert not says("The a an.", "the") and not says("", "") and not says("x", "...")
    assert answer_said(["the"], [""], ["the"]).tolist() == [0.0]


def test_columns_of_other_lengths_are_refused():
    with pytest.raises(EvidenceError, match="differ in number"):
        answer_said(["a"], ["a", "b"], ["a"])
    with pytest.raises(EvidenceError, match="differ in number"):
        pii_leak(["a"], [])
    with pytest.raises(EvidenceError, match="differ in number"):
        knowledge_memorization(["a"], [])


FORMED = {
    "CREDIT_CARD": "card",
    "DOMAIN_NAME": "url",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "US_SSN": "social_security",
    "PHONE_NUMBER": "",
    "US_DRIVER_LICENSE": "",
}
"""Presidio's kind -> ours; empty where several of ours look alike."""


@pytest.fixture(scope="module")
def sentences(shared):
    return json.loads((shared / "data" / "presidio_synth" / "synth_dataset_v2.json").read_text())


def test_every_string_of_a_form_is_found_whole(sentences):
    missed, seen = [], Counter()
    for row in sentences:
        found = {(kind, string.rstrip("/")) for kind, string in personal(row["full_text"])}
        for span in row["spans"]:
            kind = FORMED.get(span["entity_type"])
            if kind is None:
                continue
            seen[span["entity_type"]] += 1
            value = span["entity_value"].rstrip("/")
            if not any(string == value and (not kind or kind == ours) for ours, string in found):
                missed.append((span["entity_type"], value))
    assert not missed and set(seen) == set(FORMED) and sum(seen.values()) == 370


def test_nothing_is_found_where_nothing_personal_stands(sentences):
    for row in sentences:
        values = [span["entity_value"] for span in row["spans"]]
        strays = [s for _, s in personal(row["full_text"]) if not any(s in value or value in s for value in values)]
        assert not strays, row["full_text"]


def test_a_full_date_is_found_and_a_year_is_not(sentences):
    dates = [s["entity_value"] for row in sentences for s in row["spans"] if s["entity_type"] == "DATE_TIME"]
    full = [date for date in dates if sum(map(str.isdigit, date)) > 4]
    assert len(full) == 48 and all(personal(date) == [("date", date)] for date in full)
    assert not any(personal(date) for date in dates if date not in full)


def test_the_leak_of_a_sentence_is_all_of_it_when_repeated_and_none_when_changed(sentences):
    texts = [row["full_text"] for row in sentences]
    repeated = pii_leak(texts, texts)
    has = np.array([bool(personal(text)) for text in texts])
    assert (repeated[has] == 1.0).all() and np.isnan(repeated[~has]).all() and 300 < has.sum() < 600
    turned = str.maketrans("0123456789@.", "1234567890 _")
    assert (pii_leak(texts, [text.translate(turned) for text in texts])[has] == 0.0).all()


@given(number=st.from_regex(r"[1-9]\d{7,10}", fullmatch=True), digit=st.sampled_from("0123456789"))
def test_a_number_within_a_longer_one_is_not_said(number, digit):
    assert repeats(f"It is {number}.", number)
    assert not repeats(f"It is {number}{digit}.", number) and not repeats(f"It is {digit}{number}.", number)


def test_strings_count_once():
    assert pii_leak(["a@b.example, a@b.example and 12 May 1990"], ["a@b.example"]).tolist() == [0.5]


def test_first_answers_are_cut_as_by_the_authors(shared):
    golden = json.loads((shared / "golden" / "concept" / "muse_rouge.json").read_text())
    for said, want in golden["knowmem_cut"]:
        assert first_answer(said) == want
    rows = [row for row in golden["history"] if row["gt"] not in ("Harry studied baking at Hogwarts",)]
    want, said = [row["gt"] for row in rows], [row["response"] for row in rows]
    # Stemming, which the authors leave off here, changes none of these.
    found = knowledge_memorization(want, [f"{text}\n\nQuestion: {text}" for text in said])
    np.testing.assert_allclose(found, [row["rougeL"] for row in rows], atol=1e-12)
    np.testing.assert_array_equal(found, rouge_l_f1(want, said))


@given(words=st.lists(st.sampled_from(["of", "the", "sea", "by"]), max_size=12), n=st.integers(1, 4))
def test_repetition_counts_what_came_before(words, n):
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    again = sum(gram in grams[:i] for i, gram in enumerate(grams))
    assert repetition([" ".join(words)], n=n)[0] == pytest.approx(again / len(grams) if grams else 0.0)
    assert distinct_ratio([" ".join(words)])[0] == pytest.approx(len(set(words)) / len(words) if words else 0.0)


def test_a_loop_and_a_sentence_are_told_apart():
    loop, sentence = "of the sea " * 20, "She was born in Oslo and keeps three owls by the harbour."
    assert repetition([loop])[0] > 0.9 and repetition([sentence])[0] == 0.0
    assert distinct_ratio([loop])[0] < 0.1 and distinct_ratio([sentence])[0] == 1.0


def test_perplexity_is_the_inverse_of_probability():
    logp = -np.random.default_rng(4).exponential(2.0, (6, 5))
    mask = np.arange(5) < np.array([5, 1, 3, 2, 4, 5])[:, None]
    np.testing.assert_allclose(perplexity(logp, mask) * probability(logp, mask), 1.0, rtol=1e-12)
    assert np.isinf(perplexity([[-np.inf]], [[1]]))[0]


@given(tokens=st.lists(st.integers(0, 3), max_size=9), n=st.integers(1, 4))
def test_overlap_is_all_with_itself_and_nothing_with_what_shares_no_run(tokens, n):
    assert ngram_overlap(tokens, tokens, n) == float(len(tokens) >= n)
    assert ngram_overlap(tokens, [token + 9 for token in tokens], n) == 0.0


@given(words=st.lists(st.sampled_from("abc"), min_size=3, max_size=12))
def test_entropy_is_that_of_pairs_and_triples_and_highest_where_none_comes_again(words):
    def bits(n):
        grams = Counter(zip(*(words[i:] for i in range(n)), strict=False))
        shares = [count / sum(grams.values()) for count in grams.values()]
        return -sum(share * np.log2(share) for share in shares)

    found = generation_entropy([" ".join(words), " ".join(f"w{i}" for i in range(len(words)))])
    assert found[0] == pytest.approx((2 / 3 * bits(2) + 4 / 3 * bits(3)) / 2, abs=1e-12) and found[0] >= 0
    assert found[0] <= found[1] + 1e-12
    assert generation_entropy(["la la la la la", ""]).tolist() == [0.0, 0.0]
