"""The scan is ours: an adapter that leaves bytes behind is caught, and one that cannot be seen into is never CLEAN."""

import shutil
import zlib

import numpy as np
import pytest

from expunge.core.errors import StoreError
from expunge.retrieval.byte_scan import Marker, markers_of
from expunge.retrieval.journal import INTENT, KEY, PENDING, RECEIPT, Journal
from expunge.retrieval.purging import purge, resume

TEXTS = {f"r{i}": f"The secret of record {i} is {i * 7919:x}-{i * 104729:x} and no other." for i in range(6)}
VECTORS = {i: np.random.default_rng(k).normal(size=12).astype("f4") for k, i in enumerate(TEXTS)}


class Plain:
    """A store that does what it says: one file, rewritten."""

    name = "plain"

    def __init__(self, folder):
        self.folder = folder / "store"
        self.folder.mkdir()
        self.rows = dict(TEXTS)
        self.write()

    def encode(self, i):
        return self.rows[i].encode() + VECTORS[i].tobytes()

    def write(self):
        (self.folder / "data").write_bytes(b"\n".join(map(self.encode, self.rows)))

    def erase(self, ids):
        for i in ids:
            self.rows.pop(i, None)

    def compact(self):
        self.write()

    def files(self):
        return [self.folder]


class Tombstones(Plain):
    """Marks rows deleted and keeps their bytes."""

    def write(self):
        (self.folder / "data").write_bytes(b"\n".join(t.encode() + VECTORS[i].tobytes() for i, t in TEXTS.items()))
        (self.folder / "deleted").write_text(" ".join(set(TEXTS) - set(self.rows)))


class Walled(Plain):
    """Rewrites its file and leaves the old pages in a write-ahead log."""

    def erase(self, ids):
        if not (self.folder / "data-wal").exists():
            shutil.copy(self.folder / "data", self.folder / "data-wal")
        super().erase(ids)


class StaleIndex(Plain):
    """Keeps an old index of vectors, and does not list it any more after the deletion."""

    def __init__(self, folder):
        super().__init__(folder)
        self.index = folder / "old.faiss"
        self.index.write_bytes(b"".join(v.tobytes() for v in VECTORS.values()))

    def files(self):
        return [self.folder / "data", self.index] if len(self.rows) == len(TEXTS) else [self.folder / "data"]


class PartlyOverwritten(Plain):
    """Overwrites the head of each value, as a page that is reused would."""

    def write(self):
        lines = [(t if i in self.rows else "x" * 20 + t[20:]).encode() + VECTORS[i].tobytes() for i, t in TEXTS.items()]
        (self.folder / "data").write_bytes(b"".join(lines))


class Compressing(Plain):
    """Compresses row by row, so that no scan can see anything."""

    def encode(self, i):
        return b"#" + zlib.compress(super().encode(i).hex().encode())


class CompressesText(Plain):
    """Vectors in the clear, texts compressed."""

    def encode(self, i):
        return b"#" + zlib.compress(self.rows[i].encode().hex().encode()) + VECTORS[i].tobytes()


class Lying(Compressing):
    """Says of itself that all is well."""

    def control(self):
        return True

    status, digest = "CLEAN", staticmethod(lambda: "sha256:" + "0" * 64)


class Hiding(Plain):
    """Puts the data into a format without a reader."""

    def compact(self):
        super().compact()
        (self.folder / "old.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(50))


def markers(ids=("r1", "r4")):
    made = []
    for k, i in enumerate(ids):
        made += [Marker(f"{k}/{m.label}", m.data, m.spelling) for m in markers_of([TEXTS[i]], [VECTORS[i]])]
    return made


def run(kind, tmp_path, **options):
    adapter = kind(tmp_path)
    journal = tmp_path / "journal"
    journal.mkdir()
    return adapter, journal, purge(adapter, ["r1", "r4"], markers, journal=journal, **options)


def test_a_store_that_erases_is_clean_and_leaves_no_journal(tmp_path):
    _, journal, receipt = run(Plain, tmp_path)
    assert (receipt.status, receipt.hits, receipt.where, receipt.control, receipt.records) == ("CLEAN", 0, (), 2, 2)
    assert [p.name for p in journal.iterdir()] == [RECEIPT]


@pytest.mark.parametrize(
    ("kind", "where"),
    [(Tombstones, "data"), (Walled, "data-wal"), (StaleIndex, "old.faiss"), (PartlyOverwritten, "data")],
)
def test_an_adapter_that_leaves_bytes_is_caught_and_told_where(tmp_path, kind, where):
    adapter, journal, receipt = run(kind, tmp_path)
    assert receipt.status == "RESIDUE" and receipt.hits > 0
    assert [text.partition(":")[0] for text in receipt.where] == [where]
    again = purge(adapter, ["r1", "r4"], lambda: pytest.fail("the rows are gone"), journal=journal)
    assert again.status == "RESIDUE", "asking again does not make it clean"
    Plain.write(adapter)
    for name in ("data-wal", "../old.faiss"):
        (adapter.folder / name).unlink(missing_ok=True)
    adapter.compact = adapter.erase = lambda *_: None
    assert resume(adapter, journal).status == "CLEAN", "once the bytes are gone it is"
    assert [p.name for p in journal.iterdir()] == [RECEIPT]


@pytest.mark.parametrize("kind", [Compressing, CompressesText, Lying, Hiding])
def test_what_the_scan_cannot_see_is_never_clean(tmp_path, kind):
    _, _, receipt = run(kind, tmp_path)
    assert receipt.status == "BLIND" and receipt.where
    assert receipt.control == (2 if kind is Hiding else 0)


def test_one_record_that_was_not_seen_spoils_the_receipt(tmp_path):
    class Half(Plain):
        def encode(self, i):
            return super().encode(i) if i != "r4" else b""

    _, _, receipt = run(Half, tmp_path)
    assert (receipt.status, receipt.control, receipt.records) == ("BLIND", 1, 2)
    assert receipt.where == ("record 1 of 2: not seen before the erasure",)


BARE = {
    "none at all": [],
    "too short": [Marker("1/text 0", b"short")],
    "nothing but zeros": [Marker("1/vector 0", bytes(32))],
    "of the index alone": [Marker("1/word", b"secret of record", "word")],
    "under another name": [Marker("7/text 0", TEXTS["r4"].encode()[:32])],
}


@pytest.mark.parametrize("case", BARE)
def test_a_record_of_which_nothing_can_be_looked_for_is_not_seen(tmp_path, case):
    def made():
        return [*markers(["r1"]), *BARE[case]]

    receipt = purge(Plain(tmp_path), ["r1", "r4"], made, journal=tmp_path)
    assert (receipt.status, receipt.control, receipt.records) == (
        "RESIDUE" if case == "of the index alone" else "BLIND",
        *(1, 2),
    )
    assert "record 1 of 2: not seen before the erasure" in receipt.where


def test_what_records_share_with_those_that_stay_is_no_residue(tmp_path):
    class Headed(Plain):
        def encode(self, i):
            return b"Confidential: this heading stands above each and every record. " + super().encode(i)

    heading = markers_of(["Confidential: this heading stands above each and every record. "])
    made = [*markers(), *(Marker(f"0/{m.label} head", m.data, m.spelling) for m in heading)]
    adapter = Headed(tmp_path)
    live = [adapter.encode("r0")]
    receipt = purge(adapter, ["r1", "r4"], lambda: made, journal=tmp_path, live=lambda: live)
    assert receipt.status == "CLEAN" and receipt.notes[0].startswith("1 value is")


def test_the_journal_holds_nothing_in_the_clear_and_refuses_another_purge(tmp_path):
    adapter = Plain(tmp_path)

    def stop(step):
        if step == "erased":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge(adapter, ["r1", "r4"], markers, journal=tmp_path, at=stop)
    sealed = (tmp_path / INTENT).read_bytes()
    assert not any(m.data in sealed for m in markers()) and b"r4" not in sealed[:50]
    assert (tmp_path / KEY).stat().st_mode & 0o077 == 0
    with pytest.raises(StoreError, match="other records is unfinished"):
        purge(adapter, ["r2"], markers, journal=tmp_path)
    assert purge(adapter, ["r4", "r1"], markers, journal=tmp_path).status == "CLEAN"
    with pytest.raises(StoreError, match="no purge is unfinished"):
        resume(adapter, tmp_path)


@pytest.mark.parametrize("damage", ["key removed", "key zeroed", "intent cut"])
def test_a_journal_that_cannot_be_read_ends_blind(tmp_path, damage):
    adapter = Plain(tmp_path)

    def stop(step):
        if step == "erased":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purge(adapter, ["r1", "r4"], markers, journal=tmp_path, at=stop)
    if damage == "key removed":
        (tmp_path / KEY).unlink()
    elif damage == "key zeroed":
        (tmp_path / KEY).write_bytes(bytes(32))
    else:
        (tmp_path / INTENT).write_bytes((tmp_path / INTENT).read_bytes()[:40])
    receipt = purge(adapter, ["r1", "r4"], markers, journal=tmp_path)
    assert receipt.status == "BLIND" and "not known any more" in receipt.where[0] and receipt.control == 0
    assert not Journal(tmp_path).open


def test_a_receipt_is_written_only_when_the_key_is_gone(tmp_path):
    states = []

    def look(step):
        there = {name for name in (KEY, INTENT, PENDING, RECEIPT) if (tmp_path / name).exists()}
        states.append((step, there))

    purge(Plain(tmp_path), ["r1", "r4"], markers, journal=tmp_path, at=look)
    assert not [s for s, there in states if RECEIPT in there and there & {KEY, INTENT}]
    assert [s for s, _ in states] == [
        *("control", "intent", "erased", "compacted", "scanned", "concluded"),
        *("key overwritten", "intent removed", "receipt written"),
    ]
