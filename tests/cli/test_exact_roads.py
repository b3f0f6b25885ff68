"""Roads of exact deletion from the first command to the last: language models in parts, and coresets."""

import json
import os

import pytest
import yaml
from pydantic import TypeAdapter

from expunge.core.access import Access
from expunge.core.example import Examples
from expunge.data.jsonl import dump_examples
from expunge.data.memory import MemoryStore
from expunge.data.table import open_table
from expunge.engine.score import score
from expunge.targets.learners import coreset, nearest_centroid
from expunge.targets.llama_spec import LlamaSpec
from expunge.testing.toy import toy_corpus, toy_recipe
from expunge.workflow import audit_replay
from expunge.workflow.recipe_file import read_recipe
from expunge.workflow.verbs import adopt

from .exact_cases import here, make_tables

GONE = ("ana-city", "bo-pet")
KEPT = toy_corpus().of("forget", "retain", "general")
STATEMENT = "nothing: its weights were drawn"
PARTS = [
    ("sharded_adapters", "route"),
    ("soup", "average"),
    pytest.param("sharded_adapters", "average", marks=pytest.mark.slow),
    pytest.param("soup", "route", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return make_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(autouse=True)
def same_process(monkeypatch):
    monkeypatch.setattr(audit_replay, "apply", here)
    # No power is lost here: waiting for the disk would take most of the time.
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def run_again(call, run):
    """Certify, have it run again, certify again, verify; returns the second certificate."""
    said = call("certify", run, "--json")
    assert said.code == 0 and said.json["earned"]["model"] == {"type": "Exact", "equality": "distribution"}
    audit = call("audit", "replay", said.json["path"], "--json")
    assert (audit.code, audit.err) == (0, "")
    assert audit.json["equal"] and audit.json["committed"] and not audit.json["differing"]
    said = call("certify", run, "--json")
    assert said.code == 0 and said.json["earned"]["model"] == {"type": "Exact", "equality": "bitwise"}
    verified = call("verify", said.json["path"])
    assert verified.code == 0 and "model: Exact (bit for bit)" in verified.out and "verified" in verified.out
    return said.json["certificate"]


def written(folder, recipe, how):
    """A recipe file of a language model in parts, and its data."""
    base = TypeAdapter(LlamaSpec).dump_python(toy_recipe(hidden=8, layers=1).base, mode="json")
    body = {"recipe": recipe, "base": base, "training": {"lr": 0.01, "epochs": 1, "batch_size": 8}, "shards": 2}
    more = {"adapter": {"r": 2, "alpha": 4, "targets": ["q_proj"]}} if recipe == "sharded_adapters" else {}
    (folder / "parts.yaml").write_text(yaml.safe_dump({**body, **more, "inference": how, "statement": STATEMENT}))
    (folder / "records.jsonl").write_bytes(dump_examples(toy_corpus()))
    return ["--recipe", folder / "parts.yaml", "--data", folder / "records.jsonl"]


@pytest.mark.parametrize(("recipe", "how"), PARTS, ids=lambda value: value)
def test_a_mixture_of_parts_is_forgotten_from_run_again_and_certified(recipe, how, call, tmp_path):
    trained, run = tmp_path / "trained", tmp_path / "x"
    made = call("train", *written(tmp_path, recipe, how), "--out", trained, "--json")
    assert (made.code, made.err, made.json["provenance"]) == (0, "", "Sharded")
    asked = ["unlearn", "--model", trained, "--method", "sisa", "--ids", ",".join(GONE), "--out", run, "--json"]
    said = call(*asked)
    assert (said.code, said.err, said.json["before"]) == (0, "", made.json["digest"])

    certificate = run_again(call, run)
    notes = dict(certificate["notes"])
    assert notes["inference"] == how
    assert json.loads(notes["base"]) == {"statement": STATEMENT, "by": "whoever trained it; not checked"}
    assert json.loads(notes["replayed"])["tokens"] == notes["cost"].split(", ")[1].split()[0]
    assert not any(name in json.dumps(certificate) for name in GONE)
    left = " ".join(place["path"] for place in certificate["residue"])
    assert "the original model: shards" in left

    # What answers is what training without the records gives, and is asked as text only.
    after = adopt(run / "unlearned")
    [replay] = certificate["artefacts"][0]["evidence"]
    assert after.digest() == said.json["after"] == replay["after"] == replay["equals"]
    recipe_again = read_recipe(str(tmp_path / "parts.yaml"), {"salt": after.card["salt"]})
    kept = Examples(e for e in KEPT if e.record_id not in GONE)
    scratch = recipe_again.train(MemoryStore(kept), seed=0)
    assert scratch.digest() == after.digest() and scratch.lm.digest() == after.lm.digest()
    oracle = after.oracle(Access.all())
    assert oracle.access == Access.TEXT | Access.LOGPROBS
    told_by = [score(m.oracle(Access.all()), kept, ["token_logp"])["token_logp"] for m in (after, adopt(trained))]
    assert told_by[0].shape == told_by[1].shape and (told_by[0] != told_by[1]).any()


def test_a_mixture_whose_part_was_emptied_answers_with_the_rest(call, tmp_path):
    trained, run = tmp_path / "trained", tmp_path / "x"
    assert call("train", *written(tmp_path, "sharded_adapters", "route"), "--out", trained).code == 0
    emptied = adopt(trained).manifests[0].ids
    asked = ["unlearn", "--model", trained, "--method", "sisa", "--ids", ",".join(emptied), "--out", run]
    assert call(*asked).code == 0
    run_again(call, run)
    after = adopt(run / "unlearned")
    assert {place.shard for place in after.route([e.question for e in KEPT])} == {1}


def trained_coreset(call, tables, out, *more):
    given = ("--set", "learner=nearest_centroid", "--set", "per_class=4", *more)
    said = call(*tables.train(out, *given, "--json", recipe="coreset", data="classes.csv"))
    assert (said.code, said.err, said.json["provenance"]) == (0, "", "Statistics")
    return adopt(out)


@pytest.mark.parametrize("weighted", [False, True], ids=["even", "weighted"])
@pytest.mark.parametrize("row", ["chosen", "never chosen"])
def test_a_certificate_says_what_a_coreset_had_to_do(row, weighted, tables, call, tmp_path):
    trained, run = tmp_path / "trained", tmp_path / "x"
    target = trained_coreset(call, tables, trained, "--set", f"weighted={str(weighted).lower()}")
    store = open_table(tables.root / "classes.csv", label="y", id="name")
    others = sorted(set(store.ids()) - set(target.estimator.chosen_))
    rest = {
        name: coreset(nearest_centroid(), per_class=4, weighted=weighted).fit(*_rows(store, name)) for name in others
    }
    # A row that was never chosen may still have decided: one is taken without which the same are chosen.
    same = [name for name in others if rest[name].chosen_ == target.estimator.chosen_]
    name = target.estimator.chosen_[0] if row == "chosen" else same[0]
    assert call(*tables.forget(trained, run, "--ids", name)).code == 0

    certificate = run_again(call, run)
    said = dict(certificate["notes"])["deletion"]
    if row == "chosen":
        assert said.startswith("other rows are chosen; the learner was fitted anew")
    elif weighted:
        assert said.startswith("the learner unlearned 1 of 60 weighted rows")
    else:
        assert said.startswith("selection and weights are the same without the rows; the learner never used them")
    after = adopt(run / "unlearned")
    scratch = coreset(nearest_centroid(), per_class=4, weighted=weighted).fit(*_rows(store, name))
    assert after.estimator.digest() == scratch.digest() and name not in after.ids
    assert (after.estimator.predict(store.X) == scratch.predict(store.X)).all()
    assert (after.estimator.chosen_ == target.estimator.chosen_) == (row != "chosen")
    assert name not in json.dumps(certificate)


def _rows(store, name):
    """All rows but one, as ``fit`` takes them."""
    rest = store.without([name])
    return rest.X, rest.y, rest.ids()
