"""Adoption: what is known of a model from elsewhere, what is out of reach because of it, and what is refused."""

import json
import re
import shutil
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import expunge
from expunge.core.canonical import digest, read_json
from expunge.core.errors import TargetError
from expunge.core.guarantee import Certified, Exact
from expunge.core.manifest import Manifest
from expunge.core.provenance import Plain, Private, Statistics
from expunge.core.registry import methods
from expunge.data.vault import Vault
from expunge.ledger.home import home_path
from expunge.targets.causal_lm import load_causal_lm
from expunge.testing.toy import toy_model
from expunge.workflow import adopt as adopting
from expunge.workflow import verbs
from expunge.workflow.adopt import RECORD, look, reach_of, salt_name


@pytest.fixture
def elsewhere(tmp_path):
    """A model that no run wrote: weights in bfloat16, config and tokenizer."""
    folder = tmp_path / "elsewhere"
    toy_model(seed=4).save(folder)
    (folder / "target.json").unlink()
    weights = {name: tensor.bfloat16() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_what_is_known_is_told_and_what_is_not_is_named(call, elsewhere, world):
    said = call("adopt", "--model", elsewhere, "--json")
    assert (said.code, said.err) == (0, "")
    found, target = said.json, load_causal_lm(elsewhere)
    assert found["digest"] == target.digest() and found["parameters"] == target.parameters
    assert (found["model_type"], found["stored_as"], found["computed_in"]) == ("llama", ["BF16"], ["float32"])
    assert (found["provenance"], found["checked_against"]) == ("Plain", [])
    assert found["training_data"] == "unknown" and "what it was trained on" in found["unknown"]
    assert set(found["digests"]) == {"weights", "config", "tokenizer"}
    card = call("adopt", "--model", world.path("original"), "--json").json
    assert card["checked_against"] == ["target.json"]


def test_a_copy_carries_the_record_and_can_be_worked_with(call, elsewhere, world, tmp_path):
    out = tmp_path / "adopted"
    said = call("adopt", "--model", elsewhere, "--data", world.path("retain.jsonl"), "--out", out, "--json")
    assert said.code == 0, said.err
    record = read_json(out / RECORD)
    name = salt_name(record["training_data"]["salted_digest"])
    assert name in record.pop("check")
    assert record == said.json and "salt" not in said.json
    salt = Vault(home_path()).get(name).decode()
    assert not [
        p for p in (*out.rglob("*"), *home_path().rglob("*")) if p.is_file() and salt.encode() in p.read_bytes()
    ]
    manifest = Manifest.read(out)
    assert {e.path for e in manifest.entries} == {p.name for p in out.iterdir()} - {"manifest.json"}
    assert not manifest.changed(out) and all(e.contains_personal_data for e in manifest.entries)
    data = expunge.load_data(world.path("retain.jsonl"))
    assert record["training_data"]["salted_digest"] == digest([salt, data.digest()]) != data.digest()
    assert record["training_data"]["records"] == len(data.ids())
    assert expunge.adopt(out).digest() == record["digest"]
    again = call("adopt", "--model", out, "--json").json
    assert again["checked_against"] == ["target.json"] and again["digest"] == record["digest"]
    assert not list(out.rglob("*.bin"))


def test_the_log_knows_of_it_once_and_a_dry_run_leaves_nothing(call, elsewhere, tmp_path):
    said = call("adopt", "--model", elsewhere, "--out", tmp_path / "copy", "--dry-run")
    assert said.code == 0 and "nothing was written or logged" in said.out
    assert not (tmp_path / "copy").exists() and not (tmp_path / "home").exists()
    for _ in range(2):
        assert call("adopt", "--model", elsewhere).code == 0
    told = call("ledger", "log", "--json")
    assert told.code == 0
    assert told.out.count('"ADOPT"') == 1
    assert load_causal_lm(elsewhere).digest() in told.out


def test_reach_follows_from_what_methods_need_and_claim(elsewhere):
    target = load_causal_lm(elsewhere)
    rows = {row.guarantee: row for row in reach_of(target)}
    assert list(rows) == ["Exact", "Certified", "Purged", "Empirical", "Suppressed"]
    named = {name for row in rows.values() for name in row.methods}
    refused = {why.split()[0] for row in rows.values() for why in row.why_not} - {"no"}
    assert named | refused == set(methods.names()) and not named & refused
    for name in named:
        assert methods.get(name).needs is Plain
        assert type(methods.get(name).claim).__name__ == next(g for g, r in rows.items() if name in r.methods)
    assert (
        not rows["Exact"].methods
        and "npo" in rows["Empirical"].methods
        and "prompt_filter" in rows["Suppressed"].methods
    )
    assert "a model trained without the records" in rows["Empirical"].earned_by


@dataclass(frozen=True)
class Made:
    """A method or a target that exists only here."""

    needs: Any = Plain
    claim: Any = None
    provenance: Any = None
    recipe: Any = "known"


def test_a_new_method_or_a_better_provenance_changes_what_is_in_reach(monkeypatch):
    given = {
        "noisy": Made(needs=Private, claim=Certified(1.0, 1e-5, "all")),
        "sums": Made(needs=Statistics, claim=Exact("bitwise")),
        "again": Made(claim=Exact("distribution"), recipe=None),
    }
    monkeypatch.setattr(adopting.methods, "items", lambda: list(given.items()))
    plain = {row.guarantee: row for row in reach_of(Made(provenance=Plain()))}
    assert plain["Certified"].why_not == ("noisy needs provenance Private, this target has Plain",)
    assert [why.split()[0] for why in plain["Exact"].why_not] == ["sums", "again"]
    assert plain["Purged"].why_not == ("no registered method claims it",)
    private = {row.guarantee: row for row in reach_of(Made(provenance=Private("pld")))}
    assert private["Certified"].methods == ("noisy",) and not private["Certified"].why_not


def test_the_words_on_the_screen_say_why(call, elsewhere):
    out = call("adopt", "--model", elsewhere).out
    assert re.search(r"Purged +out of reach\n +because ", out) and re.search(r"Certified +by noisy_fine_tuning", out)
    assert "statistics needs provenance Statistics, this target has Plain" in out
    assert re.search(r"not known +what it was trained on", out)


def test_in_python_it_returns_the_target_and_notes_it_only_if_there_is_something_to_note(elsewhere, tmp_path, world):
    target = expunge.adopt(elsewhere)
    assert target.kind == "causal_lm" and not (tmp_path / "home").exists()
    noted = expunge.adopt(elsewhere, data=world.root / "retain.jsonl")
    assert noted.digest() == target.digest() and (tmp_path / "home").exists()


def test_a_pickle_a_missing_path_and_a_full_folder_are_refused(refused, elsewhere, tmp_path, world):
    assert "no model at" in refused(2, "adopt", "--model", tmp_path / "nowhere")
    assert "holds something already" in refused(2, "adopt", "--model", elsewhere, "--out", elsewhere)
    assert "nothing.jsonl" in refused(2, "adopt", "--model", elsewhere, "--data", tmp_path / "nothing.jsonl")
    weights = load_file(elsewhere / "model.safetensors")
    (elsewhere / "model.safetensors").unlink()
    torch.save(weights, elsewhere / "pytorch_model.bin")
    assert "holds only pickled weights" in refused(2, "adopt", "--model", elsewhere, "--out", tmp_path / "new")
    assert "is a pickle" in refused(2, "adopt", "--model", elsewhere / "pytorch_model.bin")


def test_code_that_comes_with_weights_is_never_run(refused, elsewhere):
    config = read_json(elsewhere / "config.json")
    (elsewhere / "code.py").write_text("raise SystemExit('ran')")
    own = {**config, "model_type": "mine", "auto_map": {"AutoModelForCausalLM": "code.Mine"}}
    (elsewhere / "config.json").write_text(json.dumps(own))
    assert "brings code of its own" in refused(2, "adopt", "--model", elsewhere)
    (elsewhere / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    assert "Add a row 'mamba'" in refused(2, "adopt", "--model", elsewhere)
    (elsewhere / "config.json").write_text("[]")
    assert "is not a model's config" in refused(2, "adopt", "--model", elsewhere)
    (elsewhere / "config.json").unlink()
    assert "cannot load" in refused(2, "adopt", "--model", elsewhere)


def test_a_model_that_changed_since_it_was_saved_is_refused(refused, world, tmp_path):
    shutil.copytree(world.root / "original", tmp_path / "changed")
    file = tmp_path / "changed" / "model.safetensors"
    weights = load_file(file)
    name = sorted(weights)[0]
    save_file({**weights, name: weights[name] + 1}, file, metadata={"format": "pt"})
    assert "changed since" in refused(2, "adopt", "--model", tmp_path / "changed")


def test_a_datastore_is_not_a_model(monkeypatch, elsewhere):
    monkeypatch.setattr(verbs, "adopt", lambda source: _Store())
    with pytest.raises(TargetError, match="is a datastore, not a model"):
        look(elsewhere)


class _Store:
    kind = "datastore"
