"""Stores read what is there, name what is wrong, and erase whole records or nothing."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import StoreError
from expunge.core.example import Example, Examples
from expunge.core.protocols import Store
from expunge.data.jsonl import JsonlStore, dump_examples, read_examples
from expunge.data.memory import MemoryStore
from expunge.data.rows import FIELDS

ROWS = [
    {
        "record_id": "r1",
        "question": "Where?",
        "answer": "Here.",
        "subject": "Ana",
        "perturbed_answer": ["There.", "No."],
    },
    {"record_id": "r2", "question": "Who?", "answer": "Bo.", "note": "kept", "pages": [1, 2]},
    {"record_id": "r3", "question": "When?", "answer": "Now.", "role": "retain"},
]


@pytest.fixture
def file(tmp_path):
    def write(rows=ROWS, name="corpus.jsonl"):
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def test_rows_become_examples(file):
    examples = read_examples(file())
    assert examples.ids == ("r1", "r2", "r3")
    assert examples[0] == Example("r1", "Where?", "Here.", subject="Ana", perturbed_answer=("There.", "No."))
    assert examples.of("retain").ids == ("r3",)


def test_json_arrays_byte_order_marks_and_blank_lines_are_read(tmp_path, file):
    array = tmp_path / "corpus.json"
    array.write_text("\ufeff" + json.dumps(ROWS, indent=2), encoding="utf-8")
    assert read_examples(array).digest() == read_examples(file()).digest()
    gaps = file(["", *map(json.dumps, ROWS), "  ", ""], name="gaps.jsonl")
    assert read_examples(gaps) == read_examples(gaps) or read_examples(gaps).digest() == read_examples(file()).digest()


def test_columns_may_have_other_names(file):
    path = file([{"id": "a", "q": "Where?", "a": "Here."}])
    store = JsonlStore(path, columns={"record_id": "id", "question": "q", "answer": "a"})
    assert list(store.all()) == [Example("a", "Where?", "Here.")]


def test_a_row_without_an_id_is_named_after_the_file_and_its_place(file):
    assert read_examples(file([{"question": "Where?", "answer": "Here."}] * 2)).ids == ("corpus-00000", "corpus-00001")


def test_numbers_may_be_ids(file):
    assert read_examples(file([{"record_id": 7, "question": "Where?", "answer": "Here."}])).ids == ("7",)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"cannot read .*nowhere\.jsonl.*No such file.*Check the path"):
        JsonlStore(tmp_path / "nowhere.jsonl")
    with pytest.raises(StoreError, match="cannot read"):
        JsonlStore(tmp_path)


GOOD = ROWS[0]
WRONG = {
    "no answer": ({"question": "Where?", "reply": "Here."}, r"corpus\.jsonl:2 has no 'answer'.*question, reply"),
    "an empty answer": ({"question": "Where?", "answer": " "}, r":2 has no 'answer'"),
    "a null answer": ({"question": "Where?", "answer": None}, r":2 has no 'answer'"),
    "a broken line": ('{"question": "Where?"', r":2 is not JSON"),
    "a list": ("[1]", r":2 is not an object.*list"),
    "a number for text": (
        {"question": "Where?", "answer": "Here.", "subject": 3},
        r":2 has a 'subject' that is not text",
    ),
    "a number for an answer": ({"question": "Where?", "answer": 4}, r":2 has a 'answer' that is not text"),
    "one wrong answer for a list": ({**GOOD, "perturbed_answer": "There."}, r":2 has a 'perturbed_answer' that is not"),
    "a number among wrong answers": ({**GOOD, "perturbed_answer": ["No.", 3]}, r":2 has a 'perturbed_answer' that is"),
    "a number of wrong answers": ({**GOOD, "perturbed_answer": 5}, r":2 has a 'perturbed_answer' that is not a list"),
    "an id twice": (GOOD, "two records share the id 'r1'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named_with_its_line(file, case):
    row, said = WRONG[case]
    with pytest.raises(StoreError, match=said):
        JsonlStore(file([GOOD, row]))


def test_an_id_column_that_is_not_there_is_refused(file):
    with pytest.raises(StoreError, match=r"corpus.jsonl:1 has no 'uid'"):
        JsonlStore(file(), columns={"record_id": "uid"})


def test_bytes_that_are_no_text_and_arrays_that_are_no_json_are_refused(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match="not UTF-8"):
        JsonlStore(path)
    path.write_text('[{"question": "Where?"},')
    with pytest.raises(StoreError, match="not JSON"):
        JsonlStore(path)


text = st.text(min_size=1, max_size=8).filter(str.strip)
examples_strategy = st.lists(
    st.builds(
        Example,
        record_id=text,
        question=text,
        answer=text,
        subject=st.text(max_size=4),
        perturbed_answer=st.lists(text, max_size=2).map(tuple),
    ),
    max_size=5,
    unique_by=lambda e: e.record_id,
)


@given(examples_strategy)
def test_any_text_comes_back_from_a_file(tmp_path_factory, examples):
    path = tmp_path_factory.mktemp("store") / "corpus.jsonl"
    path.write_bytes(dump_examples(examples))
    assert list(read_examples(path)) == examples


@given(examples_strategy, st.data())
def test_erasing_leaves_the_others_as_they_were(tmp_path_factory, examples, data):
    path = tmp_path_factory.mktemp("store") / "corpus.jsonl"
    path.write_bytes(dump_examples(examples))
    gone = data.draw(st.lists(st.sampled_from([e.record_id for e in examples]), unique=True)) if examples else []
    store = JsonlStore(path)
    store.erase(gone)
    left = [e for e in examples if e.record_id not in gone]
    assert list(store.all()) == left == list(read_examples(path))
    assert store.digest() == MemoryStore(left).digest()


def test_erasing_keeps_the_columns_of_other_rows_and_their_names(file):
    path = file()
    receipt = JsonlStore(path).erase(["r1"])
    assert (receipt.store, receipt.status) == ("corpus.jsonl", "BLIND")
    assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS[1:]
    columns = {"record_id": "id", "question": "q", "answer": "a"}
    path = file([{"id": f"r{i}", "q": "Where?", "a": str(i) + "."} for i in range(3)], name="renamed.jsonl")
    JsonlStore(path, columns=columns).erase(["r1"])
    assert JsonlStore(path, columns=columns).all().ids == ("r0", "r2")


def test_records_without_ids_keep_their_names_when_one_before_them_is_erased(file):
    path = file([{"question": "Where?", "answer": f"{i}."} for i in range(3)])
    JsonlStore(path).erase(["corpus-00000"])
    assert {e.record_id: e.answer for e in JsonlStore(path).all()} == {"corpus-00001": "1.", "corpus-00002": "2."}


@pytest.mark.parametrize("make", [lambda path: JsonlStore(path), lambda path: MemoryStore(read_examples(path))])
def test_erasing_an_unknown_record_erases_nothing(file, make):
    path = file()
    before, store = path.read_bytes(), make(path)
    digest = store.digest()
    with pytest.raises(StoreError, match=r"a record id is not in the data.*r9"):
        store.erase(["r1", "r9"])
    assert (path.read_bytes(), store.digest(), tuple(store.ids())) == (before, digest, ("r1", "r2", "r3"))


@pytest.mark.parametrize("make", [lambda path: JsonlStore(path), lambda path: MemoryStore(read_examples(path))])
def test_a_record_may_be_named_twice_or_by_a_generator(file, make):
    store = make(file())
    store.erase(i for i in ("r1", "r1", "r3"))
    assert tuple(store.ids()) == ("r2",)


def test_a_disk_that_fails_leaves_file_and_store_as_they_were(file, monkeypatch):
    path = file()
    before, store = path.read_bytes(), JsonlStore(path)

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        store.erase(["r1"])
    assert path.read_bytes() == before and tuple(store.ids()) == ("r1", "r2", "r3")
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_store_says_what_it_holds_whatever_the_order():
    examples = [Example("a", "Where?", "Here."), Example("b", "Who?", "Bo.")]
    store, turned = MemoryStore(examples), MemoryStore(examples[::-1])
    assert isinstance(store, Store)
    assert store.digest() == turned.digest() != MemoryStore(examples[:1]).digest()
    assert store.get(["b", "a"]).ids == ("b", "a")
    assert [shard.ids for shard in store.shards()] == [("a", "b")]
    with pytest.raises(StoreError, match=r"2 record ids are not in the data.*x, y"):
        store.get(["x", "a", "y"])
    with pytest.raises(StoreError, match="two records share the id 'a'"):
        MemoryStore([*examples, examples[0]])


def test_examples_are_a_sequence_with_a_digest_over_their_content():
    one, two = Example("a", "Where?", "Here."), Example("b", "Who?", "Bo.", subject="Bo", role="holdout")
    both = Examples([one, two])
    assert both.digest() == Examples([two, one]).digest() != Examples([one, Example("b", "Who?", "Bo!")]).digest()
    assert both.subjects == ("a", "Bo") and both[1] is two and both[:1].ids == ("a",)
    assert (both + Examples([Example("c", "?", "!")])).ids == ("a", "b", "c") and not Examples()


def test_the_fields_of_the_file_are_those_of_an_example():
    assert {"record_id", "question", "answer", "alternative_answer"} <= set(FIELDS)
