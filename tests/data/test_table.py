"""A table gives back what it was given, keeps the promises of a store, and says how its columns were made."""

import gzip
import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import StoreError
from expunge.core.example import records_digest
from expunge.core.protocols import Store
from expunge.core.request import Records
from expunge.data.row_store import SHARD
from expunge.data.table import Encoding, Table, open_table
from expunge.scoping.resolve import resolve


def table(n=6, d=3, seed=0, **more) -> Table:
    draw = np.random.default_rng(seed)
    return Table([f"r{i}" for i in range(n)], draw.normal(size=(n, d)), draw.integers(0, 3, n), **more)


@given(st.integers(1, 12), st.data())
def test_rows_come_as_asked_and_the_rest_in_order(n, data):
    whole = table(n)
    asked = data.draw(st.lists(st.sampled_from(whole.ids()), unique=True))
    some, rest = whole.rows(asked), whole.without(asked)
    at = [int(name[1:]) for name in asked]
    assert some.ids() == tuple(asked) and np.array_equal(some.X, whole.X[at]) and np.array_equal(some.y, whole.y[at])
    assert rest.ids() == tuple(name for name in whole.ids() if name not in asked)
    assert rest.digest() == records_digest(e for e in whole.all() if e.record_id not in asked)
    assert whole.rows(whole.ids()[::-1]).digest() == whole.digest()


def test_it_is_a_store_that_scopes_resolve_against():
    whole = table(subjects=[f"p{i // 2}" for i in range(6)], groups=["a"] * 6)
    assert isinstance(whole, Store)
    assert [e for shard in whole.shards() for e in shard] == list(whole.all()) == list(whole.get(whole.ids()))
    assert whole.digest() == records_digest(whole.all())
    selection = resolve(Records("r1", "r4"), whole)
    assert selection.forget.ids == ("r1", "r4") and selection.retain.ids == ("r0", "r2", "r3", "r5")
    assert selection.forget[1].subject == "p2" and selection.forget[1].subgroup == "a"
    assert selection.retain.digest() == whole.without(["r1", "r4"]).digest()


@pytest.mark.parametrize("labels", [None, "one", "two", "words"])
def test_an_example_is_its_own_row_s_alone_however_many_are_made_at_a_time(labels):
    n = SHARD + 3
    draw = np.random.default_rng(1)
    y = {"one": draw.integers(0, 9, n), "two": draw.normal(size=(n, 2)), "words": draw.choice(["a", "bc"], n)}.get(
        labels
    )
    whole = Table([f"r{i}" for i in range(n)], draw.normal(size=(n, 2)), y, subjects=[f"p{i}" for i in range(n)])
    asked = [whole.ids()[i] for i in draw.permutation(n)]
    told = [f"{e.record_id} {e.answer} {e.subject} {e.question}" for e in whole.get(asked)]
    at = [int(name[1:]) for name in asked]
    answers = [",".join(map(str, [] if y is None else np.atleast_1d(y[i]).tolist())) for i in at]
    rows = [hashlib.sha256(f"r{i}\0".encode() + whole.X[i].astype("<f8").tobytes()).hexdigest() for i in at]
    assert told == [f"r{i} {answer} p{i} {row}" for i, answer, row in zip(at, answers, rows, strict=True)]


def test_equal_rows_of_two_people_are_two_records():
    twins = Table(["a", "b"], [[1.0], [1.0]], [2, 2])
    assert twins.get(["a"])[0].question != twins.get(["b"])[0].question
    assert resolve(Records("a"), twins).retain.ids == ("b",)


def test_every_number_and_label_is_in_the_digest_and_their_type_is_not():
    base = Table(["a", "b"], [[1, 2], [3, 4]], [0, 1])
    assert base.digest() == Table(["a", "b"], np.array([[1, 2], [3, 4]], np.uint8), [0, 1]).digest()
    assert base.digest() == Table(["a", "b"], [[1.0, 2.0], [3.0, 4.0]], [0, 1]).digest()
    zero, negative = Table(["a"], [[0.0]]), Table(["a"], [[-0.0]])
    assert zero.digest() == negative.digest()
    others = [
        Table(["a", "b"], [[1, 2], [3, 4 + 1e-15 * 4]], [0, 1]),
        Table(["a", "b"], [[1, 2], [3, 4]], [0, 2]),
        Table(["a", "c"], [[1, 2], [3, 4]], [0, 1]),
        Table(["a", "b"], [[1, 2], [3, 4]], [[0, 1], [1, 1]]),
        Table(["a", "b"], [[1, 2], [3, 4]]),
    ]
    assert len({base.digest(), *(one.digest() for one in others)}) == 6


def test_erasing_drops_rows_and_nothing_else():
    whole = table()
    rest = whole.without(["r2"])
    receipt = whole.erase(["r2", "r2"])
    assert receipt.status == "BLIND" and whole.digest() == rest.digest() and whole.ids() == rest.ids()
    with pytest.raises(StoreError, match=r"a record id is not in the data.*r2"):
        whole.erase(["r0", "r2"])
    assert whole.ids() == rest.ids()


def test_nobody_writes_to_its_arrays_through_it():
    whole = table()
    for array in (whole.X, whole.y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Table(["a", "a"], [[1], [2]]), "two rows share the id 'a'"),
        (lambda: Table(["a"], [[1], [2]]), "1 ids, but X has 2 rows"),
        (lambda: Table(["a"], [[1]], [1, 2]), "y has 2 rows"),
        (lambda: Table(["a"], [[float("nan")]]), "missing or infinite value in row 1"),
        (lambda: Table(["a"], [["x"]]), "no numbers"),
        (lambda: Table(["a"], [1.0]), "1 dimensions"),
        (lambda: Table(["a"], [[2**60]]), "above 2"),
        (lambda: table().rows(["r0", "x"]), "a record id is not in the data.*x"),
        (lambda: table().without(["x", "y"]), "2 record ids are not in the data"),
    ],
)
def test_what_is_no_table_is_refused(make, message):
    with pytest.raises(StoreError, match=message):
        make()


LINES = "who,age,town,kind\nann,31,Oslo,x\nbo,27.5,Lima,y\ncy,40,Oslo,x\n"


def test_texts_become_columns_of_zeros_and_ones_and_it_says_which_were_fitted(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text(LINES)
    found = open_table(path, label="kind", id="who", subject="who")
    assert found.ids() == ("ann", "bo", "cy") == found.subjects
    np.testing.assert_array_equal(found.X, [[31, 0, 1], [27.5, 1, 0], [40, 0, 1]])
    assert found.y.tolist() == [0, 1, 0]
    assert found.encoding == Encoding(
        ("age", "town=Lima", "town=Oslo"), {"town": ("Lima", "Oslo")}, ("x", "y"), ("town", "kind")
    )
    fixed = {"town": ["Oslo", "Rome", "Lima"], "kind": ["y", "x"]}
    given_before = open_table(path, label="kind", id="who", categories=fixed)
    np.testing.assert_array_equal(given_before.X[:, 1:], [[1, 0, 0], [0, 0, 1], [1, 0, 0]])
    assert given_before.y.tolist() == [1, 0, 1] and given_before.encoding.fitted == ()


def test_forms_hold_the_same_table(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "t.csv").write_text(LINES)
    (tmp_path / "t.tsv").write_text(LINES.replace(",", "\t"))
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(LINES.encode()))
    columns = {"who": ["ann", "bo", "cy"], "age": [31, 27.5, 40], "town": ["Oslo", "Lima", "Oslo"]}
    pq.write_table(pa.table({**columns, "kind": ["x", "y", "x"]}), tmp_path / "t.parquet")
    names = ("t.csv", "t.tsv", "t.csv.gz", "t.parquet")
    assert len({open_table(tmp_path / name, label="kind").digest() for name in names}) == 1
    assert open_table(tmp_path / "t.csv", skip=["who", "town", "kind"]).ids() == ("t-00000", "t-00001", "t-00002")


def test_labels_may_be_numbers_or_several(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,c\n1,2.5,3\n4,5,6\n")
    assert open_table(tmp_path / "t.csv", label="c").y.dtype == np.int64
    both = open_table(tmp_path / "t.csv", label=["b", "c"])
    assert both.y.tolist() == [[2.5, 3.0], [5.0, 6.0]] and both.X.tolist() == [[1.0], [4.0]]
    with pytest.raises(StoreError, match="a label of several columns must be of numbers"):
        open_table(tmp_path / "t.csv", label=["b", "c"], categories={"c": ["3", "6"]})


def test_arrays_are_read_by_part(tmp_path):
    x = np.arange(24).reshape(3, 2, 4)
    np.savez(tmp_path / "t.npz", x_train=x, y_train=[0, 1, 2], x_test=x[:1], y_test=[1], ids_test=["q"])
    train, test = (open_table(tmp_path / "t.npz", part=part) for part in ("train", "test"))
    assert train.X.tolist() == x.reshape(3, 8).tolist() and train.ids()[2] == "t-train-00002"
    assert test.ids() == ("q",) and test.y.tolist() == [1]
    np.savez(tmp_path / "odd.npz", x=x, y=[1, 2])
    np.savez(tmp_path / "none.npz", x=np.zeros(()))
    for name, message in (
        ("t", "holds no array x"),
        ("odd", "x and y of .* differ in length"),
        ("none", "differ in length"),
    ):
        with pytest.raises(StoreError, match=message):
            open_table(tmp_path / f"{name}.npz")


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("a,b\n1,2\n3\n", {}, "row 2 of .* does not fit its header. it has 1 values for 2 columns"),
        ("a,a\n1,2\n", {}, "no header of distinct names"),
        ("", {}, "no header"),
        ("a,b\n1,x\n", {"categories": {"b": ["y"]}}, "column 'b' holds 'x', which is not among its categories"),
        ("a,b\n1,2\n", {"label": "c"}, "has no column 'c'.*its columns are a, b"),
        ("a,b\n1,nan\n", {}, "missing or infinite"),
        ("a\n" + "".join(f"n{i}\n" for i in range(300)), {}, "300 different texts.*skip"),
        ('a\n"x\n', {}, "damaged"),
        ("a\n1\n", {"part": "train"}, "only npz files have parts"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(tmp_path, text, more, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(StoreError, match=message):
        open_table(tmp_path / "t.csv", **more)


@pytest.mark.parametrize("name", ["t.txt", "gone.csv", "t.npz", "one.npz", "t.parquet"])
def test_what_is_no_table_file_is_refused(tmp_path, name):
    np.save(tmp_path / "one.npz.npy", np.zeros(3))
    (tmp_path / "one.npz.npy").rename(tmp_path / "one.npz")
    for there in ("t.txt", "t.npz", "t.parquet"):
        (tmp_path / there).write_bytes(b"PK\x03\x04 not what it says")
    with pytest.raises(StoreError):
        open_table(tmp_path / name)


def test_adult_and_mnist_open_whole(shared):
    adult = open_table(shared / "data" / "adult" / "adult.csv", label="income-per-year")
    assert adult.X.shape == (32561, 108) and adult.encoding.classes == ("<=50K", ">50K")
    assert adult.encoding.columns[0] == "age" and int(adult.y.sum()) == 7841
    mnist = open_table(shared / "data" / "mnist" / "mnist.npz", part="test")
    assert mnist.X.shape == (10000, 784) and mnist.X.dtype == np.uint8 and mnist.y[:3].tolist() == [7, 2, 1]


def test_what_the_caller_does_with_his_arrays_later_changes_no_table():
    X, y = np.arange(6.0).reshape(3, 2), np.array(["a", "b", "a"])
    whole = Table(["a", "b", "c"], X, y)
    before = Table(["a", "b", "c"], X.copy(), y.copy()).digest()
    X[0, 0], y[0] = 99.0, "z"
    assert whole.X[0, 0] == 0.0 and whole.y[0] == "a" and whole.digest() == before


@pytest.mark.parametrize("label", ["", "b"])
def test_an_integer_that_a_double_would_round_is_refused_but_may_be_an_id(tmp_path, label):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1.5,9007199254740993\n2,9007199254740992\n")
    with pytest.raises(StoreError, match=r"above 2\*\*53"):
        open_table(path, label=label)
    assert open_table(path, id="b").ids() == ("9007199254740993", "9007199254740992")
    path.write_text("a,b\n1.5,9007199254740993\n2,0.5\n")
    with pytest.raises(StoreError, match=r"'b' has an integer above 2\*\*53 in row 1"):
        open_table(path, label=label)


@pytest.mark.parametrize("slip", ["N/A", "", "?", "1_000"])
def test_a_slip_among_numbers_makes_no_categories_of_them(tmp_path, slip):
    path = tmp_path / "t.csv"
    path.write_text(f"a,b\n1,2\n2,{slip}\n3,4\n")
    with pytest.raises(StoreError, match=r"'b' has .* in row 2, and numbers in most others"):
        open_table(path)
    assert open_table(path, categories={"b": ["2", slip, "4"]}).X.shape == (3, 4)
