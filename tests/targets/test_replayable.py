"""A replayable model on disk: a model like any other, and beside it all that its replay needs."""

import json
from dataclasses import replace

import pytest

from expunge.core.errors import StoreError, TargetError
from expunge.core.example import Examples
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.engine.recipes.replayable import Replayable
from expunge.engine.score import score
from expunge.methods.exact.replay import replay
from expunge.targets.causal_lm import load_causal_lm
from expunge.targets.replayable import load_replayable
from expunge.testing.toy import toy_recipe, toy_selection
from expunge.workflow.saved import Saved

EVERYONE = toy_selection().retain + toy_selection().forget


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    training = Training(lr=1e-2, epochs=1, batch_size=2, save_every=2)
    target = Replayable(toy_recipe(hidden=8, layers=1).base, training, parts=2).train(MemoryStore(EVERYONE), seed=2)
    folder = tmp_path_factory.mktemp("saved") / "model"
    return target, folder, target.save(folder)


def test_a_saved_target_comes_back_and_can_be_replayed(saved):
    target, folder, _ = saved
    found = load_replayable(folder)
    assert found.digest() == target.digest() and found.provenance == target.provenance
    assert found.record.order() == target.record.order() and found.ids == target.ids
    gone = replace(EVERYONE.by_id["ana-pet"], role="forget")
    kept = Examples(e for e in EVERYONE if e.record_id != "ana-pet")
    ends = {replay.unlearn(one, Selection(Examples([gone]), kept), seed=0).target.digest() for one in (target, found)}
    assert len(ends) == 1 and found.digest() not in ends


def test_it_is_a_model_like_any_other(saved):
    target, folder, _ = saved
    plain = load_causal_lm(folder)
    assert plain.digest() == target.digest() and Saved(folder).provenance == target.provenance
    assert (target.parameters, target.weights, target.on_long) == (plain.parameters, plain.weights, plain.on_long)
    one, other = (score(model, EVERYONE, ["token_logp"])["token_logp"] for model in (target, plain))
    assert (one == other).all()


def test_all_that_was_made_of_records_is_named_as_personal(saved):
    _, folder, manifest = saved
    personal = {e.path for e in manifest.entries if e.contains_personal_data}
    assert {"training/record.json", "training/order.jsonl", "model.safetensors"} <= personal
    assert any(name.endswith("optimizer.safetensors") for name in personal)
    assert {e.path for e in manifest.entries} - personal >= {"config.json", "target.json"}
    assert not manifest.changed(folder)


def test_checkpoints_take_no_second_room(saved):
    target, folder, _ = saved
    name = "checkpoints/part-1-step-2/optimizer.safetensors"
    assert (folder / "training" / name).stat().st_ino == (target.record.folder / name).stat().st_ino


def test_a_folder_that_was_tampered_with_is_refused(saved, tmp_path):
    target, _, _ = saved
    target.save(tmp_path / "model")
    card = tmp_path / "model" / "training" / "record.json"
    told = json.loads(card.read_text())
    card.unlink()
    card.write_text(json.dumps({**told, "result": "sha256:" + "0" * 64}))
    with pytest.raises(TargetError, match="is of another training"):
        load_replayable(tmp_path / "model")
    card.write_text(json.dumps({**told, "seed": "many"}))
    with pytest.raises(StoreError, match="is no record of a training"):
        load_replayable(tmp_path / "model")
    card.unlink()
    with pytest.raises(StoreError, match="cannot read"):
        load_replayable(tmp_path / "model")
