"""``expunge ledger``, ``expunge keys`` and the receipts that ``verify`` reads."""

from __future__ import annotations

import gc
import importlib.util
import json
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from expunge.ledger.certify import write_certificate
from expunge.ledger.home import home
from expunge.ledger.keys import ensure_key
from expunge.ledger.log import Log, log_path
from expunge.ledger.trust import trust
from expunge.testing.keys import DemoSigner
from expunge.workflow.logged import certified, note

PAGES = [
    *(["keys"], ["keys", "list"], ["keys", "new"], ["keys", "rotate"], ["keys", "export"], ["keys", "trust"]),
    *(["keys", "untrust"], ["ledger"], ["ledger", "log"], ["ledger", "check"], ["ledger", "export"]),
]


@pytest.fixture
def filled(call):
    """A home with a key and a log of three leaves."""
    assert call("keys", "new").code == 0
    note("PLAN", request="r_0123456789ab", digests={"plan": "sha256:" + "ab" * 32})
    note("PURGE_DONE", request="r_ba9876543210", state="CLEAN", counters={"stores": 2, "hits": 0})
    return home()


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_help_ends_with_an_example_that_the_parser_accepts(page, call):
    said = call(*page, "--help")
    assert (said.code, said.err) == (0, "")
    example = said.out.rstrip().splitlines()[-1].strip().removeprefix("Example: ").split()
    assert example[: 1 + len(page)] == ["expunge", *page]
    plain = [part for part in example[1:] if part not in (">", "our-key.json")]
    assert call(*plain, "--help").code == 0


def test_the_log_is_listed_for_people_and_programs(filled, call):
    lines = call("ledger", "log").out.splitlines()
    assert [line.split()[2] for line in lines] == ["KEY", "PLAN", "PURGE_DONE"]
    assert "r_ba9876543210 CLEAN" in lines[2]
    assert "hits 0, stores 2" in lines[2]
    found = call("ledger", "log", "--json").json
    assert [leaf["seq"] for leaf in found] == ["0", "1", "2"]
    with Log(log_path(filled)) as log:
        assert found == [json.loads(body) for _, body in log.bodies()]
    assert [leaf["seq"] for leaf in call("ledger", "log", "--json", "--last", "2").json] == ["1", "2"]
    asked = ("ledger", "log", "--json", "--request", "r_0123456789ab")
    assert [leaf["seq"] for leaf in call(*asked).json] == ["1"]
    note("ADOPT")
    assert [leaf["seq"] for leaf in call(*asked, "--last", "1").json] == ["1"]
    note("PURGE_INTENT", request="r_0123456789ab")
    assert [leaf["seq"] for leaf in call(*asked, "--last", "1").json] == ["4"]
    assert [leaf["seq"] for leaf in call(*asked, "--last", "9" * 30).json] == ["1", "4"]


def test_a_log_that_something_else_began_is_trusted_where_it_was_made(call):
    note("ADOPT")
    said = call("ledger", "check")
    assert (said.code, said.out.splitlines()[-1]) == (0, "verified")
    [row] = call("keys", "list", "--json").json
    assert (row["use"], row["name"]) == ("signs", "this installation")


def test_a_key_that_was_untrusted_is_not_trusted_again_by_a_log(call):
    own = ensure_key(home()).public
    trust(home(), own, "Us")
    assert call("keys", "untrust", own.keyid).code == 0
    note("ADOPT")
    assert call("keys", "list", "--json").json[0]["use"] == "signs, not trusted"
    assert "which is not trusted here" in call("ledger", "check").out


def test_trusting_another_before_there_is_a_key_trusts_the_new_key_too(call):
    text = DemoSigner().public.text
    assert call("keys", "trust", text, "--name", "Demo", "--allow-demo").code == 0
    assert call("ledger", "check").code == 0


def test_a_changed_mark_is_named(filled, call):
    with sqlite3.connect(log_path(filled)) as db:
        db.execute("UPDATE leaves SET mark = 0")
    db.close()
    said = call("ledger", "check", "--json")
    assert said.code == 1
    assert [problem.partition(" was")[0] for problem in said.json["problems"]] == [
        f"mark of leaf {n}" for n in range(3)
    ]


@pytest.mark.parametrize("damage", ["DROP TABLE leaves", "UPDATE keys SET public = x'07'"])
def test_a_damaged_log_is_one_message(filled, call, damage):
    with sqlite3.connect(log_path(filled)) as db:
        db.execute(damage)
    db.close()
    for command in (["ledger", "check"], ["ledger", "log"], ["ledger", "export", "--out", "x", "--dry-run"]):
        said = call(*command)
        gc.collect()
        assert said.err.count("\n") <= 1
        assert said.err.startswith("expunge: ") or said.code == 0
    assert call("ledger", "check").code == 1


def test_check_says_what_it_compared(filled, call, tmp_path):
    said = call("ledger", "check")
    assert (said.code, said.err) == (0, "")
    assert "witnesses 0" in said.out
    assert "nobody else's checkpoint was compared" in said.out
    assert said.out.splitlines()[-1] == "verified"
    assert call("ledger", "export", "--out", tmp_path / "then").code == 0
    note("ADOPT")
    for kept in (tmp_path / "then", tmp_path / "then" / "checkpoint.txt"):
        said = call("ledger", "check", "--against", kept)
        assert said.code == 0
        assert "1 kept elsewhere" in said.out
        assert "nobody else" not in said.out
    found = call("ledger", "check", "--json", "--against", tmp_path / "then").json
    assert (found["ok"], found["size"], found["witnesses"], found["against"]) == (True, 4, 0, 1)


def test_an_export_verifies_without_home_by_key_alone(filled, call, monkeypatch, tmp_path):
    (tmp_path / "key.json").write_text(call("keys", "export").out)
    assert call("ledger", "export", "--out", tmp_path / "log").code == 0
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "nowhere"))
    said = call("ledger", "check", tmp_path / "log")
    assert said.code == 1
    assert "which is not trusted here" in said.out
    assert call("ledger", "check", tmp_path / "log", "--key", tmp_path / "key.json").code == 0
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "other"))
    call("keys", "new")
    (tmp_path / "other.json").write_text(call("keys", "export").out)
    said = call("ledger", "check", tmp_path / "log", "--key", tmp_path / "other.json")
    assert said.code == 1
    assert "not with the given key" in said.out
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("leaves.jsonl", lambda text: text.replace("CLEAN", "BLIND"), "its root is not that of the first 3 leaves"),
        ("leaves.jsonl", lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "its tail was cut"),
        ("leaves.jsonl", lambda text: text.replace('"stores":"2"', '"stores":"two"'), "leaf 2 was changed"),
        (
            "leaves.jsonl",
            lambda text: "".join(reversed(text.splitlines(keepends=True))),
            "leaves were swapped or moved",
        ),
        ("checkpoints.jsonl", lambda text: "", "no checkpoint holds the last of the 3 leaves"),
        ("keys.jsonl", lambda text: "", "the public key that leaf 0 names is missing"),
    ],
)
def test_a_changed_export_is_named(filled, call, tmp_path, name, change, said):
    assert call("ledger", "export", "--out", tmp_path / "log").code == 0
    path = tmp_path / "log" / name
    path.write_text(change(path.read_text()))
    found = call("ledger", "check", tmp_path / "log")
    assert found.code == 1
    assert said in found.out
    assert found.out.splitlines()[-1] == "NOT verified"
    again = call("ledger", "check", tmp_path / "log", "--json").json
    assert not again["ok"]
    assert any(said in problem for problem in again["problems"])


def test_a_tampered_log_is_named_with_exit_1(filled, call):
    with sqlite3.connect(log_path(filled)) as db:
        db.execute("UPDATE leaves SET body = replace(body, 'CLEAN', 'BLIND') WHERE seq = 2")
    db.close()
    said = call("ledger", "check")
    assert said.code == 1
    assert "leaf 2 was changed: its hash is not the one in the tree" in said.out


def test_bad_input_is_one_message(filled, call, refused, tmp_path):
    assert "is no exported log" in refused(1, "ledger", "check", tmp_path)
    for command in (["ledger", "check"], ["ledger", "check", "--against"], ["verify"]):
        assert "there is no such file or folder" in refused(2, *command, tmp_path / "absent.json")
    (tmp_path / "noise.txt").write_bytes(b"\xff\xfe")
    assert "neither a checkpoint nor a receipt" in refused(1, "ledger", "check", "--against", tmp_path / "noise.txt")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert "is not empty" in refused(2, "ledger", "export", "--out", tmp_path / "full")
    assert "has a key" in refused(2, "keys", "new")
    assert "is trusted here" in refused(2, "keys", "untrust", "ed25519:" + "0" * 64)
    assert "neither a file nor a public key" in refused(2, "keys", "trust", "no key!", "--name", "N")
    assert "neither a file nor a public key" in refused(2, "ledger", "check", "--key", tmp_path / "absent.pem")
    refused(2, "keys", "trust", "k" * 300, "--name", "N")
    refused(2, "verify", "c" * 300)
    assert "noise.txt" in refused(1, "keys", "trust", tmp_path / "noise.txt", "--name", "N")
    assert "is trusted here" in refused(2, "keys", "export", "ed25519:" + "0" * 64)


def test_without_a_home_nothing_is_made(refused, call, tmp_path):
    for command in (["ledger", "log"], ["ledger", "check"], ["ledger", "export", "--out", tmp_path / "log"]):
        assert "there is no log" in refused(2, *command)
    for command in (["keys", "rotate"], ["keys", "export"]):
        assert "has no key" in refused(2, *command)
    assert call("keys", "list").out == ""
    assert list(tmp_path.iterdir()) == []


def test_dry_runs_write_nothing(filled, call, tmp_path):
    (tmp_path / "key.json").write_text(call("keys", "export").out)
    own = json.loads((tmp_path / "key.json").read_text())["keyid"]
    before = bytes_below(tmp_path)
    for command in (
        ["ledger", "export", "--out", tmp_path / "log"],
        ["keys", "rotate"],
        ["keys", "trust", tmp_path / "key.json", "--name", "Us"],
        ["keys", "untrust", own],
    ):
        said = call(*command, "--dry-run")
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith("would ")
        assert call(*command, "--dry-run", "--json").json["written"] is False
    assert {k: v for k, v in bytes_below(tmp_path).items() if not k.endswith(("-shm", "-wal"))} == before


def test_keys_are_made_rotated_listed_trusted_and_untrusted(call, monkeypatch, tmp_path):
    assert call("keys", "new", "--dry-run").out.startswith("would make a key")
    assert not home().joinpath("keys").exists()
    first = call("keys", "new").out.strip()
    assert [(row["use"], row["keyid"]) for row in call("keys", "list", "--json").json] == [("signs", first)]
    assert call("keys", "rotate").code == 0
    uses = {row["use"]: row["keyid"] for row in call("keys", "list", "--json").json}
    assert uses["retired"] == first != uses["signs"]
    key = tmp_path / "key.json"
    key.write_text(call("keys", "export").out)
    assert json.loads(call("keys", "export", first).out)["keyid"] == first
    assert call("keys", "untrust", first).code == 0
    assert {row["use"] for row in call("keys", "list", "--json").json} == {"signs", "retired, not trusted"}
    assert call("ledger", "check").code == 0
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "other"))
    assert call("keys", "trust", key, "--name", "Them").code == 0
    [theirs] = [row for row in call("keys", "list", "--json").json if row["name"] == "Them"]
    assert theirs == {"use": "trusted", "keyid": uses["signs"], "name": "Them"}
    assert [leaf["state"] for leaf in call("ledger", "log", "--json").json] == ["CREATED", "TRUSTED"]


def test_what_keys_and_export_say_is_json_too(call, tmp_path):
    assert call("keys", "new", "--dry-run", "--json").json == {"home": str(home()), "written": False}
    first = call("keys", "new", "--json").json["keyid"]
    assert call("keys", "export", "--json").json == json.loads(call("keys", "export").out)
    found = call("keys", "rotate", "--json").json
    assert found["retired"] == first != found["signs"]
    assert call("keys", "list", "--json").json[-1]["keyid"] in (first, found["signs"])
    told = call("keys", "untrust", first, "--json").json
    assert told == {"keyid": first, "written": True}
    text = DemoSigner().public
    told = call("keys", "trust", text.text, "--name", "Demo", "--allow-demo", "--json").json
    assert told == {"keyid": text.keyid, "name": "Demo", "written": True}
    told = call("ledger", "export", "--out", tmp_path / "log", "--json").json
    checked = call("ledger", "check", tmp_path / "log", "--json").json
    assert (told["size"], told["origin"], told["written"]) == (checked["size"], checked["origin"], True)
    assert Path(told["checkpoint"]).is_file()


def test_a_key_that_ships_is_trusted_only_when_asked(refused, call):
    text = DemoSigner().public.text
    assert "--allow-demo" in refused(1, "keys", "trust", text, "--name", "Demo")
    assert call("keys", "trust", text, "--name", "Demo", "--allow-demo").code == 0


@pytest.fixture(scope="module")
def ledger_toys(checkout):
    """The builders of the ledger's own tests."""
    spec = importlib.util.spec_from_file_location("ledger_toys", checkout / "tests" / "ledger" / "conftest.py")
    toys = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(toys)
    return toys


@pytest.fixture
def certificates(ledger_toys, tmp_path):
    """Two certificates of one home, logged."""
    root = tmp_path / "run"
    (root / "certificates").mkdir(parents=True)
    (root / "result.txt").write_text("result")
    signer = ensure_key(home())
    trust(home(), signer.public, "Us")
    paths = []
    for name, certificate in (
        ("one", ledger_toys.make_certificate()),
        ("two", ledger_toys.make_certificate(evidence=())),
    ):
        path = root / "certificates" / f"{name}.certificate.json"
        write_certificate(certificate, {"result": root / "result.txt"}, root, path, signer)
        certified(certificate, path, root)
        paths.append(path)
    return paths


def test_two_receipts_or_certificates_are_compared_with_the_log(certificates, call):
    one, two = certificates
    receipt = two.with_name("two.receipt.json")
    said = call("ledger", "check", "--against", one, "--against", receipt)
    assert said.code == 0
    assert "2 kept elsewhere" in said.out
    note("ADOPT")
    said = call("ledger", "check", "--against", one, "--against", receipt)
    assert said.code == 0
    receipt.write_text(receipt.read_text().replace("EMPIRICAL", "EXACT").replace("UNPROVEN", "EXACT"))
    said = call("ledger", "check", "--against", one, "--against", receipt)
    assert said.code == 1
    assert "two.receipt.json, leaf 2 or its path was changed" in said.out


def test_receipts_of_two_histories_are_told_apart(certificates, call, monkeypatch, tmp_path):
    """The operator shows one history to one requester and another to the next, under one key."""
    one, two = certificates
    fork = tmp_path / "fork"
    fork.mkdir(mode=0o700)
    for part in ("keys", "trusted"):
        shutil.copytree(home() / part, fork / part)
    monkeypatch.setenv("EXPUNGE_HOME", str(fork))
    note("ADOPT")
    note("ADOPT", counters={"records": 7})
    said = call("ledger", "check", "--against", one)
    assert said.code == 1
    assert "one.certificate.json, a checkpoint of size 2, is of another history" in said.out
    assert "forked or rewritten" in said.out
    assert call("verify", two).code == 0


def test_verify_says_what_the_receipt_shows(certificates, call):
    one, two = certificates
    said = call("verify", one)
    assert said.code == 0
    assert "at size 2 as leaf 1, witnesses 0" in said.out
    assert call("verify", two, "--json").json["log"] == {
        "origin": call("ledger", "check", "--json").json["origin"],
        "size": 3,
        "seq": 2,
        "witnesses": 0,
    }
    two.with_name("two.receipt.json").replace(one.with_name("one.receipt.json"))
    said = call("ledger", "check", "--against", one)
    assert said.code == 1
    assert "one.certificate.json, certificate file: not the digest that the log committed to" in said.out
    said = call("verify", one)
    assert said.code == 1
    assert "receipt: certificate file: not the digest that the log committed to" in said.out
    assert call("verify", two).code == 0
    assert "no receipt beside it" in call("verify", two).out
    assert call("verify", two, "--json").json["log"] is None
