"""Language models that expunge train makes: forgotten, run again in another folder, and certified bit for bit."""

import contextlib
import json
import os
import shutil
from dataclasses import replace
from unittest import mock

import pytest

from expunge.core.adapter import Adapter
from expunge.core.errors import ClaimError, EvidenceError, TargetError
from expunge.core.guarantee import Exact
from expunge.core.manifest import Manifest
from expunge.core.training import Training
from expunge.data.jsonl import dump_examples
from expunge.data.memory import MemoryStore
from expunge.engine.recipes.replayable import Replayable, Revocable
from expunge.engine.recipes.sharded_adapters import ShardedAdapters
from expunge.engine.recipes.soup import Soup
from expunge.testing.toy import toy_corpus, toy_recipe
from expunge.workflow import audit_replay
from expunge.workflow.audit_replay import replay
from expunge.workflow.exact import Asked, unlearn_exact
from expunge.workflow.recipe_file import recipe_of
from expunge.workflow.single import certify_folder
from expunge.workflow.train import train
from expunge.workflow.training_record import Trained
from expunge.workflow.verbs import adopt

BASE = toy_recipe(hidden=8, layers=1).base
STEPS = Training(lr=1e-2, steps=6, batch_size=8, save_every=2)
EPOCHS = Training(lr=1e-2, epochs=1, batch_size=8)
GONE = ("ana-city", "bo-pet")
CASES = {
    "replayable": (Replayable(base=BASE, training=STEPS, parts=2), "replay"),
    "adapters": (
        ShardedAdapters(base=BASE, training=EPOCHS, adapter=Adapter(r=2, alpha=4, targets=("q_proj",)), shards=2),
        "sisa",
    ),
    "soup": (Soup(base=BASE, training=EPOCHS, shards=2), "sisa"),
}


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("EXPUNGE_HOME", str(tmp_path / "home"))


def here(function, items, **_):
    """What a worker does, in this process, which is put back."""
    with contextlib.chdir("."), mock.patch.dict(os.environ):
        return [function(item) for item in items]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(dump_examples(toy_corpus()))
    return path


def test_who_is_forgotten_is_not_named_in_the_record_of_the_training_any_more(data, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)
    last = Revocable(subjects=("Ana", "Bo"), ids=("ana-city", "cy-city"))
    recipe = Replayable(base=BASE, training=replace(STEPS, steps=2), last=last)
    train(recipe, data, seed=3, out=tmp_path / "trained")
    everything = tuple(e.record_id for e in toy_corpus() if e.subject == "Ana" and e.role in ("forget", "retain"))
    unlearn_exact(Asked(str(tmp_path / "trained"), ids=everything), "replay", tmp_path / "x", settings={})
    before, after = (Trained.read(tmp_path / name) for name in ("trained", "x/unlearned"))
    assert before.recipe["last"]["subjects"] == ["Ana", "Bo"]
    assert after.recipe["last"] == {**before.recipe["last"], "subjects": ["Bo"], "ids": ["cy-city"]}
    assert after.recipe_digest == recipe_of(after.recipe).digest() != before.recipe_digest
    assert "ana-" not in (tmp_path / "x" / "unlearned" / "training.json").read_text()
    # What is left of the recipe is held against the whole one, which the model before still has.
    found = replay(tmp_path / "x")
    assert found.equal and found.committed == replace(found.committed, known=True, why="")
    shutil.rmtree(tmp_path / "trained")
    found = replay(tmp_path / "x")
    assert found.equal and not found.committed.known and found.note is None


@pytest.mark.parametrize("name", ["replayable", "soup"])
def test_a_model_that_is_another_than_its_result_states_is_not_called_equal(name, data, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)
    recipe, method = CASES[name]
    train(recipe, data, seed=3, out=tmp_path / "trained")
    unlearn_exact(Asked(str(tmp_path / "trained"), ids=GONE), method, tmp_path / "x", settings={})
    record = (tmp_path / "x" / "unlearned" / "training.json").read_bytes()
    shutil.rmtree(tmp_path / "x" / "unlearned")
    shutil.copytree(tmp_path / "trained", tmp_path / "x" / "unlearned")
    (tmp_path / "x" / "unlearned" / "training.json").write_bytes(record)
    Manifest.of(tmp_path / "x").write(tmp_path / "x")
    with pytest.raises(EvidenceError, match="is another than its result states"):
        replay(tmp_path / "x")


@pytest.mark.parametrize("name", CASES)
def test_everything_forgotten_is_run_again_too(name, data, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)
    recipe, method = CASES[name]
    train(recipe, data, seed=3, out=tmp_path / "trained")
    everyone = toy_corpus().of("forget", "retain", "general").ids
    unlearn_exact(Asked(str(tmp_path / "trained"), ids=everyone), method, tmp_path / "x", settings={})
    found = replay(tmp_path / "x")
    assert found.equal and found.records == 0


def test_a_base_in_the_folder_of_the_training_is_found_from_another(data, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)
    monkeypatch.chdir(tmp_path)
    toy_recipe(hidden=8, layers=1).train(MemoryStore(toy_corpus().of("general")), seed=1).save(tmp_path / "base")
    target = train(Soup(base="base", training=EPOCHS, shards=2), data, seed=3, out=tmp_path / "trained")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert adopt(tmp_path / "trained").digest() == target.digest()
    unlearn_exact(Asked(str(tmp_path / "trained"), ids=GONE), "sisa", tmp_path / "x", settings={})
    assert replay(tmp_path / "x").equal
    # Where data and base lie is for whoever holds the run: nothing that others are given says it.
    certify_folder(tmp_path / "x")
    given = [path for top in ("x/certificates", "home") for path in (tmp_path / top).rglob("*") if path.is_file()]
    assert {path.name for path in given} >= {"model.certificate.json", "model.replay.json"}
    assert not [path for path in given if str(tmp_path).encode() in path.read_bytes()]
    assert str(tmp_path) in (tmp_path / "x" / "unlearned" / "training.json").read_text()


@pytest.mark.parametrize("name", CASES)
def test_a_reference_never_saw_the_records_and_is_none_of_the_results(name, data, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)
    recipe, method = CASES[name]
    target = train(recipe, data, seed=3, out=tmp_path / "trained")
    asked, digests = Asked(str(tmp_path / "trained"), ids=GONE), [target.digest()]
    for out, way, seed in (("x", method, 0), ("reference", "retrain", 7), ("second", "retrain", 8)):
        outcome = unlearn_exact(asked, way, tmp_path / out, settings={}, seed=seed)
        digests.append(outcome.target.digest())
        assert not set(GONE) & set(adopt(tmp_path / out / "unlearned").ids)
    assert len(set(digests)) == 4
    found = replay(tmp_path / "reference")
    assert found.equal and not found.committed.known, "the log was told of another seed"
    assert Trained.read(tmp_path / "reference" / "unlearned").seed == 7


LORA = Adapter(r=2, alpha=4, targets=("q_proj",))


@pytest.mark.parametrize(
    ("made", "method"),
    [
        (lambda base: Soup(base=base, training=EPOCHS, shards=1), "sisa"),
        (lambda base: ShardedAdapters(base=base, training=EPOCHS, adapter=LORA, shards=1), "sisa"),
        (lambda base: Replayable(base=base, training=replace(STEPS, steps=2)), "replay"),
    ],
    ids=["soup", "adapters", "replayable"],
)
def test_a_base_that_moved_is_named_and_counts_again_only_as_it_was(made, method, data, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)
    base, moved = tmp_path / "base", tmp_path / "moved"
    toy_recipe(hidden=8, layers=1).train(MemoryStore(toy_corpus().of("general")), seed=1).save(base)
    train(made(str(base)), data, seed=3, out=tmp_path / "trained")
    asked = Asked(str(tmp_path / "trained"), ids=GONE)
    unlearn_exact(asked, method, tmp_path / "x", settings={})
    base.rename(moved)
    gone = rf"the base of .* is not at {base}.*Put it back, or a link"
    with pytest.raises(TargetError, match=gone):
        replay(tmp_path / "x")
    with pytest.raises(TargetError, match=gone):
        unlearn_exact(asked, method, tmp_path / "y", settings={})
    assert not (tmp_path / "y").exists()
    base.symlink_to(moved)
    assert replay(tmp_path / "x").equal
    base.unlink()
    toy_recipe(hidden=8, layers=1).train(MemoryStore(toy_corpus().of("general")), seed=2).save(base)
    with pytest.raises((EvidenceError, TargetError), match=r"Restore the base as it was|or its base did"):
        replay(tmp_path / "x")
    with pytest.raises((TargetError, ClaimError), match=r"or its base did|started from is not what it was"):
        unlearn_exact(asked, method, tmp_path / "y", settings={})


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_was_forgotten_is_run_again_from_scratch_to_the_same_bytes(name, data, tmp_path):
    recipe, method = CASES[name]
    target = train(recipe, data, seed=3, out=tmp_path / "trained")
    record = json.loads((tmp_path / "trained" / "training.json").read_text())
    # Records that no model may see are not trained on.
    assert record["records"] == len(toy_corpus().of("forget", "retain", "general"))
    asked = Asked(str(tmp_path / "trained"), ids=GONE)
    outcome = unlearn_exact(asked, method, tmp_path / "x", settings={})
    assert outcome.before == target.digest() != outcome.target.digest()
    found = replay(tmp_path / "x")
    assert (
        found.equal
        and found.committed.known
        and not found.committed.why
        and found.records == record["records"] - len(GONE)
    )
    certificate, _ = certify_folder(tmp_path / "x")
    assert certificate.earned == Exact("bitwise")
    assert adopt(tmp_path / "trained").digest() == outcome.before
    # What came out can itself forget.
    more = Asked(str(tmp_path / "x" / "unlearned"), ids=("cy-city",))
    assert unlearn_exact(more, method, tmp_path / "y", settings={}).before == outcome.target.digest()
