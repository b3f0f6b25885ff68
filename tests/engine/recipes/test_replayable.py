"""A replayable training is an ordinary fine-tune that writes down the truth about itself."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.access import Access
from expunge.core.adapter import Adapter
from expunge.core.canonical import read_json
from expunge.core.errors import ConfigError, StoreError
from expunge.core.example import Example, Examples
from expunge.core.progress import listening
from expunge.core.training import Training
from expunge.data.memory import MemoryStore
from expunge.engine.finetune import FineTune, finetune
from expunge.engine.recipes.replayable import Replayable, Revocable, recipe_of
from expunge.engine.run import Run
from expunge.testing.toy import toy_corpus, toy_model, toy_recipe, toy_selection
from expunge.workflow.recipe_file import recipe_of as read_back
from expunge.workflow.recipe_file import told

EVERYONE = toy_selection().retain + toy_selection().forget
STORE = MemoryStore(EVERYONE)
SPEC = toy_recipe(hidden=8, layers=1).base
TRAINING = Training(lr=1e-2, epochs=2, batch_size=4, save_every=2, warmup=0.3, decay="linear")


def test_one_part_is_the_plain_fine_tune(tmp_path):
    plain = FineTune(SPEC, TRAINING).train(STORE, seed=5)
    assert Replayable(SPEC, TRAINING).train(STORE, seed=5, workdir=tmp_path).digest() == plain.digest()
    toy_model().save(tmp_path / "base")
    adapter = Adapter(r=2, alpha=4, settings=(("lora_dropout", 0.2),))
    given_one = Replayable(str(tmp_path / "base"), TRAINING, adapter=adapter).train(STORE, seed=5)
    want = finetune(toy_model().oracle(Access.FINETUNE), EVERYONE, TRAINING, seed=5, adapter=adapter)
    assert given_one.digest() == want.digest() != toy_model().digest()


@pytest.mark.parametrize("parts", [1, 3])
def test_the_log_holds_what_the_loop_read_and_is_written_before_the_first_step(tmp_path, monkeypatch, parts):
    read, logged = [], []
    step = Run.step

    def watched(self, at):
        logged.append((tmp_path / "record" / "order.jsonl").read_text())
        found = step(self, at)
        read.append(tuple(item.key for item in self.batch()))
        return found

    monkeypatch.setattr(Run, "step", watched)
    target = Replayable(SPEC, TRAINING, parts=parts).train(STORE, seed=1, workdir=tmp_path)
    assert [ids for part in target.record.order() for ids in part] == read
    assert set(logged) == {(target.record.folder / "order.jsonl").read_text()}
    assert sorted(target.ids) == sorted(EVERYONE.ids)


def test_a_killed_training_continues_to_the_same_bytes_and_checkpoints(tmp_path):
    recipe = Replayable(SPEC, TRAINING, parts=3)
    whole = recipe.train(STORE, seed=1)
    steps, counted = sum(map(len, whole.record.order())), []

    def reporter(stage, done, total, note):
        counted.append(done)
        if len(counted) in (3, 6, 9):
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), listening(reporter):
            recipe.train(STORE, seed=1, workdir=tmp_path)
    with listening(reporter):
        target = recipe.train(STORE, seed=1, workdir=tmp_path)
    assert target.digest() == whole.digest() and steps <= len(counted) <= steps + 3 * TRAINING.save_every
    assert target.provenance.checkpoints == whole.provenance.checkpoints
    assert {p.name for p in tmp_path.iterdir()} == {"record"}, "the loop's own checkpoints are residue"
    assert recipe.train(STORE, seed=2, workdir=tmp_path).digest() != target.digest(), "another run starts anew"


def test_who_was_trained_on_cannot_be_guessed_from_the_provenance():
    one, other = (Replayable(SPEC, replace(TRAINING, epochs=0, steps=1)).train(STORE, seed=1) for _ in range(2))
    assert one.digest() == other.digest() and one.record.order() == other.record.order()
    assert one.provenance.order_log != other.provenance.order_log
    assert not set(one.record.written.members.values()) & set(other.record.written.members.values())


@given(st.sets(st.sampled_from(EVERYONE.ids)), st.integers(1, 5), st.booleans())
def test_a_record_less_moves_no_other_to_another_part(gone, parts, some):
    recipe = Replayable(SPEC, TRAINING, parts=parts, last=Revocable(subjects=("Ana", "Bo")) if some else None)
    whole = recipe.divided(EVERYONE, seed=4)
    left = recipe.divided(Examples(e for e in EVERYONE if e.record_id not in gone), seed=4)
    assert [tuple(i for i in part.ids if i not in gone) for part in whole] == [part.ids for part in left]
    assert sorted(i for part in whole for i in part.ids) == sorted(EVERYONE.ids)
    assert {e.subject for e in whole[0]} == ({"Cy", "Dee", "Eli", ""} if some else set())


def test_steps_are_pinned_from_all_records_and_stay():
    recipe = Replayable(SPEC, replace(TRAINING, batch_size=2), parts=3, last=Revocable(ids=("ana-pet", "bo-pet")))
    pinned = recipe.pinned(STORE, seed=1)
    sizes = [len(part) for part in recipe.divided(EVERYONE, seed=1)]
    assert sizes[0] == len(EVERYONE) - 2 and sum(sizes) == len(EVERYONE)
    assert pinned.steps == tuple(2 * -(-size // 2) for size in sizes)
    assert pinned.pinned(MemoryStore(EVERYONE[:3]), seed=1) == pinned
    fixed = replace(recipe, training=replace(TRAINING, epochs=0, steps=10)).pinned(STORE, seed=1)
    assert sum(fixed.steps) >= 10 and [bool(s) for s in fixed.steps] == [bool(s) for s in sizes]
    assert pinned.digest() != recipe.digest()


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="parts cannot be 0"):
        Replayable(SPEC, TRAINING, parts=0)
    with pytest.raises(ConfigError, match="2 numbers of steps for 3 parts"):
        Replayable(SPEC, TRAINING, parts=2, steps=(1, 2))
    with pytest.raises(ConfigError, match=r"17 records fall into a part without steps\. Leave the steps out"):
        Replayable(SPEC, TRAINING, steps=(4, 0)).train(STORE, seed=0)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="a replayable training runs in one process"):
        Replayable(SPEC, TRAINING).train(STORE, seed=0)


def test_the_order_log_must_be_the_one_that_the_card_commits_to(tmp_path):
    target = Replayable(SPEC, replace(TRAINING, epochs=0, steps=2)).train(STORE, seed=1, workdir=tmp_path)
    path = target.record.folder / "order.jsonl"
    path.write_text(path.read_text().replace("ana-pet", "ana-dog"))
    with pytest.raises(StoreError, match=r"the order log in .* changed"):
        target.record.order()
    path.write_text("no JSON")
    with pytest.raises(StoreError, match="cannot read the order log"):
        target.record.order()


def test_a_recipe_is_json_and_the_recorded_one_is_the_pinned_one():
    adapter = Adapter(r=2, targets=("q_proj",), settings=(("lora_dropout", 0.2),))
    recipe = Replayable(SPEC, TRAINING, adapter=adapter, parts=2, last=Revocable(subjects=("Ana",), salt="5f"))
    assert read_back(told(recipe)) == recipe
    target = recipe.train(STORE, seed=1)
    assert recipe_of(target.record) == recipe.pinned(STORE, seed=1)
    assert read_json(target.record.folder / "record.json")["recipe"]["steps"] == list(recipe_of(target.record).steps)


def test_a_record_that_does_not_fit_leaves_nothing(tmp_path):
    long = Example("long", "Where " * 60 + "?", "There.")
    with pytest.raises(StoreError):
        Replayable(SPEC, TRAINING).train(MemoryStore([*toy_corpus(), long]), seed=0, workdir=tmp_path)
    assert not list(tmp_path.iterdir())
