"""A destroyed key makes a subject's records unreadable, in copies that were made before too."""

import shutil

import pytest

from expunge.core.errors import StoreError
from expunge.core.example import Example
from expunge.retrieval.byte_scan import markers_of, scan
from expunge.retrieval.crypto_shred import SubjectKeys
from expunge.retrieval.datastore import Datastore

from .conftest import record, vector


@pytest.fixture
def keys(tmp_path):
    found = SubjectKeys(tmp_path / "keys.sqlite")
    yield found
    found.close()


def test_nothing_is_readable_in_a_copy_of_before_once_the_key_is_destroyed(make, keys, tmp_path):
    store = make(6, keys=keys)
    assert store.get(["r2"]).items == (record(2),)
    texts = [text for i in range(6) for text in (record(i).question, record(i).answer, record(i).subject)]
    assert scan([store.path], markers_of(texts)).hits == {}, "bodies lie there encrypted"
    store.close()
    shutil.copytree(store.path, tmp_path / "old")
    receipt = keys.destroy(record(2).subject)
    assert (receipt.status, receipt.control, receipt.records) == ("CLEAN", 1, 1) and "backup" in receipt.notes[0]
    for folder in (store.path, tmp_path / "old"):
        with Datastore(folder, keys=keys) as again:
            with pytest.raises(StoreError, match="key of its subject was destroyed"):
                again.get(["r2"])
            assert again.get(["r1", "r3"]).items == (record(1), record(3))
            assert again.search(vector(2), 1)[0].record_id == "r2", "vectors lie outside of the encryption"
    assert keys.destroy(record(2).subject).status == "BLIND", "what is not there cannot be seen to go"


def test_an_old_backup_of_the_key_file_undoes_it(make, keys, tmp_path):
    store = make(3, keys=keys)
    shutil.copy(keys.path, tmp_path / "backup.sqlite")
    keys.destroy(record(1).subject)
    store.close()
    backup = SubjectKeys(tmp_path / "backup.sqlite")
    with Datastore(store.path, keys=backup) as again:
        assert again.get(["r1"]).items == (record(1),)
    backup.close()


def test_a_copy_of_the_key_file_beside_it_is_residue(keys):
    keys.seal("someone", b"body", "r1")
    shutil.copy(keys.path, f"{keys.path}-old")
    receipt = keys.destroy("someone")
    assert receipt.status == "RESIDUE" and receipt.where == ("keys.sqlite-old: 1",)


def test_sealed_records_are_purged_by_their_ciphertext_and_vector(make, keys):
    store = make(9, keys=keys)
    cipher = store.checked().execute("SELECT sealed FROM records WHERE record_id = 'r4'").get
    assert store.erase(["r4"]).status == "CLEAN"
    assert cipher not in (store.path / "store.sqlite").read_bytes()
    keys.destroy(record(5).subject)
    assert store.erase(["r5"]).status == "CLEAN", "also when it cannot be read any more"
    assert store.ids() == tuple(f"r{i}" for i in (0, 1, 2, 3, 6, 7, 8))


def test_a_sealed_store_needs_its_keys_and_cannot_be_searched_by_text(make, keys):
    store = make(3, keys=keys)
    with pytest.raises(StoreError, match="cannot be searched by text"):
        store.search("Where")
    store.close()
    with pytest.raises(StoreError, match="sealed"):
        Datastore(store.path)


def test_a_body_is_bound_to_its_record_and_a_subject_has_one_key(keys):
    one, sealed = keys.seal("someone", b"body", "r1")
    other, again = keys.seal("someone", b"body", "r1")
    assert one == other and sealed != again and keys.unseal(one, sealed, "r1") == b"body"
    assert keys.seal("another", b"body", "r1")[0] != one
    for wrong in ((one, sealed, "r2"), (one, sealed[:-1] + b"x", "r1")):
        with pytest.raises(StoreError, match="do not fit"):
            keys.unseal(*wrong)
    assert keys.path.stat().st_mode & 0o077 == 0


def test_a_record_without_a_subject_has_a_key_of_its_own(make, keys):
    store = make(1, keys=keys)
    store.add([Example("lone", "Whose key is it?", "Its own.")], vector(90)[None])
    assert keys.destroy("lone").status == "CLEAN"
    with pytest.raises(StoreError, match="destroyed"):
        store.get(["lone"])
