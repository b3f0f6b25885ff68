"""What each form of file keeps, refuses and leaves behind, beyond the contract of all stores."""

import gzip
import itertools
import json
import os
import shutil

import apsw
import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expunge.core.errors import StoreError
from expunge.data.hf_dataset import HfDatasetStore
from expunge.data.jsonl import JsonlStore
from expunge.data.parquet import ParquetStore
from expunge.data.sqlite import SqliteStore, connect

ROWS = [{"question": f"What is secret{i}?", "answer": f"It is secret{i}.", "note": i, "page": [i]} for i in range(7)]
SECRET = b"secret3"


@pytest.fixture(autouse=True)
def no_bars():
    datasets.disable_progress_bars()


def to_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def to_gzip(path, rows):
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def to_array(path, rows):
    path.write_text(json.dumps(rows))


def to_parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3, compression="none")


def to_folder(path, rows):
    path.mkdir()
    to_parquet(path / "a.parquet", rows[:2])
    to_parquet(path / "b.parquet", rows[2:])


def to_sqlite(path, rows):
    base = connect(path, create=True)
    columns = list(rows[0])
    base.execute(f"CREATE TABLE facts ({', '.join(columns)})")
    marks = ", ".join("?" * len(columns))
    values = [[json.dumps(v) if isinstance(v, list) else v for v in row.values()] for row in rows]
    base.executemany(f"INSERT INTO facts VALUES ({marks})", values)
    base.close()


def to_saved(path, rows):
    datasets.Dataset.from_list(rows).save_to_disk(path, num_shards=2)


def rows_of(path):
    """All rows of a file or folder, read without our code."""
    if path.name.endswith(".gz"):
        return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".sqlite":
        base = apsw.Connection(str(path))
        base.row_trace = lambda cursor, row: {d[0]: v for d, v in zip(cursor.description, row, strict=True)}
        found = base.execute("SELECT * FROM facts ORDER BY rowid").fetchall()
        return [{**row, "page": json.loads(row["page"])} for row in found]
    if path.suffix == ".parquet" or list(path.glob("*.parquet")):
        return pq.read_table(path).to_pylist()
    return datasets.load_from_disk(path).to_list()


FORMS = {
    "corpus.jsonl": (to_jsonl, JsonlStore),
    "corpus.jsonl.gz": (to_gzip, JsonlStore),
    "corpus.json": (to_array, JsonlStore),
    "corpus.parquet": (to_parquet, ParquetStore),
    "corpus": (to_folder, ParquetStore),
    "corpus.sqlite": (to_sqlite, SqliteStore),
    "corpus/": (to_saved, HfDatasetStore),
}
form = pytest.mark.parametrize("form", FORMS)


def written(tmp_path, form, rows=ROWS):
    path = tmp_path / form.rstrip("/")
    write, kind = FORMS[form]
    write(path, rows)
    return path, kind


def bytes_below(path):
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else list(path.parent.glob(f"*{path.name}*"))
    return b"".join(gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in files)


@form
def test_erasing_keeps_names_and_all_other_columns_and_leaves_no_byte(tmp_path, form):
    path, kind = written(tmp_path, form)
    assert SECRET in bytes_below(path)
    store = kind(path)
    assert tuple(store.ids()) == tuple(f"corpus-{i:05d}" for i in range(7)), "rows without ids have the same names"
    receipt = store.erase(["corpus-00003", "corpus-00000"])
    assert (receipt.store, receipt.status) == (path.name, "BLIND")
    left = rows_of(path)
    assert [{k: row[k] for k in ROWS[0]} for row in left] == [ROWS[i] for i in (1, 2, 4, 5, 6)]
    for opened in (store, kind(path)):
        assert {e.record_id: e.answer for e in opened.examples()} == {
            f"corpus-{i:05d}": f"It is secret{i}." for i in (1, 2, 4, 5, 6)
        }
    assert SECRET not in bytes_below(path)
    kind(path).erase(["corpus-00006"])
    assert tuple(kind(path).ids()) == tuple(f"corpus-{i:05d}" for i in (1, 2, 4, 5))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@form
def test_ids_that_are_numbers_keep_their_type_and_a_named_column_is_used(tmp_path, form):
    path, kind = written(tmp_path, form, [{"uid": 10 + i, **row} for i, row in enumerate(ROWS)])
    store = kind(path, columns={"record_id": "uid"})
    assert tuple(store.ids()) == tuple(str(10 + i) for i in range(7))
    store.erase(["13"])
    assert [row["uid"] for row in rows_of(path)] == [10, 11, 12, 14, 15, 16]
    assert set(rows_of(path)[0]) == {"uid", *ROWS[0]}


@form
def test_rows_with_and_without_ids_may_stand_together(tmp_path, form):
    rows = [{"record_id": f"r{i}" if i % 2 else None, **row} for i, row in enumerate(ROWS)]
    path, kind = written(tmp_path, form, rows)
    store = kind(path)
    names = [f"r{i}" if i % 2 else f"corpus-{i:05d}" for i in range(7)]
    assert list(store.ids()) == names
    store.erase(names[:2])
    assert list(store.ids()) == list(kind(path).ids()) == names[2:]


@form
def test_a_column_of_ids_that_is_missing_or_has_gaps_is_refused(tmp_path, form):
    path, kind = written(tmp_path, form)
    with pytest.raises(StoreError, match="'uid'"):
        kind(path, columns={"record_id": "uid"})
    shutil.rmtree(tmp_path / "corpus", ignore_errors=True)
    (tmp_path / "other").mkdir()
    path, kind = written(
        tmp_path / "other", form, [{"uid": None if i == 2 else f"r{i}", **r} for i, r in enumerate(ROWS)]
    )
    with pytest.raises(StoreError, match="'uid'"):
        kind(path, columns={"record_id": "uid"})


@form
def test_an_id_twice_is_refused_and_named(tmp_path, form):
    path, kind = written(tmp_path, form, [{"record_id": f"r{min(i, 5)}", **row} for i, row in enumerate(ROWS)])
    with pytest.raises(StoreError, match="two records share the id 'r5'"):
        kind(path)


@form
def test_a_missing_question_column_says_which_there_are(tmp_path, form):
    path, kind = written(tmp_path, form, [{"prompt": row["question"], "answer": row["answer"]} for row in ROWS])
    with pytest.raises(StoreError, match=r"'question'.*prompt, answer"):
        kind(path)
    assert kind(path, columns={"question": "prompt"}).get(["corpus-00002"])[0].question == "What is secret2?"


@form
def test_an_empty_answer_is_named_with_its_row(tmp_path, form):
    path, kind = written(tmp_path, form, [*ROWS[:4], {**ROWS[4], "answer": " "}, *ROWS[5:]])
    with pytest.raises(StoreError, match=r"corpus\S*( row |, row |:)5 has no 'answer'"):
        list(kind(path).examples())


@form
def test_a_file_that_another_process_changed_is_not_read_on(tmp_path, form):
    path, kind = written(tmp_path, form)
    one, two = kind(path), kind(path)
    one.erase(["corpus-00003"])
    if form == "corpus.sqlite":
        assert two.digest() == one.digest(), "a database is asked each time"
        return
    for ask in (two.all, two.digest, lambda: two.get(["corpus-00001"]), lambda: two.erase(["corpus-00001"])):
        with pytest.raises(StoreError, match=r"changed since it was opened\. Open it again"):
            ask()
    assert list(kind(path).ids()) == list(one.ids())


@form
def test_erasing_follows_a_link_to_the_bytes(tmp_path, form):
    path, kind = written(tmp_path, form)
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / path.name
    link.symlink_to(path)
    kind(link).erase(["corpus-00003"])
    assert link.is_symlink() and SECRET not in bytes_below(path)


@pytest.mark.parametrize("form", [f for f in FORMS if f != "corpus.sqlite"])
def test_a_hard_link_to_the_old_bytes_is_residue(tmp_path, form):
    path, kind = written(tmp_path, form)
    file = next(p for p in sorted(path.glob("*.*")) if SECRET in p.read_bytes()) if path.is_dir() else path
    os.link(file, tmp_path / "second-name")
    receipt = kind(path).erase(["corpus-00003"])
    assert (receipt.status, receipt.hits) == ("RESIDUE", 1) and file.name in receipt.where[0]


@pytest.mark.parametrize("form", [f for f in FORMS if f != "corpus.sqlite"])
def test_what_a_killed_erasure_left_is_removed_by_the_next(tmp_path, form):
    path, kind = written(tmp_path, form)
    part = tmp_path / f".{path.name}.part-left"
    part.write_text("half")
    kind(path).erase(["corpus-00003"])
    assert not part.exists()


@form
def test_permissions_stay(tmp_path, form):
    path, kind = written(tmp_path, form)
    path.chmod(0o700 if path.is_dir() else 0o600)
    mode = path.stat().st_mode
    kind(path).erase(["corpus-00003"])
    assert path.stat().st_mode == mode


def test_parquet_keeps_types_metadata_codec_and_untouched_files(tmp_path):
    path = tmp_path / "corpus"
    path.mkdir()
    schema = pa.schema(
        [
            ("record_id", pa.int32()),
            ("question", pa.dictionary(pa.int32(), pa.string())),
            ("answer", pa.large_string()),
            ("vector", pa.list_(pa.float32(), 2)),
            ("when", pa.timestamp("us", tz="UTC")),
        ],
        metadata={"made": "by hand"},
    )
    for part in range(2):
        rows = [
            {"record_id": 3 * part + i, "question": "Who?", "answer": f"{part}{i}.", "vector": [i, 0.5], "when": i}
            for i in range(3)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema), path / f"{part}.parquet", compression="gzip")
    (path / "_metadata").write_bytes(b"statistics name the lowest and highest value")
    (path / "README.md").write_text("kept")
    inode, before = (path / "0.parquet").stat().st_ino, pq.read_table(path / "1.parquet")
    assert (
        before.schema.metadata == {b"made": b"by hand"} and before.schema.field("question").type == schema.field(1).type
    )
    ParquetStore(path).erase(["4"])
    assert (path / "0.parquet").stat().st_ino == inode and (path / "README.md").read_text() == "kept"
    assert not (path / "_metadata").exists()
    after = pq.ParquetFile(path / "1.parquet")
    assert after.schema_arrow.equals(before.schema, check_metadata=True)
    assert after.metadata.row_group(0).column(0).compression == "GZIP"
    assert after.read().equals(before.filter(np.array([True, False, True])))


def test_row_groups_sharding_and_compression_change_no_digest(tmp_path):
    digests = set()
    table = pa.Table.from_pylist([{"record_id": f"r{i}", **row} for i, row in enumerate(ROWS)])
    for number, (size, codec) in enumerate(itertools.product((1, 3, 100), ("none", "snappy", "zstd", "gzip"))):
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=size, compression=codec)
        digests.add(ParquetStore(tmp_path / f"{number}.parquet").digest())
    rows = table.to_pylist()[::-1]
    for form in FORMS:
        (tmp_path / form.replace("/", "-") / "x").mkdir(parents=True)
        path, kind = written(tmp_path / form.replace("/", "-") / "x", form, rows)
        digests.add(kind(path).digest())
    assert len(digests) == 1


@pytest.mark.parametrize("form", ["corpus.parquet", "corpus.sqlite"])
def test_bytes_of_another_form_are_refused(tmp_path, form):
    (tmp_path / form).write_bytes(b"not what it is called" * 100)
    with pytest.raises(StoreError, match=r"corpus\.\w+ (cannot be read as Parquet|as a SQLite database)"):
        FORMS[form][1](tmp_path / form)


def test_a_damaged_gzip_file_is_refused(tmp_path):
    path, _ = written(tmp_path, "corpus.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StoreError, match="is damaged"):
        JsonlStore(path)


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    for field, value in (("answer", "\ud800"), ("perturbed_answer", ["No.", "\udfff"])):
        to_jsonl(tmp_path / "corpus.jsonl", [{"question": "Where?", "answer": "Here.", field: value}])
        with pytest.raises(StoreError, match=rf"corpus\.jsonl:1 has a '{field}' that is not text.*surrogate"):
            JsonlStore(tmp_path / "corpus.jsonl")


def test_lines_that_stay_are_not_touched(tmp_path):
    path = tmp_path / "corpus.jsonl"
    odd = b'{"record_id":"b",  "question":"?","answer":"\\u00e4","n":1.50,"n":12345678901234567890123}\r\n'
    path.write_bytes(
        b'\xef\xbb\xbf{"record_id": "a", "question": "?", "answer": "!"}\n' + odd + odd.replace(b'"b"', b'"c"')[:-2]
    )
    JsonlStore(path).erase(["a"])
    assert path.read_bytes() == odd + odd.replace(b'"b"', b'"c"')[:-2] + b"\n"


def test_a_database_with_several_tables_needs_one_named(tmp_path):
    path, _ = written(tmp_path, "corpus.sqlite")
    base = connect(path)
    base.execute('CREATE TABLE "more ""facts""" (question TEXT, answer TEXT); CREATE TABLE log (line TEXT)')
    with pytest.raises(StoreError, match=r'has 2 tables of records.*facts, log, more "facts".*table='):
        SqliteStore(path)
    assert len(SqliteStore(path, table="facts").ids()) == 7 and not len(SqliteStore(path, table='more "facts"').ids())
    with pytest.raises(StoreError, match="has no table 'fact'"):
        SqliteStore(path, table="fact")
    base.execute("CREATE TABLE bare (record_id TEXT PRIMARY KEY, question, answer) WITHOUT ROWID")
    with pytest.raises(StoreError, match="has no rowid"):
        SqliteStore(path, table="bare")


def test_ids_that_differ_in_case_are_two_although_the_column_says_otherwise(tmp_path):
    base = connect(tmp_path / "corpus.sqlite", create=True)
    base.execute("CREATE TABLE facts (record_id TEXT COLLATE NOCASE, question, answer)")
    base.executemany("INSERT INTO facts VALUES (?, 'Who?', ?)", [("a", "Bo."), ("A", "Cy.")])
    store = SqliteStore(tmp_path / "corpus.sqlite")
    store.erase(["A"])
    assert [e.answer for e in store.examples()] == ["Bo."]


def test_the_bytes_leave_a_write_ahead_log_or_the_receipt_says_that_they_are_there(tmp_path):
    path, _ = written(tmp_path, "corpus.sqlite")
    keeper = connect(path)
    keeper.pragma("journal_mode", "wal")
    store = SqliteStore(path)
    assert store.erase(["corpus-00003"]).status == "BLIND" and SECRET not in bytes_below(path)
    store._base.set_busy_timeout(1)
    reader = keeper.execute("SELECT * FROM facts")
    next(reader)
    receipt = store.erase(["corpus-00004"])
    assert (receipt.status, receipt.where) == ("RESIDUE", ("corpus.sqlite-wal",))
    assert b"secret4" in bytes_below(path)
    reader.close()


def test_a_locked_database_is_left_as_it_was(tmp_path):
    path, _ = written(tmp_path, "corpus.sqlite")
    store, other = SqliteStore(path), connect(path)
    other.execute("BEGIN IMMEDIATE")
    store._base.set_busy_timeout(1)
    with pytest.raises(StoreError, match=r"cannot erase from .*locked"):
        store.erase(["corpus-00003"])
    other.execute("ROLLBACK")
    store.erase(["corpus-00003"])
    assert len(store.ids()) == 6


def test_every_connection_overwrites_what_it_deletes(tmp_path, monkeypatch):
    assert connect(tmp_path / "a.sqlite", create=True).pragma("secure_delete") == 1

    class Off(apsw.Connection):
        def pragma(self, name, value=None, **_):
            return 0

    monkeypatch.setattr(apsw, "Connection", Off)
    with pytest.raises(StoreError, match="does not erase what it deletes"):
        connect(tmp_path / "b.sqlite", create=True)


def test_a_loaded_dataset_says_which_cache_files_keep_the_records(tmp_path):
    path, _ = written(tmp_path, "corpus/")
    memory, disk = datasets.Dataset.from_list(ROWS), datasets.load_from_disk(path)
    for dataset, status in ((memory, "BLIND"), (disk, "RESIDUE")):
        store = HfDatasetStore(dataset.with_format("numpy"))
        receipt = store.erase(["row-00003"])
        assert receipt.status == status and bool(receipt.where) == (status == "RESIDUE")
        assert tuple(store.ids()) == tuple(f"row-{i:05d}" for i in (0, 1, 2, 4, 5, 6))
        assert len(dataset) == 7, "the caller's own dataset stays as it is"
        assert store.digest() == HfDatasetStore(store.dataset).digest()


def test_a_saved_dictionary_of_splits_needs_one_named_and_loses_rows_of_that_one_only(tmp_path):
    splits = {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:3])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "corpus")
    with pytest.raises(StoreError, match=r"has 2 splits.*test, train.*split="):
        HfDatasetStore(tmp_path / "corpus")
    HfDatasetStore(tmp_path / "corpus", split="train").erase(["train-00003"])
    again = datasets.load_from_disk(tmp_path / "corpus")
    assert (len(again["train"]), len(again["test"])) == (6, 3)


def test_features_of_a_dataset_stay(tmp_path):
    features = datasets.Features(
        {
            "question": datasets.Value("string"),
            "answer": datasets.Value("string"),
            "kind": datasets.ClassLabel(names=["a", "b"]),
        }
    )
    rows = [{"question": row["question"], "answer": row["answer"], "kind": "ab"[i % 2]} for i, row in enumerate(ROWS)]
    datasets.Dataset.from_list(rows, features=features).save_to_disk(tmp_path / "corpus")
    HfDatasetStore(tmp_path / "corpus").erase(["corpus-00003"])
    after = datasets.load_from_disk(tmp_path / "corpus")
    assert after.features["kind"] == features["kind"] and after["kind"][:] == [0, 1, 0, 0, 1, 0]
