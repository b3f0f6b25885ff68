"""Language models in parts: what is left after a deletion is, byte for byte, what was never trained on the records."""

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.core.access import Access
from expunge.core.adapter import Adapter
from expunge.core.canonical import digest_folder
from expunge.core.errors import ConfigError, StoreError, TargetError
from expunge.core.provenance import Sharded
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.engine.generate import generate
from expunge.engine.parts.language import load_lm_parts
from expunge.engine.recipes.sharded_adapters import ShardedAdapters
from expunge.engine.recipes.soup import Soup
from expunge.engine.score import score
from expunge.execution.pool import Pool
from expunge.methods.exact.sisa import sisa
from expunge.targets.causal_lm import weights_digest
from expunge.targets.merged import merged
from expunge.targets.shard_manifest import MODEL, assignment, checkpoint_folder, shard_folder
from expunge.testing.toy import toy_corpus, toy_recipe
from expunge.workflow.recipe_file import recipe_of, told
from expunge.workflow.saved import Saved

RECORDS = toy_corpus().of("retain", "forget")
TRAINING = Training(lr=1e-2, epochs=2, batch_size=8)
LORA = Adapter(r=2, alpha=8, targets=("q_proj", "down_proj"))


def adapters(shards=2, slices=2, **more):
    made = {"by": "record", "statement": "drawn at random"} | more
    return ShardedAdapters(toy_recipe().base, TRAINING, LORA, shards=shards, slices=slices, **made)


def soup(**more):
    return Soup(toy_recipe().base, TRAINING, **{"shards": 2, "slices": 2, "by": "record"} | more)


def trained(recipe, records=RECORDS, **more):
    return recipe.train(MemoryStore(records), seed=3, **more)


def without(*ids):
    return type(RECORDS)(e for e in RECORDS if e.record_id not in ids)


def unlearned(target, *ids, **more):
    forget = type(RECORDS)(e for e in RECORDS if e.record_id in ids)
    return sisa.unlearn(target, Selection(forget=forget, retain=without(*ids)), seed=9, **more)


def weights(target):
    return weights_digest(target.model)


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("slices", [1, 2])
def test_merged_weights_are_those_of_a_run_without_the_records(shards, slices):
    recipe, gone = adapters(shards, slices), ("ana-city", "dee-pet", "bo-work")
    target = trained(recipe)
    before = target.digest(), weights(target)
    batched = unlearned(target, *gone)
    stepwise = target
    for name in gone:
        stepwise = unlearned(stepwise, name).target
    fresh = trained(recipe, without(*gone))
    assert weights(batched.target) == weights(stepwise) == weights(fresh) != before[1]
    assert batched.replay.after == batched.target.digest() == stepwise.digest() == fresh.digest()
    assert (target.digest(), weights(target)) == before
    assert batched.target.ids == set(without(*gone).ids)


@given(gone=st.sets(st.sampled_from(RECORDS.ids), min_size=1, max_size=len(RECORDS)))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_records_may_go_from_a_soup(whole_soup, gone):
    found = unlearned(whole_soup, *gone).target
    if gone == set(RECORDS.ids):
        assert weights(found) == weights(whole_soup.trainer.frozen())
    else:
        assert weights(found) == weights(trained(soup(), without(*gone)))


@pytest.fixture(scope="module")
def whole_soup():
    return trained(soup())


@pytest.fixture(scope="module")
def whole():
    return trained(adapters(shards=3))


def test_a_deletion_touches_the_files_of_one_shard(whole, tmp_path):
    found = unlearned(whole, "ana-city", workdir=tmp_path).target
    (hit,) = (m.shard for m in whole.manifests if "ana-city" in m.ids)
    for manifest in whole.manifests:
        old, new = (shard_folder(t.folder, manifest.shard) for t in (whole, found))
        assert (digest_folder(old) == digest_folder(new)) == (manifest.shard != hit)
        inodes = [sorted(p.stat().st_ino for p in f.rglob("*.safetensors")) for f in (old, new)]
        assert (inodes[0] == inodes[1]) == (manifest.shard != hit)
    texts = [p.read_text("utf-8") for p in found.folder.rglob("*.json*")]
    assert texts and not any("ana-city" in text for text in texts)


def test_the_merged_weights_are_the_sum_over_the_files(whole):
    states = [whole.trainer.load(whole.parts.model_folder(m.shard)).weights for m in whole.manifests]
    assert whole.lm.digest() == merged(whole.trainer.frozen(), states, LORA).digest()
    summed = trained(adapters(shards=3, combine="sum"))
    assert summed.lm.digest() == merged(whole.trainer.frozen(), states, LORA, combine="sum").digest()
    assert summed.digest() != whole.digest()


def test_the_cost_is_counted_in_tokens(whole):
    outcome = unlearned(whole, "ana-city")
    told = outcome.notes["replayed"]
    assert outcome.cost.tokens == told["tokens"] > 0
    assert told["tokens_of_all"] == outcome.target.tokens()
    assert told["share_of_retraining"] == pytest.approx(told["tokens"] / told["tokens_of_all"])
    assert told["share_of_retraining"] < 1
    assert outcome.notes["base"]["statement"] == "drawn at random"
    assert "not checked" in outcome.notes["base"]["by"]


@pytest.mark.parametrize("inference", ["average", "route"])
def test_a_mixture_is_unlearned_alike_and_grants_no_weights(inference):
    recipe = adapters(inference=inference)
    target = trained(recipe)
    found, fresh = unlearned(target, "ana-city").target, trained(recipe, without("ana-city"))
    assert found.digest() == fresh.digest()
    assert found.lm.digest() == fresh.lm.digest() != target.lm.digest()
    oracle = found.oracle(Access.all())
    assert oracle.access == Access.TEXT | Access.LOGPROBS
    assert score(oracle, RECORDS, ["token_logp"])["token_logp"].sum(1).max() < 0
    assert len(generate(oracle, [RECORDS[0].question], max_new_tokens=3)) == 1
    with pytest.raises(TargetError):
        found.clone()
    with pytest.raises(TargetError):
        found.at_once(["bo-work"])
    if inference == "route":
        asked = ["Where does Cy live?"] * 2
        nearest, known = found.route(asked, ["", "Cy"])
        assert nearest.by == "nearest"
        assert nearest.shard == min(nearest.distances, key=nearest.distances.get)
        assert nearest.distances == known.distances
        assert len(nearest.distances) == 2
        held = [sum(name.startswith("cy-") for name in manifest.ids) for manifest in found.manifests]
        assert known.by == "subject"
        assert known.shard == held.index(max(held))
        assert sum(known.records.values()) == 3
        assert found.part(known.shard).digest() != found.part(1 - known.shard).digest()


def test_merged_parts_are_a_language_model_like_any_other(whole):
    assert whole.kind == "causal_lm"
    assert isinstance(whole.provenance, Sharded)
    assert len(whole.provenance.manifests) == 3
    assert whole.oracle(Access.all()).access == Access.all()
    plain = whole.clone()
    assert weights(plain) == weights(whole)
    with torch.no_grad():
        next(plain.model.parameters()).add_(1.0)
    assert weights(plain) != weights(whole)
    rows = [score(source, RECORDS, ["token_logp"])["token_logp"] for source in (whole, whole.lm)]
    assert (rows[0] == rows[1]).all()


def test_what_is_saved_is_loaded_and_what_was_changed_is_refused(whole, tmp_path):
    whole.save(tmp_path / "copy")
    found = Saved(tmp_path / "copy").target
    assert found.digest() == load_lm_parts(tmp_path / "copy").digest() == whole.digest()
    assert found.lm.digest() == whole.lm.digest()
    file = checkpoint_folder(shard_folder(tmp_path / "copy", 1), 1) / MODEL / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.unlink()
    file.write_bytes(bytes(data))
    with pytest.raises(TargetError, match="changed"):
        load_lm_parts(tmp_path / "copy")
    with pytest.raises(TargetError, match="no target"):
        load_lm_parts(tmp_path)


def test_an_unknown_record_and_one_that_is_gone_are_refused(whole):
    with pytest.raises(StoreError, match="not in this model"):
        sisa.unlearn(whole, Selection(forget=toy_corpus().of("holdout"), retain=RECORDS), seed=0)
    once = unlearned(whole, "ana-city").target
    with pytest.raises(StoreError, match="not in this model"):
        unlearned(once, "ana-city")
    for name in ("nobody", "ana-city"):
        with pytest.raises(StoreError, match=f"record '{name}' is not in this model"):
            once.at_once([name])


def test_layered_adapters_answer_at_once_and_then_exactly():
    recipe = adapters(1, 2, layered=True, orders=2)
    target = trained(recipe)
    assert [m.slices for m in target.manifests] == [target.manifests[0].slices, target.manifests[0].slices[::-1]]
    first, second = target.manifests[0].slices
    for name, order in ((second[0], 0), (first[0], 1)):
        found = target.at_once([name])
        assert found.kept == {0: (order, 1)}
        place = checkpoint_folder(shard_folder(target.folder, order), 0) / MODEL
        state = target.trainer.load(place)
        assert {n.split(".")[2] for n in state.weights} == {"1"}
        assert found.lm.digest() == target.trainer.joined([state]).digest() != target.lm.digest()
        # What answers meanwhile is what training that stopped before the slice gives without the record, too.
        fresh = trained(recipe, without(name))
        assert fresh.at_once(fresh.manifests[order].slices[1]).lm.digest() == found.lm.digest()
        done = unlearned(target, name).target
        assert done.digest() == fresh.digest()
        assert done.lm.digest() == fresh.lm.digest()
    both = target.at_once([first[0], second[0]])
    assert both.kept == {0: (0, 0)}
    assert both.lm.digest() == target.trainer.frozen().digest()


@pytest.mark.slow
def test_workers_change_no_byte(whole):
    assert trained(adapters(shards=3), pool=Pool(workers=2)).digest() == whole.digest()


def test_subjects_stay_together_and_places_may_be_given():
    manifests = adapters(3, 2, by="subject").sisa().manifests(MemoryStore(RECORDS), seed=3)
    places = assignment(manifests)
    assert {e.subject: places[e.record_id] for e in RECORDS} == {
        e.subject: places[e.record_id] for e in reversed(RECORDS)
    }
    assert len({m.shard for m in manifests if m.ids}) > 1
    places = {name: (number % 2, 0) for number, name in enumerate(RECORDS.ids)}
    placed = adapters(2, 1, places=places).sisa().manifests(MemoryStore(RECORDS), seed=3)
    assert [len(m.ids) for m in placed] == [8, 7]


@pytest.mark.parametrize("recipe", [adapters(), adapters(places=dict.fromkeys(RECORDS.ids, (0, 1))), soup()])
def test_a_recipe_is_its_json(recipe):
    again = recipe_of(told(recipe))
    assert again == recipe
    assert again.digest() == recipe.digest() == replace(recipe, salt="ab", statement="x").digest()
    assert replace(recipe, inference="average").digest() != recipe.digest()


@pytest.mark.parametrize(
    "wrong",
    [
        {"slice_epochs": (1,)},
        {"orders": 0},
        {"places": {"x": (5, 0)}},
        {"training": Training(lr=1e-2, steps=3)},
        {"training": Training(lr=1e-2, epochs=1.5)},
        {"adapter": Adapter(kind="ia3")},
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ConfigError):
        trained(replace(adapters(), **wrong))
