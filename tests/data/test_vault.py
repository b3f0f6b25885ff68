"""Bodies that can be erased: nothing reads them without their key, and no file keeps the key after its end."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import StoreError
from expunge.data.vault import KEY_BYTES, Vault

BODY = b"Ada Lovelace lives in Oslo"


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "home")


def files(vault):
    return {p.name: p.read_bytes() for p in vault.folder.iterdir()}


def test_what_is_put_is_got_and_no_file_shows_it(vault):
    vault.put("r_1", BODY)
    assert vault.get("r_1") == BODY
    assert vault.holds("r_1")
    assert not any(BODY in data or b"Lovelace" in data for data in files(vault).values())


@settings(max_examples=15)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_come_back_and_the_last_put_counts(tmp_path_factory, one, other):
    vault = Vault(tmp_path_factory.mktemp("vault"))
    vault.put("a", one)
    vault.put("b", other)
    assert (vault.get("a"), vault.get("b")) == (one, other)
    vault.put("a", other)
    assert vault.get("a") == other


def test_two_names_have_two_keys_and_the_same_body_never_looks_the_same(vault):
    vault.put("a", BODY)
    first = files(vault)
    vault.put("a", BODY)
    vault.put("b", BODY)
    second = files(vault)
    assert first["a.key"] == second["a.key"] != second["b.key"]
    assert len({first["a.body"], second["a.body"], second["b.body"]}) == 3


def test_only_the_owner_may_look(vault):
    vault.put("a", BODY)
    assert stat.S_IMODE(vault.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE((vault.folder / f"a.{what}").stat().st_mode) for what in ("key", "body")} == {0o600}


def test_a_destroyed_body_is_gone_for_good_and_says_so(vault):
    vault.put("a", BODY)
    vault.put("b", BODY)
    key = vault.key("a")
    assert len(key) == KEY_BYTES
    # What a killed put leaves, the key included, goes too.
    (vault.folder / ".a.key.part-x1").write_bytes(key)
    (vault.folder / ".a.body.part-x1").write_bytes(b"half")
    vault.destroy("a")
    assert not any(key in data for data in files(vault).values())
    assert {name for name in files(vault) if "a." in name} == {"a.gone"}
    for work in (vault.get, lambda name: vault.put(name, BODY)):
        with pytest.raises(StoreError, match="a was destroyed in the vault"):
            work("a")
    vault.destroy("a")
    assert vault.destroyed("a")
    assert vault.get("b") == BODY


def test_the_key_is_overwritten_before_its_name_goes(vault, monkeypatch):
    vault.put("a", BODY)
    key = vault.key("a")

    def stop(path, **_):
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", stop)
        with pytest.raises(OSError, match="killed"):
            vault.destroy("a")
    assert (vault.folder / "a.key").read_bytes() == bytes(KEY_BYTES)
    assert not any(key in data for data in files(vault).values())
    assert vault.destroyed("a")
    assert not vault.holds("a")
    with pytest.raises(StoreError, match="was destroyed"):
        vault.get("a")
    vault.destroy("a")
    assert set(files(vault)) == {".lock", "a.gone"}


def test_what_was_never_there(vault):
    for work in (vault.get, vault.destroy, vault.key):
        with pytest.raises(StoreError, match="holds no"):
            work("a")
    assert not vault.destroyed("a")
    assert not vault.folder.exists()


def test_a_copy_of_the_body_without_the_key_is_of_no_use(vault, tmp_path):
    vault.put("a", BODY)
    other = Vault(tmp_path / "other")
    other.put("a", b"something")
    (other.folder / "a.body").write_bytes((vault.folder / "a.body").read_bytes())
    with pytest.raises(StoreError, match="does not decrypt"):
        other.get("a")


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_changed_byte_is_noticed(vault, place):
    vault.put("a", BODY)
    data = bytearray(files(vault)["a.body"])
    data[place] ^= 1
    (vault.folder / "a.body").write_bytes(data)
    with pytest.raises(StoreError, match="damaged or changed"):
        vault.get("a")


def test_a_body_under_another_name_is_refused(vault):
    vault.put("a", BODY)
    for what in ("key", "body"):
        (vault.folder / f"b.{what}").write_bytes((vault.folder / f"a.{what}").read_bytes())
    with pytest.raises(StoreError, match="damaged or changed"):
        vault.get("b")


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a" * 90, "a\n"])
def test_names_that_are_none(vault, name):
    with pytest.raises(StoreError, match="no name for the vault"):
        vault.put(name, BODY)
    assert not vault.folder.exists()


def test_writers_take_turns(tmp_path):
    # Each opens the lock file for itself, as another process would.
    def write(number):
        vault = Vault(tmp_path)
        for turn in range(5):
            vault.put("shared", b"%d %d" % (number, turn))
            vault.put(f"own{number}", b"%d" % turn)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    vault = Vault(tmp_path)
    assert {vault.get(f"own{number}") for number in range(4)} == {b"4"}
    assert vault.get("shared").endswith(b" 4")
