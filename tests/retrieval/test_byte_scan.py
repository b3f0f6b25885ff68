"""A byte scan finds what lies in a file in any spelling and any place, and says where it cannot see."""

import bz2
import gzip
import io
import json
import lzma
import os
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import StoreError
from expunge.retrieval import byte_scan
from expunge.retrieval.byte_scan import CHUNK, PIECE, Marker, Searcher, markers_of, pieces, scan
from expunge.retrieval.inflating import Inflated

TEXT = 'Zoë "Zo" Kowalczyk & söhne <zoe@example.org> lived in Łódź until 1987'
VECTOR = np.random.default_rng(0).normal(size=64)
WRITERS = {
    "utf-8": lambda t: t.encode(),
    "json": lambda t: json.dumps([t]).encode(),
    "json, not ascii": lambda t: json.dumps([t], ensure_ascii=False).encode(),
    "utf-16": lambda t: t.encode("utf-16-le"),
    "utf-16, big end first": lambda t: t.encode("utf-16-be"),
    "html": lambda t: __import__("html").escape(t).encode(),
}


def found(folder, markers):
    return scan([folder], markers)


def labels(result):
    return {m.label for m in result.seen}


@pytest.mark.parametrize("spelling", WRITERS)
def test_a_text_is_found_in_every_spelling(tmp_path, spelling):
    data = WRITERS[spelling](TEXT)
    (tmp_path / "file").write_bytes(b"before" + data + b"after")
    result = found(tmp_path, markers_of([TEXT, "another text that is nowhere"]))
    assert labels(result) == {"text 0"} and list(result.hits) == ["file"]
    written = data[2:-2] if spelling.startswith("json") else data
    assert {m.data for m in result.seen} >= set(pieces(written))


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_a_vector_is_found_in_both_widths_and_a_part_of_it_too(tmp_path, dtype):
    data = VECTOR.astype(dtype).tobytes()
    (tmp_path / "part").write_bytes(b"x" + data[PIECE : 2 * PIECE])
    result = found(tmp_path, markers_of([], [VECTOR, -VECTOR]))
    assert labels(result) == {"vector 0"} and result.hits == {"part": 1}


def naive(data, strings):
    return sum(data.startswith(s, i) for s in set(strings) for i in range(len(data)) if s)


@given(st.binary(max_size=80), st.lists(st.binary(min_size=1, max_size=20), max_size=4), st.data(), st.integers(1, 30))
def test_counts_are_those_of_a_naive_search_wherever_chunks_end(noise, strings, draw, chunk):
    planted = draw.draw(st.lists(st.sampled_from(strings), max_size=3)) if strings else []
    data = b"".join([noise, *planted, noise[::-1], *planted])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(byte_scan, "CHUNK", chunk)
        counts, read = Searcher(strings).count(io.BytesIO(data))
    assert counts.total() == naive(data, strings) and read == len(data)


def test_a_marker_across_the_border_of_two_chunks_is_found(tmp_path):
    marker = Marker("m", bytes(range(40, 40 + PIECE)))
    for shift in (-PIECE, -PIECE + 1, -8, -1, 0):
        (tmp_path / f"at{shift}").write_bytes(bytes(CHUNK + shift) + marker.data + bytes(100))
    assert found(tmp_path, [marker]).hits == {f"at{shift}": 1 for shift in (-PIECE, -PIECE + 1, -8, -1, 0)}


def zipped(data):
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/member.txt", data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, lzma.compress, zipped, lambda d: zipped(gzip.compress(d))]
)
def test_archives_are_opened_and_archives_in_them(tmp_path, pack):
    body = pack(os.urandom(200) + TEXT.encode() + os.urandom(2000))
    (tmp_path / "named.txt").write_bytes(body)
    markers = markers_of([TEXT])
    result = found(tmp_path, markers)
    assert labels(result) == {"text 0"} and not result.blind
    (tmp_path / "named.txt").write_bytes(body[: len(body) // 2])
    assert list(found(tmp_path, markers).blind) == ["named.txt"]


@pytest.mark.parametrize(("level", "head"), [(0, b"x\x01"), (1, b"x\x01"), (3, b"x^"), (6, b"x\x9c"), (9, b"x\xda")])
def test_zlib_streams_are_decoded_whatever_their_head(tmp_path, level, head):
    body = zlib.compress(os.urandom(200) + TEXT.encode() * 3 + os.urandom(200_000), level)
    assert body.startswith(head) and (level == 0 or TEXT.encode() * 3 not in body)
    markers = markers_of([TEXT])
    several = zlib.compress(b"") + zlib.compress(b"nothing") + body
    archived = zlib.compress(zipped(body))
    for data in (body, several, archived, gzip.compress(body)):
        (tmp_path / "named.bin").write_bytes(data)
        result = found(tmp_path, markers)
        assert labels(result) == {"text 0"} and not result.blind
    for damaged in (body[: len(body) // 2], body[:-1], body[:-4] + b"0000", body + b"more"):
        (tmp_path / "named.bin").write_bytes(damaged)
        assert list(found(tmp_path, markers).blind) == ["named.bin"]


@pytest.mark.parametrize(
    "data",
    [
        b"x^2 + 3x = 4",
        b"x^2",
        "x^2 ≤ é\n".encode(),
        b"x",
        b"x\x01" + bytes(6) + b'{"weights": 1}',
        b"x\x9c" + b"\xff" * 40,
    ],
)
def test_what_only_starts_like_zlib_is_read_as_it_is(tmp_path, data):
    (tmp_path / "plain").write_bytes(data + TEXT.encode())
    result = found(tmp_path, markers_of([TEXT]))
    assert labels(result) == {"text 0"} and not result.blind


def test_an_inflated_stream_is_read_from_anywhere():
    data = os.urandom(150_000)
    stream = io.BufferedReader(Inflated(io.BytesIO(zlib.compress(data[:70_000]) + zlib.compress(data[70_000:]))))
    assert stream.seek(0, io.SEEK_END) == len(data)
    for start in (140_000, 3, 69_990):
        stream.seek(start)
        assert stream.read(40) == data[start : start + 40]
    stream.seek(-5, io.SEEK_END)
    assert stream.read() == data[-5:]


def test_parquet_and_arrow_files_are_decoded(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    vectors = pa.array([VECTOR.astype("f4").tolist()] * 2, pa.list_(pa.float32()))
    table = pa.table({"t": [TEXT, "x" * 50], "v": vectors, "d": pa.array([TEXT, "y"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    with pa.OSFile(str(tmp_path / "b.arrow"), "wb") as sink:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
    result = found(tmp_path, markers_of([TEXT], [VECTOR]))
    assert set(result.hits) == {"a.parquet", "b.arrow"} and not result.blind
    for name in ("a.parquet", "b.arrow"):
        assert labels(scan([tmp_path / name], markers_of([TEXT], [VECTOR]))) == {"text 0", "vector 0"}
    for only in ("t", "d", "v"):
        pq.write_table(table.select([only]), tmp_path / "one.parquet", compression="gzip")
        assert len(labels(scan([tmp_path / "one.parquet"], markers_of([TEXT], [VECTOR])))) == 1


@pytest.mark.parametrize(
    ("head", "said"),
    [(b"\x28\xb5\x2f\xfd", "Zstandard"), (b"%PDF-1.7", "PDF"), (b"ORC", "ORC")],
)
def test_what_has_no_reader_is_named_as_blind(tmp_path, head, said):
    (tmp_path / "packed").write_bytes(head + b"...")
    assert said in found(tmp_path, markers_of([TEXT])).blind["packed"]


def test_hidden_files_links_names_and_odd_files_are_not_passed_over(tmp_path):
    store, outside = tmp_path / "store", tmp_path / "outside"
    (store / "deep" / ".hidden").mkdir(parents=True)
    outside.mkdir()
    data = TEXT.encode()
    (store / "deep" / ".hidden" / "main.db-wal").write_bytes(data)
    (outside / "file").write_bytes(data)
    (store / "link").symlink_to(outside / "file")
    (store / "folder").symlink_to(outside)
    (store / "kowalczyk-1987-lodz").touch()
    os.mkfifo(store / "pipe")
    result = found(store, [*markers_of([TEXT]), Marker("name", b"kowalczyk-1987")])
    assert {"deep/.hidden/main.db-wal", "link", "kowalczyk-1987-lodz"} == set(result.hits)
    assert set(result.blind) == {"folder", "pipe"}
    with pytest.raises(StoreError, match="no such file"):
        scan([store / "absent"], [])


def test_files_of_one_name_in_two_folders_stay_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_bytes(TEXT.encode())
    result = scan([tmp_path / "a", tmp_path / "b", tmp_path / "a" / "same"], markers_of([TEXT]))
    assert len(result.hits) == 2 and result.files == 2


def test_no_marker_finds_nothing_and_a_short_one_is_found(tmp_path):
    (tmp_path / "file").write_bytes(b"a tea, a tea")
    assert found(tmp_path, []).hits == {}
    assert found(tmp_path, markers_of(["tea", ""])).hits == {"file": 2}
