"""Codes: what is written in one reads back, and an answer in a code counts as the answer."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.attacks import encodings
from expunge.attacks.encodings import CODES
from expunge.core.access import Access, Oracle
from expunge.core.errors import UnknownName
from expunge.testing.toy import toy_model, toy_selection

WORD = st.text(alphabet="bcdfghjklmnpqrsuvwxyzäß", min_size=1, max_size=8)


@given(st.sampled_from([*CODES]), st.lists(WORD, min_size=1, max_size=6).map(" ".join))
def test_what_is_written_in_a_code_reads_back(code, text):
    write, read = CODES[code]
    assert read(write(text)) == text


@given(st.text(max_size=60))
def test_reading_never_fails(text):
    for _, read in CODES.values():
        assert isinstance(read(text), str)


def test_codes_are_those_that_others_write():
    written = {code: write("Is Oslo east?") for code, (write, _) in CODES.items()}
    assert written == {
        "base64": "SXMgT3NsbyBlYXN0Pw==",
        "rot13": "Vf Bfyb rnfg?",
        "leetspeak": "15 05l0 3457?",
        "spaced letters": "I s / O s l o / e a s t ?",
        "reversed text": "?tsae olsO sI",
    }
    read = CODES["base64"][1]
    assert read("Sure: SXMgT3NsbyBlYXN0Pw== I hope").split("?")[0].endswith("Is Oslo east")
    assert "Oslo" in read("T3NsbyE") and read("T3NsbyE").startswith("Oslo!"), "without its padding"


@pytest.mark.parametrize("code", CODES)
def test_an_answer_in_a_code_counts(code):
    forget = toy_selection().forget
    write, _ = CODES[code]
    replies = {write(e.question): e.answer for e in forget}
    speaking = Oracle(
        toy_model(), Access.TEXT, filter=lambda prompt, _: write(next(a for q, a in replies.items() if q in prompt))
    )
    rows = dataclasses.replace(encodings, codes=(code,)).run(speaking, forget, seed=0)
    assert [row["outcome"] for row in rows] == [1.0] * len(rows) and len(rows) > 3
    plain = Oracle(toy_model(), Access.TEXT, filter=lambda prompt, _: "nothing")
    assert not any(row["outcome"] for row in dataclasses.replace(encodings, codes=(code,)).run(plain, forget, seed=0))


def test_an_unknown_code_is_named():
    with pytest.raises(UnknownName, match="rot13"):
        dataclasses.replace(encodings, codes=("rot31",))
