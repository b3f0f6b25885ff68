"""Purge of what one command made in several folders: seeds of a bench, requests in sequence."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from expunge.cli.app import run
from expunge.core.canonical import read_json
from expunge.core.files import write_json
from expunge.core.manifest import Manifest
from expunge.ledger.verify import verify
from expunge.workflow.asked import vault
from expunge.workflow.purge import purge
from expunge.workflow.purge_seeds import purge_seeds
from expunge.workflow.purged import Purge

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent


def _module(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


making = _module("purge_folder")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def bench(tmp_path, home):
    """Two seeds, and what is pooled over them."""
    return making.make_bench(tmp_path)


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_one_seed_is_not_clean_while_another_holds_the_records(bench, home, capsys):
    assert run(["purge", str(bench / "seed-0"), "--yes", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == "RESIDUE"
    assert {"../seed-1/corpus.jsonl", "../seed-1/scores/npo/forget.json", "../table.txt"} <= set(said["where"])
    assert said["knew"] == ["../seed-1/original"]
    assert run(["purge", str(bench / "seed-0"), "--yes"]) == 1
    assert f"expunge purge {bench}\n" in capsys.readouterr().out
    certificate = bench / "seed-0" / "certificates" / "npo.certificate.json"
    residue = {place.path for place in verify(certificate).certificate.residue}
    assert {"../seed-1/original", "../seed-1/corpus.jsonl"} <= residue
    # Begun alone, it is ended with the others.
    done = purge_seeds(bench)
    assert done.status == "CLEAN"
    assert {seed.name: (found.status, found.knew) for seed, found in done.seeds.items()} == {
        "seed-0": ("CLEAN", ()),
        "seed-1": ("CLEAN", ()),
    }
    assert making.leaks(bench, home) == {}


def test_a_bench_is_purged_with_all_its_seeds(bench, home, capsys):
    (bench / "mine.txt").write_text("not of the bench")
    assert {"t/seed-0/corpus.jsonl", "t/seed-1/corpus.jsonl", "t/table.txt"} <= set(making.leaks(bench, home))
    before = tree(bench.parent)
    assert run(["purge", str(bench), "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert run(["purge", str(bench)]) == 2
    assert "Give --yes" in capsys.readouterr().err
    assert tree(bench.parent) == before
    assert run(["purge", str(bench), "--yes", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], [seed["status"] for seed in said["seeds"]]) == ("CLEAN", ["CLEAN", "CLEAN"])
    assert said["removed"] == plan["goes"] == ["done.json", "table.txt"]
    assert [seed["removed"] for seed in said["seeds"]] == [sorted(seed["goes"]) for seed in plan["seeds"]]
    assert making.leaks(bench, home) == {}
    assert {p.name for p in bench.iterdir()} == {"evidence.json", "manifest.json", "mine.txt", "seed-0", "seed-1"}
    assert Manifest.read(bench).changed(bench) == []
    assert {p.suffix for p in (home / "vault").iterdir() if p.name != ".lock"} == {".gone"}
    for seed in ("seed-0", "seed-1"):
        assert verify(bench / seed / "certificates" / "npo.certificate.json").ok
    after = tree(bench.parent)
    assert run(["purge", str(bench), "--yes"]) == 0
    assert capsys.readouterr().out.count("was purged before") == 2
    assert tree(bench.parent) == after


def test_what_somebody_put_beside_the_seeds_is_named_and_not_deleted(bench, capsys):
    (bench / "copied.txt").write_text(making.everybody()[0].answer)
    assert run(["purge", str(bench), "--yes", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == "RESIDUE"
    assert [seed["where"] for seed in said["seeds"]] == [["../copied.txt"]] * 2
    (bench / "copied.txt").unlink()
    assert run(["purge", str(bench), "--yes"]) == 0
    assert capsys.readouterr().out.endswith(f"{bench}: CLEAN\n")


def test_a_seed_without_its_records_stops_the_purge_of_all(bench, capsys):
    (bench / "seed-1" / "corpus.jsonl").unlink()
    before = tree(bench.parent)
    assert run(["purge", str(bench), "--yes"]) == 2
    assert "seed-1 any more" in " ".join(capsys.readouterr().err.split())
    assert tree(bench.parent) == before


def test_a_purge_of_seeds_killed_in_between_ends_clean_and_is_never_falsely_so(tmp_path):
    """Killed before every seventh change of a file; the other purges are killed before each."""
    fast = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=fast if fast.is_dir() else tmp_path) as name:
        subprocess.run([sys.executable, HERE / "purge_folder.py", Path(name) / "made", "bench"], check=True)
        command = [sys.executable, HERE / "purge_killer.py", name, "bench"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    *kills, unharmed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(kills) > 15 and unharmed["ended"] == 0
    assert {kill["ended"] for kill in kills} == {9}
    for number, kill in enumerate((*kills, unharmed), 1):
        assert (kill["again"], kill["status"], kill["left"], kill["strays"]) == (0, "CLEAN", {}, []), number
        assert "CLEAN" not in kill["halfway"]["told"] or kill["halfway"]["leaks"] == 0, number
    told = {tuple(kill["halfway"]["told"]) for kill in kills}
    assert {("INTENT", "INTENT"), ("CLEAN", "INTENT"), ("CLEAN", "CLEAN")} <= told


def answers(folder, count):
    """Answers to requests in sequence, each made on the model that the one before it gave."""
    places = []
    for number in range(1, count + 1):
        place = making.make_run(folder).rename(folder / f"request-{number}")
        write_json(place / "npo" / "target.json", {"digest": f"sha256:after {number}"})
        card = {"before": f"sha256:after {number - 1}", "after": f"sha256:after {number}", "overlay": False}
        write_json(place / "outcome.json", card)
        places.append(place)
    return places


def test_the_models_that_a_request_in_sequence_was_answered_on_are_named(tmp_path, home, capsys):
    folder = tmp_path / "answers"
    answers(folder, 4)
    for other in ("request-1", "request-2", "request-4"):
        # Their own records are others; only the models are looked at here.
        for path in [p for p in (folder / other).iterdir() if p.name not in ("outcome.json", "npo", "request.json")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    mine = folder / "request-3"
    assert run(["purge", str(mine), "--dry-run"]) == 0
    assert "would leave, though it knows the records: ../request-2/npo" in capsys.readouterr().out
    assert run(["purge", str(mine), "--yes"]) == 0
    printed = capsys.readouterr().out
    names = ["../request-1/npo", "../request-2/npo"]
    assert read_json(mine / "purge.json")["knew"] == names
    for name in names:
        assert f"left, but knew the records: {name}" in printed
        assert (mine / name / "model.safetensors").is_file()


def test_a_purge_that_was_begun_knows_its_seed(bench):
    assert purge(str(bench / "seed-1")).status == "RESIDUE"
    assert Purge.read(bench / "seed-1").status == "RESIDUE"
    assert vault().holds(f"purge_{Purge.read(bench / 'seed-1').request}")
