"""``kill -9`` of a worker or of the command itself, in training and in deletion: the old model stays, and no step that
has a checkpoint is taken twice."""

import os
import sys

import pytest

from expunge.core.canonical import digest_folder
from expunge.core.errors import TargetError
from expunge.engine.parts.building import load_sharded
from expunge.workflow.verbs import adopt

from . import dying_cases
from .dying_cases import STEPS, killed, steps, told
from .exact_cases import make_tables

ALL = 2 * STEPS
REHEARSED = 1
"""On a few rows, before a training is committed to."""
AT = 8
"""Of seven steps of two shards one has taken four: a slice of three, whose checkpoint was then written."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = make_tables(tmp_path_factory.mktemp("tables"))
    dying_cases.make_dying(root.root)
    return root


@pytest.fixture(autouse=True)
def modules(tables, monkeypatch):
    monkeypatch.syspath_prepend(tables.root)
    # No power is lost here: waiting for the disk would take most of the time.
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    yield
    sys.modules.pop(dying_cases.MODULE, None)


def train(tables, out, *more):
    return tables.train(out, *more, recipe="dying.yaml", data="classes.csv")


def forget(tables, tmp_path, out, *more):
    """The command that forgets a record of the first slice of each shard, so that all is trained again."""
    first = [manifest.slices[0][0] for manifest in load_sharded(tmp_path / "trained").manifests]
    return tables.forget(tmp_path / "trained", tmp_path / out, "--ids", ",".join(first), *more, method="sisa")


def made(folder):
    """Checkpoint -> when it was written; without what was half-written."""
    found = folder.glob("shards/[0-9]*/slices/[0-9]*/made.json")
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in found}


def half_written(folder):
    return [path for path in folder.rglob("*") if ".part-" in path.name]


def counting(monkeypatch, count):
    """Count the steps of this process and of its workers from now on; nobody dies."""
    for name, value in told(count, at=10**6, whom="self").items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_a_killed_training_goes_on_after_its_last_checkpoint_and_comes_to_the_same_bytes(
    tables, call, leaves, tmp_path, monkeypatch
):
    killed(train(tables, tmp_path / "out"), tables.root, **told(tmp_path / "died", at=AT, whom="self"))
    assert steps(tmp_path / "died") == AT
    work = tmp_path / "out" / ".work" / "sharded"
    kept = made(work)
    assert len(kept) == 2 and not (tmp_path / "out" / "manifest.json").exists()
    with pytest.raises(TargetError, match="no target in"):
        load_sharded(work)
    early = call(*tables.forget(tmp_path / "out", tmp_path / "x", "--ids", "r3", method="sisa"))
    assert early.code == 2 and "holds no model. a run in it was stopped" in early.words
    counting(monkeypatch, tmp_path / "again")
    assert call(*train(tables, tmp_path / "out")).code == 0
    assert steps(tmp_path / "again") == REHEARSED + ALL - 3 * len(kept)
    assert [leaf.entry.kind for leaf in leaves()] == ["KEY", "TRAIN", "TRAINED"]
    assert made(tmp_path / "out").items() >= kept.items() and not half_written(tmp_path)
    assert call(*train(tables, tmp_path / "whole")).code == 0
    assert adopt(tmp_path / "whole").digest() == adopt(tmp_path / "out").digest()
    for name in ("estimator.json", "estimator.safetensors"):
        whole, out = ([p.read_bytes() for p in sorted((tmp_path / n).rglob(name))] for n in ("whole", "out"))
        assert whole == out != []


@pytest.mark.slow
def test_a_worker_that_is_killed_in_a_deletion_is_replaced(tables, call, tmp_path, monkeypatch):
    assert call(*train(tables, tmp_path / "trained")).code == 0
    calm = call(*forget(tables, tmp_path, "calm", "--json"))
    before = digest_folder(tmp_path / "trained")
    for name, value in told(tmp_path / "count", at=AT, whom="self").items():
        monkeypatch.setenv(name, value)
    said = call(*forget(tables, tmp_path, "x", "--workers", "2", "--json"))
    assert said.code == 0 and (tmp_path / "count.died").exists()
    assert said.json["after"] == calm.json["after"] != said.json["before"]
    # Only the slice in which it died is begun again.
    assert ALL < steps(tmp_path / "count") <= ALL + 3
    assert digest_folder(tmp_path / "trained") == before
    assert not half_written(tmp_path) and not (tmp_path / "x" / ".work").exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_a_killed_deletion_leaves_the_old_model_and_goes_on_to_the_same_result(
    workers, tables, call, leaves, tmp_path, monkeypatch
):
    assert call(*train(tables, tmp_path / "trained")).code == 0
    calm = call(*forget(tables, tmp_path, "calm", "--json")).json
    before, told_before = digest_folder(tmp_path / "trained"), len(leaves())
    whom = "parent" if workers else "self"
    command = forget(tables, tmp_path, "x", "--json", *workers)
    killed(command, tables.root, **told(tmp_path / "died", at=AT, whom=whom))
    # The workers ended with it: nothing is trained behind anybody's back.
    assert AT <= (taken := steps(tmp_path / "died")) < ALL

    assert digest_folder(tmp_path / "trained") == before
    assert adopt(tmp_path / "trained").digest() == calm["before"]
    for asked in (["certify", tmp_path / "x"], ["audit", "replay", tmp_path / "x"]):
        said = call(*asked)
        assert said.code == 2 and "holds no result" in said.err
    more = call(*tables.forget(tmp_path / "x", tmp_path / "y", "--ids", "r3", method="sisa"))
    assert more.code == 2 and "holds no model. a run in it was stopped" in more.words
    [work] = (tmp_path / "x" / ".work").glob("without-*")
    for folder in (work, tmp_path / "x", tmp_path / "x" / "unlearned"):
        assert not (folder / "target.json").exists()
    with pytest.raises(TargetError, match="no target in"):
        load_sharded(work)
    kept = made(work)
    assert 1 <= len(kept) <= taken // 3
    assert "another request was begun" in call(*tables.forget(
        tmp_path / "trained", tmp_path / "x", "--ids", "r59", method="sisa"
    )).err  # fmt: skip

    counting(monkeypatch, tmp_path / "again")
    again = call(*command)
    assert (again.code, again.err) == (0, "") and steps(tmp_path / "died") == taken
    assert again.json["after"] == calm["after"] and steps(tmp_path / "again") == ALL - 3 * len(kept)
    assert made(tmp_path / "x" / "unlearned").items() >= kept.items()
    assert not half_written(tmp_path) and not (tmp_path / "x" / ".work").exists()
    assert not list(tmp_path.glob(".*"))
    # The log was told once how it would be answered.
    assert [leaf.entry.kind for leaf in leaves()[told_before:]] == ["PLAN"]
    assert call("certify", tmp_path / "x").code == 0
    assert digest_folder(tmp_path / "trained") == before


@pytest.mark.parametrize(
    "place",
    [
        "expunge.engine.parts.building._close",
        "expunge.workflow.training_record.Trained.write",
        "expunge.workflow.single.write_manifest",
    ],
)
def test_wherever_a_deletion_stops_there_is_no_result_and_no_step_is_taken_again(
    place, tables, call, tmp_path, monkeypatch
):
    assert call(*train(tables, tmp_path / "trained")).code == 0
    before = digest_folder(tmp_path / "trained")

    def stop(*_, **__):
        raise KeyboardInterrupt

    counting(monkeypatch, tmp_path / "count")
    with monkeypatch.context() as patch:
        patch.setattr(place, stop)
        assert call(*forget(tables, tmp_path, "x")).code == 130
    assert steps(tmp_path / "count") == ALL
    assert "holds no result" in call("certify", tmp_path / "x").err
    assert digest_folder(tmp_path / "trained") == before
    said = call(*forget(tables, tmp_path, "x", "--json"))
    assert said.code == 0 and steps(tmp_path / "count") == ALL
    assert said.json["after"] == adopt(tmp_path / "x" / "unlearned").digest()
    assert call("certify", tmp_path / "x").code == 0 and not half_written(tmp_path)
