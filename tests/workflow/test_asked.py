"""A run tells no more of its request than its public part; the rest is in the vault, or nowhere."""

import json
import shutil

import pytest

from expunge.core.certificate import PublicRequest
from expunge.core.errors import StoreError
from expunge.core.request import Behaviour, Concept, Records, Request, Subject
from expunge.workflow.asked import keep_request, kept_request, public_request, run_of, vault

SCOPES = (Records("ana-city", "ana-pet"), Subject(("Ana",)), Concept(("Where is Ana?",)), Behaviour(("do it",)))


@pytest.fixture
def out(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def request(scope=SCOPES[0]):
    return Request("user-4711", scope, basis="GDPR Art. 17", wish="refuse", due="2027-01-31")


@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: type(scope).__name__)
def test_what_is_kept_comes_back_whole(scope, out):
    asked = request(scope)
    keep_request(out, asked)
    assert kept_request(out) == asked
    assert public_request(out) == PublicRequest.of(asked)
    assert run_of(asked.id) == out.resolve()


def test_the_run_and_the_home_show_neither_subject_nor_scope_nor_salt(out):
    asked = request()
    keep_request(out, asked)
    secrets = (asked.subject, "ana-city", asked.salt)
    files = [p for p in out.parent.rglob("*") if p.is_file()]
    assert len(files) == 4
    for path in files:
        data = path.read_bytes()
        assert not [text for text in secrets if text.encode() in data], path
    assert bytes.fromhex(asked.salt) not in b"".join(path.read_bytes() for path in files)


def test_a_run_without_its_vault_says_what_is_missing_and_where_it_is(out, tmp_path, monkeypatch):
    asked = request()
    keep_request(out, asked)
    copy = shutil.copytree(out, tmp_path / "elsewhere")
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "another home"))
    assert public_request(copy).commitment == asked.commitment
    with pytest.raises(StoreError, match=r"subject and scope of r_.* are not at hand.*EXPUNGE_HOME"):
        kept_request(copy)
    assert not (tmp_path / "another home").exists()


def test_a_destroyed_request_is_never_read_again(out):
    asked = request()
    keep_request(out, asked)
    vault().destroy(asked.id)
    with pytest.raises(StoreError, match="was destroyed in the vault"):
        kept_request(out)
    assert public_request(out).id == asked.id


def test_another_request_in_its_place_destroys_the_body_of_the_first(out):
    first, second = request(), request(SCOPES[1])
    keep_request(out, first)
    keep_request(out, second)
    assert kept_request(out) == second
    assert vault().destroyed(first.id)


def test_a_request_in_plain_text_is_refused(out):
    body = {"subject": "me", "scope": ["a"], "basis": "", "salt": "ab" * 16}
    (out / "request.json").write_text(json.dumps(body))
    for read in (public_request, kept_request):
        with pytest.raises(StoreError, match="holds its scope in plain text"):
            read(out)


@pytest.mark.parametrize("text", ["[]", "{}", '{"id": 3}', "no"])
def test_what_is_no_request(text, out):
    (out / "request.json").write_text(text)
    with pytest.raises(StoreError, match=r"request\.json is not"):
        public_request(out)


def test_a_public_part_that_was_exchanged_is_noticed(out):
    asked = request()
    keep_request(out, asked)
    value = json.loads((out / "request.json").read_text())
    (out / "request.json").write_text(json.dumps({**value, "commitment": "sha256:" + "0" * 64}))
    with pytest.raises(StoreError, match="commitments differ"):
        kept_request(out)
