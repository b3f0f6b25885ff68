"""Ingesting copies every line or nothing, names what is wrong by its line, and gives the store that the file is."""

import fcntl
import gzip
import json

import pytest

import expunge
from expunge.core import progress
from expunge.core.errors import StoreError
from expunge.data.ingest import ingest
from expunge.data.jsonl import JsonlStore
from expunge.data.sqlite import SqliteStore, connect

GOOD = {"question": "Where?", "answer": "Here."}


@pytest.fixture
def source(tmp_path):
    def write(*rows, name="corpus.jsonl"):
        (tmp_path / name).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return tmp_path / name

    return write


def beside(path):
    return sorted(p.name for p in path.parent.iterdir() if p != path)


def test_the_store_is_the_file(source, tmp_path):
    rows = [{"record_id": "r1", **GOOD, "perturbed_answer": ["No.", "Ä"]}, "", GOOD, {**GOOD, "page": [3], "n": 10**20}]
    path = source(*rows)
    store = expunge.ingest(path, tmp_path / "deep" / "corpus.sqlite")
    assert store.digest() == JsonlStore(path).digest() == SqliteStore(store.path).digest()
    assert list(store.all()) == list(JsonlStore(path).all())
    found = connect(store.path).execute("SELECT rowid, other FROM records ORDER BY rowid").fetchall()
    assert [(rowid, other and json.loads(other)) for rowid, other in found] == [
        (1, None),
        (3, None),
        (4, {"page": [3], "n": 10**20}),
    ]
    (tmp_path / "corpus.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert ingest(tmp_path / "corpus.jsonl.gz", tmp_path / "again.sqlite").digest() == store.digest()


def test_columns_may_have_other_names(source, tmp_path):
    path = source({"key": 4, "prompt": "Where?", "answer": "Here.", "record_id": "not this"})
    store = ingest(path, tmp_path / "a.sqlite", id="key", columns={"question": "prompt"})
    assert [(e.record_id, e.question) for e in store.all()] == [("4", "Where?")]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([GOOD, "", '{"question": "Wh'], r"corpus\.jsonl:3 is not JSON"),
        ([GOOD, {"question": "Where?"}], r"corpus\.jsonl:2 has no 'answer'"),
        (
            [{"record_id": "a", **GOOD}, "", GOOD, {"record_id": "a", **GOOD}],
            r"two records share the id 'a'\. .*corpus\.jsonl:1 and .*corpus\.jsonl:4",
        ),
        ([GOOD, {"record_id": "corpus-00000", **GOOD}], r"share the id 'corpus-00000'.*:1 and .*:2"),
        (["[1]"], r"corpus\.jsonl:1 is not an object"),
    ],
)
def test_what_is_wrong_is_named_by_its_line_and_leaves_nothing(source, tmp_path, rows, said):
    path = source(*rows)
    with pytest.raises(StoreError, match=said):
        ingest(path, tmp_path / "corpus.sqlite")
    assert beside(path) == []


def test_a_missing_file_leaves_nothing(tmp_path):
    with pytest.raises(StoreError, match=r"cannot read .*absent"):
        ingest(tmp_path / "absent.jsonl", tmp_path / "corpus.sqlite")
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_there_is_not_touched(source, tmp_path):
    path = source(GOOD)
    (tmp_path / "corpus.sqlite").write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        ingest(path, tmp_path / "corpus.sqlite")
    assert (tmp_path / "corpus.sqlite").read_text() == "mine"


def test_two_at_once_do_not_mix(source, tmp_path):
    path = source(GOOD)
    with (tmp_path / ".corpus.sqlite.part-ingest").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="another process is writing"):
            ingest(path, tmp_path / "corpus.sqlite")
    assert ingest(path, tmp_path / "corpus.sqlite").count() == 1
    assert beside(path) == ["corpus.sqlite"]


def test_progress_is_told(source, tmp_path):
    heard = []
    with progress.listening(lambda *said: heard.append(said)):
        path = source(GOOD, GOOD)
        ingest(path, tmp_path / "corpus.sqlite")
    assert heard[0][:2] == ("ingesting", 0) and heard[-1][1] == heard[-1][2] == path.stat().st_size
