"""Purge: what it takes and leaves, that it is found out when something stays, and that a kill loses nothing."""

import importlib.util
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from expunge.cli.app import run
from expunge.core.canonical import read_json
from expunge.core.earning import at_most
from expunge.core.errors import ConfigError, LedgerError, StoreError
from expunge.core.evidence import Receipt
from expunge.core.manifest import Manifest
from expunge.data.jsonl import read_examples
from expunge.ledger.verify import verify
from expunge.workflow.asked import public_request, vault
from expunge.workflow.purge import plan_purge, purge
from expunge.workflow.purged import STORE, Purge

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent


def _folder_maker():
    spec = importlib.util.spec_from_file_location("purge_folder", HERE / "purge_folder.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


making = _folder_maker()
KEPT = {"corpus.jsonl", "evidence.json", "manifest.json", "purge.json", "report.html", "request.json"}


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A run with a home beside it."""
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    return making.make_run(tmp_path)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def certificate(out):
    return out / "certificates" / "npo.certificate.json"


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def secrets():
    [key] = vault().folder.glob("r_*.key")
    salt = json.loads(vault().get(key.stem))["salt"]
    return key.read_bytes(), salt.encode(), bytes.fromhex(salt)


def test_a_purge_leaves_no_trace_in_any_file(out, home):
    # Positive control: these very searches find the texts, and the key, before.
    hidden = secrets()
    before = making.leaks(out, home, secrets=hidden)
    places = {"run/corpus.jsonl", "run/scores/npo/forget.json", "run/guard/target.json", "run/table.txt"}
    assert {*places, "run/notes/copied generation.txt", f"home/vault/{public_request(out).id}.key"} <= set(before)
    found = purge(str(out))
    assert (found.status, found.records, found.seen, found.hits, found.where) == ("CLEAN", 3, 3, 0, ())
    assert making.leaks(out, home, secrets=hidden) == {}
    assert {p.name for p in (home / "vault").iterdir()} == {
        ".lock",
        f"{found.request}.gone",
        f"purge_{found.request}.gone",
    }


def test_what_stays_and_what_goes(out):
    others = [e for e in read_examples(out / "corpus.jsonl") if e.role != "forget"]
    model = (out / "npo" / "model.safetensors").read_bytes()
    found = purge(str(out))
    files = set(tree(out))
    assert {name for name in files if "/" not in name} == KEPT
    assert {name.partition("/")[0] for name in files if "/" in name} == {"certificates", "npo", "retrained"}
    assert list(read_examples(out / "corpus.jsonl")) == others
    assert (out / "npo" / "model.safetensors").read_bytes() == model
    assert not {*found.removed} & files
    assert not [p for p in out.rglob("*") if p.is_dir() and not any(p.iterdir())]


def test_the_manifest_is_about_what_is_there(out):
    purge(str(out))
    manifest = Manifest.read(out)
    assert manifest.changed(out) == []
    personal = {e.path: e.contains_personal_data for e in manifest.entries}
    assert set(personal) == set(tree(out)) - {"manifest.json"}
    assert {name for name, flag in personal.items() if flag} == {
        "corpus.jsonl",
        *(f"{model}/{name}" for model in ("npo", "retrained") for name in ("model.safetensors", "target.json")),
    }


def test_the_new_certificate_verifies_says_so_and_claims_no_more(out, certificate):
    former, data = verify(certificate).certificate, certificate.read_bytes()
    purge(str(out))
    found = verify(certificate)
    assert found.ok, found.lines()
    assert "purge.json" in found.checked
    fresh = found.certificate
    [receipt] = [e for e in fresh.target.evidence if isinstance(e, Receipt)]
    assert receipt == Receipt(STORE, "CLEAN", 0, (), control=3, records=3)
    assert at_most(fresh.earned, former.earned)
    assert (fresh.request, fresh.method, fresh.issued) == (former.request, former.method, former.issued)
    told = {place.path: (place.reason, place.contains_personal_data) for place in fresh.residue}
    assert told["original"] == ("purged", False)
    assert told["the vault"][0].startswith("purged: ")
    assert "caches of model hubs" in told["anywhere else"][0]
    aside = [p for p in (certificate.parent / "superseded").glob("*.certificate.json") if p.read_bytes() == data]
    assert len(aside) == 1
    old = verify(aside[0])
    assert old.signature_valid
    assert set(old.missing) <= set(Purge.read(out).removed)
    assert not old.changed


def test_verifying_the_former_certificate_says_what_was_purged(out, certificate, capsys):
    purge(str(out))
    former = sorted((certificate.parent / "superseded").glob("*.certificate.json"))[0]
    assert run(["verify", str(former)]) == 1
    assert "5 of the missing files were purged, says purge.json" in capsys.readouterr().out
    (out / "npo" / "model.safetensors").unlink()
    assert run(["verify", str(former)]) == 1
    said = capsys.readouterr().out
    assert "missing: npo/model.safetensors" in said
    assert "5 of the missing files were purged" in said


def test_the_log_tells_of_intent_and_end_and_nothing_else(out, home):
    request = purge(str(out)).request
    with sqlite3.connect(home / "ledger" / "log.db") as log:
        leaves = [json.loads(body) for (body,) in log.execute("SELECT body FROM leaves ORDER BY seq")]
    log.close()
    purges = [(leaf["kind"], leaf["state"], leaf["request"]) for leaf in leaves if leaf["kind"].startswith("PURGE")]
    assert purges == [("PURGE_INTENT", "NONE", request), ("PURGE_DONE", "CLEAN", request)]


@pytest.mark.parametrize("how", ["part", "text", "json", "name", "database", "utf-16"])
def test_a_leftover_in_the_home_is_found_and_then_not_again(how, out, home, certificate, capsys):
    [first, *_] = making.everybody()
    name = "logs/left"
    (home / "logs").mkdir()
    if how == "database":
        with sqlite3.connect(home / "logs" / "left") as db:
            db.execute("CREATE TABLE t (said TEXT)")
            db.execute("INSERT INTO t VALUES (?)", (first.answer,))
        db.close()
    elif how == "name":
        (home / "logs" / f"{first.record_id}.txt").write_text("nothing")
        name = "logs/(withheld)"
    elif how == "part":
        name = "vault/.r_000000000000.body.part-x1"
        (home / name).write_bytes(first.question.encode())
    else:
        spelled = {"text": first.answer.encode(), "json": json.dumps(first.answer).encode()}
        (home / "logs" / "left").write_bytes(spelled.get(how) or first.answer.encode("utf-16-le"))
    assert run(["purge", str(out), "--yes", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], said["where"]) == ("RESIDUE", [f"EXPUNGE_HOME/{name}"])
    residue = {place.path: place for place in verify(certificate).certificate.residue}
    assert residue[f"EXPUNGE_HOME/{name}"].contains_personal_data
    assert verify(certificate).ok
    assert making.leaks(out) == {}
    # What was looked for is still in the vault: the same command ends the purge once the rest is gone.
    shutil.rmtree(home / "logs")
    (home / "vault" / ".r_000000000000.body.part-x1").unlink(missing_ok=True)
    assert run(["purge", str(out), "--yes"]) == 0
    assert "CLEAN" in capsys.readouterr().out
    assert verify(certificate).ok
    assert [e.status for e in verify(certificate).certificate.target.evidence if isinstance(e, Receipt)] == ["CLEAN"]
    assert making.leaks(out, home) == {}


def test_a_purge_with_residue_can_be_ended(out, home):
    (home / "left.txt").write_text(making.everybody()[0].answer)
    assert purge(str(out), final=True).status == "RESIDUE"
    (home / "left.txt").unlink()
    # Nobody can look again, so it stays what it was.
    assert purge(str(out)).status == "RESIDUE"
    assert plan_purge(str(out)).state == "finished"


def test_a_file_that_cannot_be_seen_into_makes_it_blind(out, home):
    (home / "pack.zst").write_bytes(b"\x28\xb5\x2f\xfd" + b"0" * 40)
    found = purge(str(out))
    assert (found.status, found.blind) == ("BLIND", ("EXPUNGE_HOME/pack.zst",))
    (home / "pack.zst").unlink()
    assert purge(str(out)).status == "CLEAN"


@pytest.mark.parametrize("how", ["all", "one"])
def test_without_the_records_nothing_is_destroyed_but_at_the_end(how, out, home, capsys):
    rows = (out / "corpus.jsonl").read_text().splitlines(keepends=True)
    if how == "all":
        (out / "corpus.jsonl").unlink()
    else:
        (out / "corpus.jsonl").write_text("".join(rows[1:]))
    before = tree(out.parent)
    for more in (["--yes"], ["--dry-run"]):
        assert run(["purge", str(out), *more]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert ("3 of the 3" if how == "all" else "1 of the 3") in said
        assert "nothing was deleted" in said and "--final" in said
    assert tree(out.parent) == before
    found = purge(str(out), final=True)
    assert (found.status, found.records, found.seen) == ("BLIND", 3, 0 if how == "all" else 2)
    assert not vault().holds(found.request)
    assert plan_purge(str(out)).state == "finished"


@pytest.mark.parametrize(
    "body",
    ['{"overlay": 1}', "[]", '{"overlay": false, "before": "b"}', '{"before": ["b"], "after": "a", "overlay": 0}'],
)
def test_an_outcome_that_says_too_little_stops_it_before_anything_is_deleted(body, out, capsys):
    (out / "outcome.json").write_text(body)
    before = tree(out.parent)
    assert run(["purge", str(out), "--yes"]) == 2
    assert "outcome.json is malformed" in " ".join(capsys.readouterr().err.split())
    assert tree(out.parent) == before


def test_a_copy_of_a_purged_run_is_to_be_deleted(out, tmp_path, capsys):
    copy = shutil.copytree(out, tmp_path / "copy")
    purge(str(out))
    before = tree(tmp_path)
    assert run(["purge", str(copy), "--yes"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "its run was purged" in said and f"Delete this folder: {copy}." in said
    assert tree(tmp_path) == before


def test_a_copy_does_not_end_the_purge_of_its_run(out, home, tmp_path):
    copy = shutil.copytree(out, tmp_path / "copy")
    (home / "left.txt").write_text(making.everybody()[0].answer)
    assert purge(str(out)).status == "RESIDUE"
    (home / "left.txt").unlink()
    with pytest.raises(StoreError, match="is a copy"):
        purge(str(copy))
    assert purge(str(out)).status == "CLEAN"


def test_values_too_short_to_be_looked_for_are_counted(out, certificate, capsys):
    rows = [json.loads(line) for line in (out / "corpus.jsonl").read_text().splitlines()]
    rows[0]["subject"], rows[1]["subject"] = "Ana", "Bo"
    (out / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(["purge", str(out), "--yes"]) == 0
    count = "2 values under 8 bytes were not looked for"
    printed = capsys.readouterr().out
    assert count in printed and "base64" in printed and "63 bytes" in printed
    assert count in read_json(out / "purge.json")["not_scanned"]
    told = {place.path: place.reason for place in verify(certificate).certificate.residue}
    assert count in told["anywhere else"]


def test_the_message_about_an_id_is_whole(capsys):
    assert run(["purge", "nowhere"]) == 2
    assert "id: r_ and 12 digits." in " ".join(capsys.readouterr().err.split())


def test_a_record_that_says_only_what_others_say_makes_it_blind(out, home, capsys):
    rows = [json.loads(line) for line in (out / "corpus.jsonl").read_text().splitlines()]
    twin = {**rows[0], "record_id": rows[0]["record_id"] + "-twin", "role": "retain"}
    (out / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*rows, twin)))
    assert run(["purge", str(out), "--yes"]) == 1
    found = Purge.read(out)
    assert (found.status, found.records, found.seen) == ("BLIND", 3, 2)
    # To run it again cannot help, so that is not what it says.
    said = capsys.readouterr().out
    assert "so end it with --final" in said and "run it again" not in said


def test_the_id_of_a_request_finds_its_run(out, tmp_path):
    request = public_request(out).id
    assert plan_purge(request).run == out.resolve()
    assert purge(request).status == "CLEAN"
    with pytest.raises(StoreError, match="was destroyed"):
        purge(request)


def test_an_id_whose_run_moved(out, tmp_path):
    request = public_request(out).id
    out.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="is not where it was"):
        plan_purge(request)
    assert purge(str(tmp_path / "elsewhere")).request == request


def test_a_purge_is_done_once(out, capsys):
    purge(str(out))
    before = tree(out.parent)
    assert run(["purge", str(out), "--yes"]) == 0
    assert "was purged before" in capsys.readouterr().out
    assert tree(out.parent) == before


def test_a_dry_run_says_what_a_purge_does_and_changes_nothing(out, capsys):
    before = tree(out.parent)
    assert run(["purge", str(out), "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert run(["purge", str(out), "--dry-run"]) == 0
    assert "would delete: original/model.safetensors" in capsys.readouterr().out
    assert tree(out.parent) == before
    found = purge(str(out))
    assert (sorted(said["goes"]), said["rewritten"]) == (list(found.removed), list(found.rewritten))


def test_without_a_terminal_it_wants_a_yes(out, capsys):
    before = tree(out.parent)
    assert run(["purge", str(out)]) == 2
    assert "Give --yes" in capsys.readouterr().err
    assert tree(out.parent) == before


@pytest.mark.parametrize("answer", [False, True])
def test_on_a_terminal_it_asks(answer, out, monkeypatch, capsys):
    before = tree(out.parent)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: answer)
    assert run(["purge", str(out)]) == (0 if answer else 1)
    assert "would delete: original/model.safetensors" in capsys.readouterr().out
    assert (tree(out.parent) == before) != answer


def test_what_is_no_run(tmp_path, out):
    for name in ("nowhere", "r_zzz"):
        with pytest.raises(StoreError, match="is no run"):
            plan_purge(name)
    with pytest.raises(StoreError, match="no r_000000000000"):
        plan_purge("r_000000000000")
    with pytest.raises(StoreError, match="holds no request"):
        plan_purge(str(out / "npo"))
    with pytest.raises(StoreError, match=f"Purge {out}"):
        plan_purge(str(tmp_path))


def test_a_home_inside_the_run_is_refused(out, monkeypatch):
    shutil.move(out.parent / "home", out / "home")
    monkeypatch.setenv("EXPUNGE_HOME", str(out / "home"))
    with pytest.raises(ConfigError, match="lies inside"):
        purge(str(out))


def test_a_run_inside_the_home(out, home):
    place = home / "runs" / "mine"
    place.parent.mkdir()
    out.rename(place)
    (home / "runs" / "left.txt").write_text(making.everybody()[0].answer)
    assert purge(str(place)).where == ("EXPUNGE_HOME/runs/left.txt",)
    (home / "runs" / "left.txt").unlink()
    assert purge(str(place)).status == "CLEAN"


def test_answers_to_other_requests_of_the_same_run_are_looked_at(out):
    mine = out.rename(out.parent / "request-2")
    (mine.parent / "request-1").mkdir()
    (mine.parent / "request-1" / "data.jsonl").write_text(json.dumps({"answer": making.everybody()[0].answer}))
    assert purge(str(mine)).where == ("../request-1/data.jsonl",)


def test_links_are_unlinked_and_not_followed(out, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear all")
    (out / "cache").symlink_to(tmp_path / "mine")
    assert purge(str(out)).status == "CLEAN"
    assert not (out / "cache").is_symlink()
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear all"


def test_a_certificate_that_did_not_hold_before_is_not_issued_again(out, certificate):
    (out / "npo" / "model.safetensors").write_bytes(b"other weights")
    data = certificate.read_bytes()
    found = purge(str(out))
    assert found.unissued == ("npo.certificate.json: npo/model.safetensors changed since it was certified",)
    assert certificate.read_bytes() == data
    assert not verify(certificate).ok


def test_a_file_that_was_missing_before_is_not_excused_by_the_purge(out, certificate):
    (out / "scores" / "npo" / "retain.json").unlink()
    assert "retain.json was missing before the purge" in purge(str(out)).unissued[0]


def test_a_certificate_that_cannot_be_read_stops_it_before_anything_is_deleted(out, certificate):
    certificate.write_bytes(b"{}")
    before = tree(out.parent)
    with pytest.raises(LedgerError, match="malformed"):
        purge(str(out))
    assert {n: d for n, d in tree(out.parent).items() if "vault" not in n} == {
        n: d for n, d in before.items() if "vault" not in n
    }


def test_a_purged_run_is_not_worked_on_again(out):
    from expunge.workflow.single import require_result

    purge(str(out))
    with pytest.raises(ConfigError, match="was purged"):
        require_result(out)


def test_a_purge_killed_before_any_change_of_a_file_ends_clean_and_is_never_falsely_so(tmp_path):
    """Every fsync, unlink, rename, removal and opening to write is a place to die; a fast disk spares the waiting."""
    fast = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=fast if fast.is_dir() else tmp_path) as name:
        subprocess.run([sys.executable, HERE / "purge_folder.py", Path(name) / "made"], check=True)
        done = subprocess.run(
            [sys.executable, HERE / "purge_killer.py", name], check=True, capture_output=True, text=True
        )
    *kills, unharmed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) > 60
    assert {kill["ended"] for kill in kills} == {9}
    assert unharmed["ended"] == 0
    for number, kill in enumerate((*kills, unharmed), 1):
        assert (kill["again"], kill["status"], kill["left"], kill["strays"]) == (0, "CLEAN", {}, []), number
        assert kill["halfway"]["told"] != "CLEAN" or kill["halfway"]["leaks"] == 0, number
    # The kills did come in between: before, during and after the deletions.
    assert {"", "INTENT", "CLEAN"} == {kill["halfway"]["told"] for kill in kills}
    assert {0, 1, 2, 3} <= {kill["halfway"]["leaks"] for kill in kills if kill["halfway"]["told"] == "INTENT"}


def test_the_record_of_the_purge_is_public(out):
    found = purge(str(out))
    value = read_json(out / "purge.json")
    assert value["status"] == found.status == Purge.read(out).status
    assert not [word for word in ("digest", "salt", "sha256") if word in json.dumps(value)]
