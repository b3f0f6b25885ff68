"""Keys: made once, closed to others, trusted by name, and never the shipped one."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from expunge.core.errors import LedgerError
from expunge.ledger.home import home, private_folder
from expunge.ledger.keys import FileSigner, PublicKey, Signer, ensure_key, load_public
from expunge.ledger.trust import SHIPPED_KEYIDS, find_trusted, trust
from expunge.testing.keys import DemoSigner

# RFC 8032, section 7.1, test 1
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
    "655141438e7a100b"
)
PKCS8 = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
SPKI = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_key(path: Path, key, mode: int = 0o600) -> Path:
    path.write_bytes(key.private_bytes(*PKCS8))
    path.chmod(mode)
    return path


def test_the_signer_agrees_with_rfc_8032(tmp_path):
    signer = FileSigner(write_key(tmp_path / "k", Ed25519PrivateKey.from_private_bytes(SECRET)))
    assert signer.public.raw == PUBLIC
    assert signer.sign(b"") == SIGNATURE
    assert PublicKey(PUBLIC).verifies(SIGNATURE, b"")
    assert not PublicKey(PUBLIC).verifies(SIGNATURE, b"x")
    # printf d75a…511a | xxd -r -p | sha256sum
    assert signer.keyid == "ed25519:21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9"


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    home = tmp_path / "home"
    first = ensure_key(home)
    data = first.path.read_bytes()
    assert ensure_key(home).keyid == first.keyid
    assert first.path.read_bytes() == data
    assert (mode_of(first.path), mode_of(home), mode_of(home / "keys")) == (0o600, 0o700, 0o700)
    assert [p.name for p in (home / "keys").iterdir()] == ["default.key"]
    assert isinstance(first, Signer)
    assert data.decode().splitlines()[1] not in repr(first)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_a_private_key_open_to_others_is_refused(tmp_path, mode):
    path = write_key(tmp_path / "k", Ed25519PrivateKey.generate(), mode)
    with pytest.raises(LedgerError, match=r"open to other users.*chmod 600"):
        FileSigner(path)


def test_what_is_no_ed25519_private_key_is_refused(tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(b"")
    bad.chmod(0o600)
    with pytest.raises(LedgerError, match="not a private key"):
        FileSigner(bad)
    with pytest.raises(LedgerError, match="not an Ed25519 key"):
        FileSigner(write_key(tmp_path / "ec", generate_private_key(SECP256R1())))
    with pytest.raises(LedgerError, match="cannot read"):
        FileSigner(tmp_path / "absent")


def test_the_home_is_where_the_environment_says_and_private(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "elsewhere"))
    assert home() == tmp_path / "elsewhere"
    assert mode_of(home()) == 0o700
    monkeypatch.delenv("EXPUNGE_HOME")
    monkeypatch.chdir(tmp_path)
    assert home().absolute() == tmp_path / ".expunge"


def test_an_open_folder_is_closed_if_it_is_ours_and_refused_if_not(tmp_path):
    ours, foreign, file = tmp_path / "ours", tmp_path / "foreign", tmp_path / "file"
    for folder in (ours, foreign):
        folder.mkdir()
        folder.chmod(0o755)
    (ours / "keys").mkdir()
    (foreign / "thesis.tex").touch()
    file.touch()
    assert mode_of(private_folder(ours)) == 0o700
    with pytest.raises(LedgerError, match=r"thesis\.tex"):
        private_folder(foreign)
    assert mode_of(foreign) == 0o755
    with pytest.raises(LedgerError, match="private folder"):
        private_folder(file)


def test_trust_is_found_by_keyid_and_name(tmp_path):
    path = trust(tmp_path / "home", PublicKey(PUBLIC), "Alice")
    found = find_trusted(tmp_path / "home", PublicKey(PUBLIC).keyid)
    assert found == PublicKey(PUBLIC, "Alice")
    assert path.name == f"{found.keyid}.json"
    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)
    assert find_trusted(tmp_path / "home", "ed25519:" + "0" * 64) is None
    assert find_trusted(tmp_path / "absent", found.keyid) is None
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", ["", "  ", "UNKNOWN", "two\nlines", "\x1b[2J"])
def test_a_trusted_name_is_a_name(tmp_path, name):
    with pytest.raises(LedgerError, match="name"):
        trust(tmp_path / "home", PublicKey(PUBLIC), name)


def test_trust_that_others_could_have_written_is_refused(tmp_path):
    path = trust(tmp_path / "home", PublicKey(PUBLIC), "Alice")
    for place in (path, path.parent, tmp_path / "home"):
        before = mode_of(place)
        place.chmod(before | 0o020)
        with pytest.raises(LedgerError, match="written by other users"):
            find_trusted(tmp_path / "home", PublicKey(PUBLIC).keyid)
        place.chmod(before)


def test_a_trusted_file_that_holds_another_key_is_refused(tmp_path):
    path = trust(tmp_path / "home", PublicKey(PUBLIC), "Alice")
    other = PublicKey(os.urandom(32), "Mallory")
    path.write_text(json.dumps({"keyid": other.keyid, "name": "Mallory", "public": other.text}))
    with pytest.raises(LedgerError, match="another key"):
        find_trusted(tmp_path / "home", PublicKey(PUBLIC).keyid)


def test_a_public_key_is_read_from_a_file_or_from_text(tmp_path):
    public = Ed25519PrivateKey.from_private_bytes(SECRET).public_key().public_bytes(*SPKI)
    pem = tmp_path / "alice.pem"
    pem.write_bytes(public)
    entry = trust(tmp_path / "home", PublicKey(PUBLIC), "Alice")
    for source in (pem, str(pem), public.decode(), base64.b64encode(PUBLIC).decode()):
        assert load_public(source) == PublicKey(PUBLIC)
    assert load_public(entry) == load_public(entry.read_text()) == PublicKey(PUBLIC, "Alice")


def test_what_is_no_public_key_is_refused(tmp_path):
    private = write_key(tmp_path / "k", Ed25519PrivateKey.generate())
    ec = generate_private_key(SECP256R1()).public_key().public_bytes(*SPKI).decode()
    good = {"keyid": PublicKey(PUBLIC).keyid, "name": "A", "public": PublicKey(PUBLIC).text}
    for source, message in (
        (private, "is a private key"),
        (tmp_path / "absent", "cannot read"),
        (str(tmp_path / "absent.pem"), "neither a file nor a public key"),
        (ec, "not an Ed25519 key"),
        ("", "bytes instead of 32"),
        (PublicKey(PUBLIC).text.rstrip("="), "neither"),
        (json.dumps(good | {"keyid": "ed25519:" + "0" * 64}), "keyid is not the digest"),
        (json.dumps(good | {"more": "1"}), "fields"),
        (json.dumps(good | {"public": 3}), "not all text"),
        ("{", "neither"),
    ):
        with pytest.raises(LedgerError, match=message):
            load_public(source)


def test_the_shipped_key_is_always_the_same_known_and_refused(tmp_path):
    demo = DemoSigner()
    assert demo.keyid == DemoSigner().keyid
    assert demo.keyid in SHIPPED_KEYIDS
    assert demo.public.verifies(demo.sign(b"x"), b"x")
    with pytest.raises(LedgerError, match=r"anyone can sign.*--allow-demo"):
        trust(tmp_path / "home", demo.public, "demo")
    assert not (tmp_path / "home").exists()
    assert trust(tmp_path / "home", demo.public, "demo", allow_demo=True).is_file()
