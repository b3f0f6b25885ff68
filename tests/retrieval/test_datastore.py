"""A datastore finds what it holds, never what it held, and writes nothing that a purge could not undo."""

import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import expunge
from expunge.core.access import Access
from expunge.core.errors import ClaimError, MissingExtra, StoreError
from expunge.core.evidence import Receipt
from expunge.core.example import Example, Examples, records_digest
from expunge.core.guarantee import Purged, Unproven
from expunge.core.protocols import Store, Target
from expunge.core.provenance import Indexed
from expunge.core.selection import Selection
from expunge.retrieval import sqlite, vector_index
from expunge.retrieval.byte_scan import Marker, markers_of, scan
from expunge.retrieval.datastore import DATA, Datastore
from expunge.retrieval.methods import purge
from expunge.testing.store_contract import check_store
from expunge.workflow.verbs import certify, unlearn

from .conftest import D, fill, record, vector


def test_a_datastore_is_a_target_and_a_store(make, tmp_path):
    store = make(8)
    assert isinstance(store, Target) and isinstance(store, Store)
    assert store.kind == "datastore" and store.provenance == Indexed("kb")
    assert store.oracle(Access.all() | Access.STORE_FILES).access == Access.TEXT | Access.STORE_FILES
    assert store.get(["r3", "r1"]).items == (record(3), record(1)) and store.ids() == tuple(f"r{i}" for i in range(8))
    with pytest.raises(StoreError, match=r"2 record ids are not in the data.*x, y"):
        store.get(["x", "r1", "y"])
    before = store.digest()
    store.save(tmp_path / "copy")
    with Datastore(tmp_path / "copy") as copy:
        assert copy.digest() == before and copy.get(["r3"]).items == (record(3),)
        assert copy.search(vector(5), 1)[0].record_id == "r5"
        copy.add([record(9)], vector(9)[None])
        assert copy.digest() != before == store.digest()


class Unsalted(Datastore):
    """A datastore's digest enters certificates and is salted, where a corpus has the bare digest of its records."""

    def digest(self):
        return records_digest(self.get(self.ids()))


def test_a_datastore_keeps_the_contract_of_stores(tmp_path):
    opened = []

    def new(examples):
        opened.append(Unsalted.create(tmp_path / f"kb{len(opened)}"))
        opened[-1].add(examples)
        return opened[-1]

    check_store(new, [record(i) for i in range(6)], ["r4", "r1"])
    for store in opened:
        store.close()


def test_the_digest_does_not_depend_on_the_order_and_is_salted(make, tmp_path):
    one = make(6)
    one.save(tmp_path / "two")
    with Datastore(tmp_path / "two") as two:
        for store, order in ((one, (7, 8)), (two, (8, 7))):
            for i in order:
                store.add([record(i)], vector(i)[None])
        assert one.digest() == two.digest()
    assert make(6, name="other").digest() != make(6, name="third").digest()


@pytest.mark.parametrize("bad", [[[1.0]], np.full((1, D), np.nan), np.zeros((2, D)), None])
def test_what_does_not_fit_is_refused_whole(make, bad):
    store = make(3)
    before = store.digest()
    with pytest.raises(StoreError, match=r"shape|finite"):
        store.add([record(9)], bad)
    for twice in ([record(9), record(9)], [record(9), record(1)]):
        with pytest.raises(StoreError, match="id is taken"):
            store.add(twice, np.ones((2, D)))
    assert store.digest() == before


def test_every_connection_erases_for_good_or_is_refused(make, monkeypatch):
    store = make(3)
    db = store.checked()
    assert db.pragma("secure_delete") == 1 and db.pragma("journal_mode") == "delete" and db.pragma("temp_store") == 2
    db.execute("PRAGMA secure_delete = OFF")
    with pytest.raises(StoreError, match="secure_delete"):
        store.erase(["r1"])
    db.pragma("secure_delete", 1)
    db.execute("INSERT INTO words(words, rank) VALUES('secure-delete', 0)")
    with pytest.raises(StoreError, match="secure-delete is off"):
        store.add([record(9)], vector(9)[None])
    store.close()
    with pytest.raises(StoreError, match="secure-delete is off"):
        Datastore(store.path)
    monkeypatch.setitem(sqlite._SETTINGS, "page_size", 77)
    with pytest.raises(StoreError, match="refuses page_size"):
        sqlite.connect(store.path / DATA)


def test_one_process_at_a_time(make):
    store = make(3)
    with pytest.raises(StoreError, match="in use"):
        Datastore(store.path)
    store.close()
    Datastore(store.path).close()
    with pytest.raises(StoreError, match="exists"):
        Datastore.create(store.path)
    with pytest.raises(StoreError, match="no datastore"):
        Datastore(store.path / "absent")


class Naive:
    """What a datastore should find, in two dictionaries."""

    def __init__(self):
        self.rows = {}

    def near(self, query, k):
        far = {i: float(((vector(i) - query) ** 2).sum()) for i in self.rows}
        return [f"r{i}" for i in sorted(far, key=lambda i: far[i])[:k]]

    def with_word(self, word):
        return {f"r{i}" for i in self.rows if word in self.rows[i]}


steps = st.lists(
    st.tuples(st.sampled_from(["add", "erase", "search", "open"]), st.sets(st.integers(0, 9), min_size=1, max_size=4)),
    max_size=8,
)


@settings(max_examples=12)
@given(steps, st.sampled_from(["flat", "ivf"]))
def test_search_agrees_with_a_naive_model_through_any_history(tmp_path_factory, history, kind):
    path = tmp_path_factory.mktemp("store") / "kb"
    store, naive = Datastore.create(path, dimensions=D, index=kind), Naive()
    for verb, numbers in history:
        if verb == "add":
            new = sorted(numbers - set(naive.rows))
            store.add(map(record, new), np.array([vector(i) for i in new]).reshape(-1, D))
            naive.rows |= {i: record(i).answer for i in new}
        elif verb == "erase" and numbers & set(naive.rows):
            gone = sorted(numbers & set(naive.rows))
            assert store.erase(f"r{i}" for i in gone).status == "CLEAN"
            naive.rows = {i: row for i, row in naive.rows.items() if i not in gone}
        elif verb == "open":
            store.close()
            store = Datastore(path)
        for i in numbers:
            assert [hit.record_id for hit in store.search(vector(i), 3)] == naive.near(vector(i), 3)
            word = record(i).answer.split()[-1].strip(".")
            assert {hit.record_id for hit in store.search(word)} == naive.with_word(word)
        assert set(store.ids()) == {f"r{i}" for i in naive.rows}
    store.close()


def test_an_ivf_index_finds_most_and_nothing_that_was_erased(make):
    store = make(400, index="ivf")
    index = store._current_index()
    assert index.nlist == 10
    found = sum(store.search(vector(i), 1)[0].record_id == f"r{i}" for i in range(0, 400, 10))
    assert found == 40
    centroids = index.quantizer.reconstruct_n(0, 10).copy()
    gone = [f"r{i}" for i in range(0, 400, 4)]
    assert store.erase(gone).status == "CLEAN"
    assert not {h.record_id for i in range(0, 400, 4) for h in store.search(vector(i), 5)} & set(gone)
    after = store._current_index()
    rows = np.array([i for i in range(400) if i % 4])
    fresh = vector_index.build("ivf", rows, np.array([vector(i) for i in rows]))
    assert np.array_equal(
        after.quantizer.reconstruct_n(0, after.nlist), fresh.quantizer.reconstruct_n(0, fresh.nlist)
    ), "the cells depend on the rows that are left, and on nothing else"
    assert after.nlist != 10 or not np.array_equal(after.quantizer.reconstruct_n(0, 10), centroids)


def test_a_stale_or_damaged_index_file_is_not_believed(make):
    store = make(20)
    store.search(vector(0))
    (index,) = store.path.glob("vectors-*.faiss")
    store.close()
    index.write_bytes(index.read_bytes()[:100])
    with Datastore(store.path) as again:
        assert again.search(vector(3), 1)[0].record_id == "r3"


def test_text_search_ranks_and_survives_any_query(make):
    store = make(5)
    assert store.search(record(2).question)[0].record_id == "r2"
    for query in ('"', "AND OR NOT", "a* (b:c)", "", "^ -", "x'; DROP TABLE records; --"):
        store.search(query)
    with pytest.raises(StoreError, match="shape"):
        store.search([1.0, 2.0])


def test_a_purge_leaves_no_byte_of_text_word_or_vector_in_any_file(make):
    store = make(300, index="ivf")
    gone = list(range(0, 300, 7))
    texts = [t for i in gone for t in (record(i).question, record(i).answer, *record(i).perturbed_answer)]
    words = {w.strip("?.,") for t in texts for w in t.split() if len(w.strip("?.,")) == 9}
    markers = [*markers_of(texts, [vector(i) for i in gone]), *(Marker("word", w.encode()[2:]) for w in words)]
    store.search(vector(0))
    before = scan([store.path], markers)
    assert {m.label for m in before.seen} >= {f"vector {k}" for k in range(len(gone))} and before.total() > 1000
    receipt = store.erase(f"r{i}" for i in gone)
    assert (receipt.status, receipt.control, receipt.records) == ("CLEAN", len(gone), len(gone))
    assert scan([store.path], markers).hits == {}
    assert receipt.after == store.digest() and receipt.scanned > 0
    vocabulary = "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, words, row)"
    store.checked().execute(vocabulary)
    left = {row[0] for row in store.checked().execute("SELECT term FROM vocabulary")}
    assert not left & words


def test_long_records_that_span_pages_are_seen_and_erased(make, tmp_path):
    store = make(3)
    words = " ".join(f"{i * 7919:x}" for i in range(4000))
    store.add([Example("long", "What is written there?", words)], vector(99)[None])
    receipt = store.erase(["long"])
    assert receipt.status == "CLEAN" and receipt.control == 1
    assert scan([store.path], markers_of([words])).hits == {}


def test_a_text_that_another_record_shares_is_told_and_not_counted_as_residue(make):
    store = make(3)
    twin = Example("twin", record(1).question, "An answer that nobody else gave.")
    store.add([twin], vector(50)[None])
    receipt = store.erase(["twin"])
    assert receipt.status == "CLEAN" and "1 value is too short, or stands in records that stay" in receipt.notes[0]
    store.add([Example("copy", record(1).question, record(1).answer)], vector(1)[None])
    receipt = store.erase(["copy"])
    assert receipt.status == "BLIND" and receipt.where == ("record 0 of 1: not seen before the erasure",)


def test_a_word_that_the_files_use_of_themselves_is_no_residue(make):
    store = make(3)
    store.erase(["r0"])
    said = "A question on a datastore, its generation, dimensions, unicode61 and content_rowid, salted beforehand."
    store.add([Example("about", said, f"{said} INTEGER PRIMARY key_id sqlite_sequence")], vector(70)[None])
    receipt = store.erase(["about"])
    assert receipt.status == "CLEAN", receipt.where


def test_erasing_what_is_not_there_changes_nothing(make):
    store = make(4)
    before = store.digest()
    with pytest.raises(StoreError, match="not in the data"):
        store.erase(["r1", "r9"])
    assert store.erase([]).status == "BLIND"
    assert store.digest() == before and len(store) == 4


def test_a_purge_goes_through_the_verbs_and_only_a_clean_receipt_earns(make):
    store = make(12)
    request = expunge.Request("someone", expunge.Records("r3", "r5"))
    before = store.digest()
    outcome = unlearn(store, request, "purge", store)
    certificate = certify(request, outcome)
    assert (certificate.earned, certificate.target.before, certificate.target.after) == (
        Purged("kb"),
        before,
        store.digest(),
    )
    assert [r.path for r in certificate.residue] == []
    assert "r3" not in store.ids() and outcome.selection.forget.ids == ("r3", "r5")
    (receipt,) = outcome.receipts
    for worse in (
        Receipt("kb", "RESIDUE", 1, control=2, records=2),
        Receipt("kb", "BLIND", control=2, records=2),
        Receipt("kb", "CLEAN", control=1, records=2),
        Receipt("kb", "CLEAN"),
    ):
        spoilt = expunge.core.outcome.Outcome(**{**vars(outcome), "receipts": (worse,)})
        assert isinstance(certify(request, spoilt).earned, Unproven)
    store.add([record(40)], vector(40)[None])
    assert isinstance(certify(request, outcome).earned, Unproven), "the store moved on since it was scanned"
    assert receipt.status == "CLEAN"


def test_a_model_is_not_purged_and_a_datastore_is_not_trained(make):
    with pytest.raises(ClaimError, match="purge works on datastore"):
        purge.unlearn(SimpleNamespace(kind="causal_lm"), Selection(Examples([record(1)])), seed=0)
    store = make(3)
    with pytest.raises(ClaimError, match="this target is a datastore"):
        unlearn(store, expunge.Request("x", expunge.Records("r1")), "statistics", store)
    assert len(store) == 3


def test_a_folder_of_a_datastore_is_adopted(make):
    store = make(3)
    digest = store.digest()
    store.close()
    with expunge.adopt(store.path) as again:
        assert again.digest() == digest and again.search(vector(1), 1)[0].record_id == "r1"


def test_files_are_private_and_nothing_half_written_stays(make):
    store = make(3)
    assert os.stat(store.path).st_mode & 0o077 == 0
    (store.path / f".vectors-9.faiss.part-{'x' * 8}").write_bytes(vector(1).tobytes())
    fill(store, 2, start=10)
    assert store.erase(["r1"]).status == "CLEAN"
    assert not [p for p in store.path.iterdir() if ".part-" in p.name]
    shutil.copy(store.path / DATA, store.path / "backup.sqlite")
    copied = store.erase(["r2"])
    assert copied.status == "RESIDUE" and copied.where[0].startswith("backup.sqlite: ")
    with pytest.raises(StoreError, match="a purge is unfinished"):
        fill(store, 1, start=30)
    (store.path / "backup.sqlite").rename(store.path / "backup.json")
    assert store.erase(["r2"]).where[0].startswith("backup.json: "), "only our own files explain a word"
    (store.path / "backup.json").unlink()
    assert store.erase(["r2"]).status == "CLEAN"
    (store.path / "export.json").write_text(record(30).answer)
    assert store.erase(["r10"]).status == "CLEAN"
    (store.path / "export.json").write_text(record(11).answer)
    assert store.erase(["r11"]).where[0].startswith("export.json: ")


def test_giving_up_on_residue_hands_out_that_it_is_residue(make):
    store = make(3)
    shutil.copy(store.path / DATA, store.path / "backup.sqlite")
    assert store.erase(["r2"]).status == "RESIDUE"
    assert store.resume(final=True).status == "RESIDUE" == store.erase(["r2"]).status
    fill(store, 1, start=30)


@pytest.mark.parametrize("missing", ["apsw", "faiss"])
def test_a_missing_extra_is_told(make, monkeypatch, missing):
    store = make(2)
    store.close()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r"expunge\[stores\]"), Datastore(store.path) as again:
        again.search(vector(1))


def test_a_closed_datastore_says_so(make, tmp_path):
    store = make(8)
    store.close()
    store.close()
    for work in (
        store.ids,
        store.digest,
        store.reindex,
        lambda: len(store),
        lambda: store.get(["r1"]),
        lambda: store.search("house"),
        lambda: store.search(vector(1)),
        lambda: store.add([record(9)], vector(9)[None]),
        lambda: store.erase(["r1"]),
        lambda: store.save(tmp_path / "copy"),
    ):
        with pytest.raises(StoreError, match="is closed"):
            work()
    assert not (tmp_path / "copy").exists()
    with Datastore(store.path) as again:
        assert len(again) == 8
