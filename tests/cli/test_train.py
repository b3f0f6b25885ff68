"""expunge train: committed to before it starts, whole or absent, continued, and never done twice."""

import csv
import json

import pytest

import expunge
from expunge.core.canonical import digest
from expunge.core.errors import TargetError
from expunge.data.table import open_table
from expunge.data.vault import Vault
from expunge.engine.recipes.learner import LearnerRecipe
from expunge.ledger.home import home_path
from expunge.workflow.training_log import config_digest, salts_of

from . import exact_cases
from .exact_cases import make_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return make_tables(tmp_path_factory.mktemp("tables"))


def test_the_log_is_told_data_and_recipe_before_the_training_and_the_result_after_it(
    tables, call, leaves, tmp_path, monkeypatch
):
    seen = []
    train = LearnerRecipe.train
    monkeypatch.setattr(LearnerRecipe, "train", lambda self, *a, **k: (seen.append(leaves()), train(self, *a, **k))[1])
    said = call(*tables.train(tmp_path / "out", "--json"))
    assert (said.code, said.err) == (0, "")
    assert [leaf.entry.kind for leaf in seen[0]] == ["KEY", "TRAIN"]
    before, after = (leaf.entry for leaf in leaves()[1:])
    assert after.kind == "TRAINED" and after.digests["after"] == said.json["digest"]
    assert {name: before.digests[name] for name in ("data", "config")} == {
        name: after.digests[name] for name in ("data", "config")
    }
    # Salted, so that nobody who guesses the data can confirm it without the vault.
    store = open_table(tables.root / "table.csv", label="y", id="name")
    assert before.counters == {"records": 60}
    assert before.digests["data"] not in (store.digest(), digest(["", store.digest()]))
    salt = salts_of(before.digests["data"])["data"]
    assert before.digests["data"] == digest([salt, store.digest()])
    recipe = LearnerRecipe("ridge").digest()
    assert before.digests["config"] == config_digest(recipe, 0, salt) != config_digest(recipe, 0, "")


def test_the_manifest_lists_rows_checkpoints_and_sums_as_personal(tables, call, tmp_path):
    for name, recipe, data in (("a", "ridge", "table.csv"), ("b", "sisa.yaml", "classes.csv")):
        assert call(*tables.train(tmp_path / name, recipe=recipe, data=data)).code == 0
        listed = json.loads((tmp_path / name / "manifest.json").read_text())["files"]
        paths = {entry["path"] for entry in listed}
        there = {p.relative_to(tmp_path / name).as_posix() for p in (tmp_path / name).rglob("*") if p.is_file()}
        assert paths == there - {"manifest.json"}
        assert all(entry["contains_personal_data"] for entry in listed)
    assert any("/rows/" in path for path in paths) and any(path.endswith("estimator.safetensors") for path in paths)
    assert not any(path.startswith(".") for path in paths)


def test_the_same_command_again_does_nothing_and_another_is_refused(tables, call, refused, tmp_path, leaves):
    out = tmp_path / "out"
    first = call(*tables.train(out, "--json"))
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = call(*tables.train(out, "--json"))
    assert again.json == first.json
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    assert [leaf.entry.kind for leaf in leaves()] == ["KEY", "TRAIN", "TRAINED"]
    assert "holds another training" in refused(2, *tables.train(out, "--seed", "1"))
    assert "holds another training" in refused(2, *tables.train(out, "--set", "penalty=3"))


def test_training_that_was_stopped_continues_under_the_same_commitment(tables, call, leaves, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LearnerRecipe, "train", stop)
        assert call(*tables.train(out)).code == 130
    assert not (out / "target.json").exists() and len(leaves()) == 2
    assert "another training was begun" in call(*tables.train(out, "--seed", "1")).err
    assert call(*tables.train(out)).code == 0
    assert [leaf.entry.kind for leaf in leaves()] == ["KEY", "TRAIN", "TRAINED"]
    assert not list(out.glob(".*")) and [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_training_that_fails_leaves_the_commitment_alone(tables, call, leaves, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise TargetError("the loss is not finite")

    monkeypatch.setattr(LearnerRecipe, "train", fail)
    said = call(*tables.train(tmp_path / "out"))
    assert (said.code, said.err.count("\n")) == (2, 1) and "not finite" in said.err
    assert not (tmp_path / "out").exists() and len(leaves()) == 2
    assert Vault(home_path()).destroyed(f"trained-{leaves()[1].entry.digests['data'][7:19]}")


def test_the_number_of_workers_changes_no_byte(tables, call, tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.engine.parts.training.map", exact_cases.here)
    found = {}
    for name, more in (("one", ()), ("two", ("--workers", "2"))):
        assert call(*tables.train(tmp_path / name, *more, recipe="sisa.yaml", data="classes.csv")).code == 0
        found[name] = {p.name: p.read_bytes() for p in (tmp_path / name).rglob("estimator.*")}
    assert found["one"] and found["one"] == found["two"]


def test_dry_run_checks_recipe_and_data_and_writes_nothing(tables, call, tmp_path):
    said = call(*tables.train(tmp_path / "out", "--dry-run", "--json"))
    assert said.code == 0 and said.json["records"] == 60 and said.json["written"] is False
    assert list(tmp_path.iterdir()) == []


def test_values_of_a_column_are_those_of_the_training(tables, call, tmp_path):
    assert call(*tables.train(tmp_path / "out")).code == 0
    source = json.loads((tmp_path / "out" / "training.json").read_text())["source"]
    assert source["categories"] == {"colour": ["blue", "red"]} and source["fitted"] == ["colour"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--recipe", "rigde"), "Did you mean 'ridge'"),
        (("--set", "penalti=2"), "Did you mean 'penalty'"),
        (("--set", "penalty=two"), "penalty"),
        (("--recipe", "absent.yaml"), "cannot read the recipe absent.yaml"),
        (("--data", "absent.csv"), "cannot read the data absent.csv"),
        (("--label", "z"), "has no column 'z'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_arguments_leave_nothing(more, words, tables, call, tmp_path):
    said = call(*tables.train(tmp_path / "out"), *more)
    assert said.code == 2 and said.err.count("\n") == 1 and words in said.words
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_and_data_without_a_row_are_refused(tables, refused, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear all")
    assert "holds other files" in refused(2, *tables.train(tmp_path / "mine"))
    with (tmp_path / "empty.csv").open("w", newline="") as stream:
        csv.writer(stream).writerow(["name", "a", "y"])
    assert "holds no record" in refused(2, *tables.train(tmp_path / "out"), "--data", tmp_path / "empty.csv")


def test_without_ray_the_line_that_installs_it_is_named(tables, refused, without, tmp_path):
    without("ray")
    assert "expunge[ray]" in refused(3, *tables.train(tmp_path / "out"), "--ray")


def test_rows_in_memory_are_committed_to_and_run_again_where_they_are_given(tables, call, tmp_path, monkeypatch):
    monkeypatch.setattr("expunge.workflow.audit_replay.apply", exact_cases.here)
    rows = expunge.open_table(tables.root / "table.csv", label="y", id="name")
    target = expunge.train("ridge", rows, out=tmp_path / "t")
    assert target.digest() == expunge.adopt(tmp_path / "t").digest()
    forget = tables.forget(tmp_path / "t", tmp_path / "x", "--ids", "r3")
    assert "nothing says what" in call(*forget).err
    data = ("--data", tables.root / "table.csv", "--label", "y", "--id", "name")
    assert call(*forget, *data).code == 0
    assert call("audit", "replay", tmp_path / "x").code == 0
