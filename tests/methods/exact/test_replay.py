"""A replay gives, byte for byte, what training from scratch without the forgotten records gives; on CPU, one thread."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from expunge.core.adapter import Adapter
from expunge.core.canonical import digest_file, digest_folder, read_json
from expunge.core.earning import earn
from expunge.core.errors import ClaimError, StoreError
from expunge.core.example import Examples
from expunge.core.guarantee import Exact
from expunge.core.progress import listening
from expunge.core.provenance import Replayable as Known
from expunge.core.selection import Selection
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.engine.recipes.replayable import Replayable, Revocable, recipe_of
from expunge.methods.exact._kept import salted
from expunge.methods.exact.replay import replay
from expunge.targets.causal_lm import CausalLM
from expunge.targets.replay_record import ReplayRecord
from expunge.targets.replayable import ReplayableLM
from expunge.testing.toy import toy_model, toy_recipe, toy_selection

EVERYONE = toy_selection().retain + toy_selection().forget
IDS = EVERYONE.ids
SPEC = toy_recipe(hidden=8, layers=1).base
TRAINING = Training(lr=1e-2, epochs=2, batch_size=2, save_every=2, warmup=0.3, decay="linear", weight_decay=0.01)
LORA = Adapter(r=2, alpha=4, targets=("q_proj", "down_proj"), settings=(("lora_dropout", 0.2),))
SEED = 3
KINDS = {
    "one part": {"parts": 1},
    "three parts": {},
    "dropout": {"base": "", "parts": 2, "training": replace(TRAINING, clip=0.5)},
    "an adapter with dropout": {"adapter": LORA, "parts": 2},
    "upper layers only": {
        "base": toy_recipe(hidden=8, layers=2).base,
        "training": replace(TRAINING, epochs=3, trainable=(r"model\.layers\.1\..*",)),
        "parts": 2,
    },
    "revocable last": {"last": Revocable(roles=("forget",), subjects=("Cy",)), "parts": 2},
    "steps and a cosine": {"training": replace(TRAINING, epochs=0, steps=13, decay="cosine"), "parts": 2},
}


@pytest.fixture(scope="module")
def dropping(tmp_path_factory):
    """A base in a folder, whose layers drop a tenth of what they pass on."""
    folder = tmp_path_factory.mktemp("base") / "gpt2"
    base = toy_model(architecture="gpt2", layers=1)
    assert base.model.config.resid_pdrop == 0.1
    base.save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def made(dropping, tmp_path_factory):
    """A trained target by kind, made once."""
    found = {}

    def make(kind: str) -> ReplayableLM:
        if kind not in found:
            recipe = Replayable(**({"base": SPEC, "training": TRAINING, "parts": 3} | KINDS[kind]))
            recipe = replace(recipe, base=recipe.base or dropping)
            found[kind] = recipe.train(MemoryStore(EVERYONE), seed=SEED, workdir=tmp_path_factory.mktemp("work"))
        return found[kind]

    return make


def asked(*ids: str, of: Examples = EVERYONE) -> Selection:
    """A request to forget records; a request gives them roles, whatever their role in the data is."""
    gone = Examples(replace(of.by_id[i], role="forget") for i in ids)
    return Selection(forget=gone, retain=Examples(replace(e, role="retain") for e in of if e.record_id not in ids))


def without(*ids: str) -> MemoryStore:
    return MemoryStore(e for e in EVERYONE if e.record_id not in ids)


def scratch(target: ReplayableLM, *ids: str) -> ReplayableLM:
    """The same recipe without some records, when nothing of the first training is left."""
    return recipe_of(target.record).train(without(*ids), seed=SEED)


def tensors(record: ReplayRecord) -> dict[str, str]:
    """The bytes of every checkpoint's tensors, by name."""
    files = (record.folder / "checkpoints").rglob("*.safetensors")
    return {f"{path.parent.name}/{path.name}": digest_file(path) for path in files}


def killed_at(stage: str, count: int):
    """Stop a run as Ctrl-C would, when it has taken so many steps of a stage since now."""
    taken = []

    def reporter(now: str, done: int, total: int, note: str) -> None:
        taken.extend([done] if now == stage else [])
        if len(taken) == count:
            raise KeyboardInterrupt

    return listening(reporter)


@pytest.mark.parametrize("kind", KINDS)
def test_the_replayed_bytes_are_those_of_a_training_that_never_saw_the_records(made, kind):
    target = made(kind)
    before, files = target.digest(), digest_folder(target.record.folder)
    gone = ("ana-pet", "bo-city")
    outcome, fresh = replay.unlearn(target, asked(*gone), seed=9), scratch(target, *gone)
    assert outcome.target.digest() == fresh.digest() != before
    assert tensors(outcome.target.record) == tensors(fresh.record), "the kept and the new checkpoints are its own too"
    assert outcome.target.record.order() == fresh.record.order()
    assert target.digest() == before and digest_folder(target.record.folder) == files


@settings(max_examples=4)
@given(st.sets(st.sampled_from(IDS), min_size=1, max_size=4))
def test_whichever_records_go(made, ids):
    target = made("three parts")
    outcome = replay.unlearn(target, asked(*ids), seed=0)
    assert outcome.target.digest() == scratch(target, *ids).digest()
    assert outcome.cost.steps == outcome.notes["steps_replayed"]


def test_one_by_one_in_any_order_and_all_at_once_are_the_same(made):
    gone, ends = ("cy-city", "ana-work", "bo-pet"), set()
    for order in (gone, gone[::-1]):
        target, left = made("three parts"), EVERYONE
        for name in order:
            target = replay.unlearn(target, asked(name, of=left), seed=0).target
            left = Examples(e for e in left if e.record_id != name)
        ends.add(target.digest())
        assert set(target.ids) == set(left.ids)
    assert ends == {replay.unlearn(made("three parts"), asked(*gone), seed=0).target.digest()}


def test_the_checkpoint_in_the_middle_of_a_part_is_gone_on_from(made):
    target = made("three parts")
    found = {name: replay.unlearn(target, asked(name), seed=0) for name in IDS[:9]}
    inside = [o for o in found.values() if o.notes["rewound_to"]["step"]]
    assert inside, "else this corpus shows nothing"
    for outcome in found.values():
        to, whole = outcome.notes["rewound_to"], sum(len(part) for part in target.record.order())
        skipped = sum(len(part) for part in target.record.order()[: to["part"]]) + to["step"]
        assert outcome.notes["steps_replayed"] == outcome.cost.steps == whole - skipped
        assert outcome.notes["share_of_retraining"] == pytest.approx((whole - skipped) / whole)
    assert min(o.cost.tokens for o in inside) < max(o.cost.tokens for o in found.values())


def test_records_that_may_be_revoked_are_trained_last_and_cost_only_the_last_part(made):
    target = made("revocable last")
    others, *late = target.record.order()
    revocable = {e.record_id for e in EVERYONE if e.role == "forget" or e.subject == "Cy"}
    assert {i for step in others for i in step} == set(IDS) - revocable
    assert {i for part in late for step in part for i in step} == revocable
    late_steps = sum(map(len, late))
    for name in sorted(revocable)[:3]:
        assert replay.unlearn(target, asked(name), seed=0).cost.steps <= late_steps < late_steps + len(others)
    assert replay.unlearn(target, asked("dee-pet"), seed=0).notes["rewound_to"]["part"] == 0


def test_forgetting_everything_leaves_the_model_before_the_first_step(made):
    target = made("three parts")
    outcome = replay.unlearn(target, asked(*IDS), seed=0)
    start = recipe_of(target.record).start(seed=SEED)
    assert outcome.target.digest() == start.digest() == scratch(target, *IDS).digest()
    assert outcome.cost.steps == outcome.notes["steps_replayed"] == outcome.notes["share_of_retraining"] == 0
    assert outcome.target.ids == outcome.target.provenance.checkpoints == ()


def test_a_part_that_is_emptied_leaves_what_was_trained_before_it(made):
    target = made("three parts")
    last = {i for step in target.record.order()[-1] for i in step}
    outcome = replay.unlearn(target, asked(*last), seed=0)
    assert outcome.cost.steps == 0 and outcome.target.digest() == scratch(target, *last).digest()


def test_an_unknown_record_or_one_that_was_forgotten_before_is_refused(made, tmp_path):
    target = made("three parts")
    other = replace(EVERYONE[0], record_id="nobody", question="Who?")
    strange = replace(asked("ana-pet"), forget=Examples([*asked("ana-pet").forget, other]))
    with pytest.raises(StoreError, match=r"record 'nobody' was not trained on"):
        replay.unlearn(target, strange, seed=0, workdir=tmp_path)
    once = replay.unlearn(target, asked("ana-pet"), seed=0).target
    with pytest.raises(StoreError, match=r"record 'ana-pet' was not trained on.*forgotten before"):
        replay.unlearn(once, asked("ana-pet"), seed=0, workdir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_kept_must_be_there_whole_and_as_it_was(made):
    target, selection = made("three parts"), asked("ana-pet")
    with pytest.raises(StoreError, match=r"record 'bo-city' was trained on and is not retained"):
        kept = Examples(e for e in selection.retain if e.record_id != "bo-city")
        replay.unlearn(target, replace(selection, retain=kept), seed=0)
    with pytest.raises(StoreError, match=r"record 'bo-city' is not what was trained on"):
        changed = (replace(e, answer="Else.") if e.record_id == "bo-city" else e for e in selection.retain)
        replay.unlearn(target, replace(selection, retain=Examples(changed)), seed=0)
    with pytest.raises(ClaimError, match="needs the whole retain set"):
        replay.unlearn(target, replace(selection, sampled={"retain": 99}), seed=0)


def test_a_target_that_cannot_be_replayed_is_refused_before_anything_changes(made, tmp_path, dropping):
    target = made("three parts")
    with pytest.raises(ClaimError, match=r"replay needs a target with provenance Replayable.*has Plain"):
        replay.unlearn(target.clone(), asked("ana-pet"), seed=0, workdir=tmp_path)
    bare = replace(target.clone(), provenance=target.provenance)
    with pytest.raises(ClaimError, match="the weights are not those that the recorded training gave"):
        replay.unlearn(bare, asked("ana-pet"), seed=0, workdir=tmp_path)
    other = target.lm.clone()
    with torch.no_grad():
        next(other.model.parameters()).add_(0.5)
    with pytest.raises(ClaimError, match="the weights are not those that the recorded training gave"):
        replay.unlearn(replace(target, lm=other), asked("ana-pet"), seed=0, workdir=tmp_path)
    written = target.record.written
    elsewhere = replace(written, environment={**written.environment, "torch": "1.0"})
    with pytest.raises(ClaimError, match=r"other bytes\. torch: 1\.0, now "):
        moved = replace(target, record=replace(target.record, written=elsewhere))
        replay.unlearn(moved, asked("ana-pet"), seed=0, workdir=tmp_path)
    started = replace(target, record=replace(target.record, written=replace(written, start="sha256:" + "0" * 64)))
    with pytest.raises(ClaimError, match="the model that the training started from is not what it was"):
        replay.unlearn(started, asked("ana-pet"), seed=0, workdir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [1, 6])
def test_a_killed_replay_loses_nothing(made, tmp_path, count):
    target = made("three parts")
    first = next(i for step in target.record.order()[1] for i in step)
    want = scratch(target, first)
    with pytest.raises(KeyboardInterrupt), killed_at("replaying", count):
        replay.unlearn(target, asked(first), seed=0, workdir=tmp_path)
    assert target.digest() == target.record.written.result, "the old one stays valid"
    taken = []
    with listening(lambda stage, done, total, note: taken.append(stage) if stage == "replaying" else None):
        outcome = replay.unlearn(target, asked(first), seed=0, workdir=tmp_path)
    assert outcome.target.digest() == want.digest()
    assert outcome.cost.steps == outcome.notes["steps_replayed"] and outcome.cost.tokens > 0
    assert len(taken) <= outcome.cost.steps - count + TRAINING.save_every, (
        "no more than since a checkpoint is done again"
    )
    assert tensors(outcome.target.record) == tensors(want.record)
    again = replay.unlearn(target, asked(first, IDS[0]), seed=0, workdir=tmp_path)
    assert again.target.digest() == scratch(target, first, IDS[0]).digest(), "what another replay left is not taken up"


def test_a_checkpoint_whose_tensors_changed_is_not_gone_on_from(made, tmp_path):
    target = made("three parts")
    copied = ReplayableLM(target.lm, target.record.copy_to(tmp_path / "copy"))
    for path in sorted((tmp_path / "copy").rglob("checkpoints/*/weights.safetensors")):
        moved = {name: value + 0.5 for name, value in load_file(path).items()}
        path.unlink()
        save_file(moved, path)
    # Of the last part: what comes before it would be carried over, and gone on from.
    last = target.record.order()[-1]
    assert last
    with pytest.raises(StoreError, match="changed since it was kept"):
        replay.unlearn(copied, asked(last[0][0]), seed=0, workdir=tmp_path / "work")


def test_nothing_of_the_forgotten_is_left_in_the_new_folder(made, tmp_path):
    outcome = replay.unlearn(made("three parts"), asked("ana-pet", "ana-city"), seed=0)
    outcome.target.save(tmp_path / "new")
    texts = "".join(p.read_text() for p in (tmp_path / "new" / "training").rglob("*.json*"))
    assert "bo-pet" in texts and "ana-work" in texts
    assert "ana-pet" not in texts and "ana-city" not in texts
    whole = [e.record_id for e in EVERYONE if e.subject == "Cy"]
    late = made("revocable last")
    named = {"roles": ["forget"], "subjects": ["Cy"], "ids": [], "salt": ""}
    assert late.record.written.recipe["last"] == named
    outcome = replay.unlearn(late, asked(*whole), seed=0)
    assert outcome.target.record.written.recipe["last"] == {**named, "subjects": []}, "nor is the subject named"
    assert outcome.target.digest() == scratch(late, *whole).digest() == scratch(outcome.target, *whole).digest()


def test_the_evidence_earns_distribution_and_with_an_independent_run_bit_for_bit(made):
    target = made("three parts")
    outcome, fresh = replay.unlearn(target, asked("ana-pet"), seed=7), scratch(target, "ana-pet")
    shown, ends = outcome.replay, {"before": target.digest(), "after": outcome.target.digest()}
    assert shown is not None and (shown.before, shown.after) == (target.digest(), outcome.target.digest())
    fresh_salt = outcome.target.record.written.salt
    assert fresh_salt != target.record.written.salt
    assert shown.data == salted(without("ana-pet").digest(), fresh_salt) and shown.equals == ""
    assert outcome.claim == replay.claim == Exact("bitwise") and outcome.original is target and outcome.seed == 7
    assert earn(outcome.claim, evidence=[shown], **ends) == Exact("distribution")
    assert earn(outcome.claim, evidence=[replace(shown, equals=fresh.digest())], **ends) == Exact("bitwise")
    assert isinstance(outcome.target.provenance, Known) and isinstance(outcome.target.clone(), CausalLM)


def test_frozen_lower_layers_keep_no_checkpoint_inside_a_part(made):
    """Their states are computed once, in batches that depend on who is there: rounding may differ from the start on."""
    record = made("upper layers only").record
    ends = {f"part-{part}-step-{len(steps)}" for part, steps in enumerate(record.order()) if steps}
    assert set(record.written.checkpoints) < ends and record.written.checkpoints
    assert not any((record.checkpoint(1, s) / "optimizer.safetensors").exists() for s in record.steps_kept(1))
    assert read_json(record.folder / "record.json")["result"] == made("upper layers only").digest()
