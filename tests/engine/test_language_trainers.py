"""What trains a language model slice by slice: it goes on exactly where it was, and depends on names, not on luck."""

import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from expunge.core.adapter import Adapter
from expunge.core.errors import ConfigError, TargetError
from expunge.core.example import Examples
from expunge.core.training import Training
from expunge.engine.parts.trainer import told, trainer_of, trainers
from expunge.engine.run import Run
from expunge.engine.trainers._language import LanguageState, base_of
from expunge.engine.trainers.layered_adapter import groups_of_layers
from expunge.testing.toy import toy_corpus, toy_model, toy_recipe

LORA = Adapter(r=2, alpha=8, targets=("q_proj", "down_proj"), settings={"lora_dropout": 0.1})
TRAINING = Training(lr=1e-2, steps=1, batch_size=4)
MADE = {"adapter": {"adapter": LORA}, "causal_lm": {}, "layered_adapter": {"adapter": LORA, "groups": 2}}
SLICES = (toy_corpus().of("retain"), toy_corpus().of("retain", "forget"))


def trainer(name, **settings):
    return trainers.get(name)(base=toy_recipe().base, training=TRAINING, **MADE[name], **settings)


def slices(made, *, through=None, seed=5):
    """A model after two slices, saved and loaded between them where a folder is given."""
    model = made.start(seed=seed)
    for number, rows in enumerate(SLICES):
        model = made.train(model, rows, epochs=1, seed=seed, names=("shard", 0, "slice", number))
        if through:
            (folder := through / str(number)).mkdir()
            made.save(model, folder)
            model = made.load(folder)
    return model


@pytest.mark.parametrize("name", MADE)
def test_a_model_from_its_files_goes_on_as_the_first_would(name, tmp_path):
    made = trainer(name)
    before = made.frozen().digest()
    straight = slices(made)
    assert slices(made, through=tmp_path).digest() == straight.digest() != slices(made, seed=6).digest()
    assert made.frozen().digest() == before
    assert straight.tokens > 0
    answers = toy_corpus().of("retain")
    assert made.outputs(straight, answers).mean() > made.outputs(made.start(seed=5), answers).mean()
    assert made.outputs(straight, answers).shape == (len(answers), 1)


@pytest.mark.parametrize("name", ["adapter", "causal_lm"])
def test_the_optimiser_goes_on_from_slice_to_slice(name):
    made = trainer(name)
    first = made.train(made.start(seed=5), SLICES[0], epochs=1, seed=5, names=("shard", 0, "slice", 0))
    bare = replace(first, moments={})
    after = [made.train(m, SLICES[1], epochs=1, seed=5, names=("shard", 0, "slice", 1)) for m in (first, bare)]
    steps = [next(v for k, v in sorted(m.moments.items()) if k.endswith("|step")).item() for m in after]
    assert steps == [after[0].steps, after[0].steps - first.steps]
    assert after[0].digest() != after[1].digest()


def test_an_interrupted_slice_is_taken_up_where_it_was(tmp_path, monkeypatch):
    made = replace(trainer("adapter"), training=replace(TRAINING, save_every=2))
    call = {"epochs": 2, "seed": 5, "names": ("shard", 0, "slice", 0)}
    whole = made.train(made.start(seed=5), SLICES[1], **call)
    step, taken = Run.step, []

    def dying(run, number):
        if number == 3 and not tmp_path.joinpath("died").exists():
            tmp_path.joinpath("died").touch()
            raise KeyboardInterrupt
        taken.append(number)
        return step(run, number)

    monkeypatch.setattr(Run, "step", dying)
    with pytest.raises(KeyboardInterrupt):
        made.train(made.start(seed=5), SLICES[1], workdir=tmp_path, **call)
    taken.clear()
    found = made.train(made.start(seed=5), SLICES[1], workdir=tmp_path, **call)
    assert taken[0] == 2
    assert found.digest() == whole.digest()
    assert found.tokens == whole.tokens


def test_the_order_of_the_rows_changes_nothing():
    made = trainer("adapter")
    call = {"epochs": 1, "seed": 5, "names": ("shard", 0, "slice", 0)}
    one, other = (made.train(made.start(seed=5), rows, **call) for rows in (SLICES[1], Examples(reversed(SLICES[1]))))
    assert one.digest() == other.digest()


def test_a_later_slice_leaves_the_groups_above_as_they_were():
    made = trainer("layered_adapter")
    first = made.train(made.start(seed=5), SLICES[0], epochs=1, seed=5, names=("shard", 0, "slice", 0))
    second = made.train(first, SLICES[1], epochs=1, seed=5, names=("shard", 0, "slice", 1))
    assert (made.trained(first), made.trained(second)) == (1, 2)
    assert {name.split(".")[2] for name in first.weights} == {"1"}
    assert {name.split(".")[2] for name in set(second.weights) - set(first.weights)} == {"0"}
    assert all(torch.equal(second.weights[name], value) for name, value in first.weights.items())
    with pytest.raises(ConfigError, match="2 groups"):
        made.train(second, SLICES[1], epochs=1, seed=5, names=("shard", 0, "slice", 2))


def test_groups_cover_all_layers_once_from_the_top():
    for layers in range(1, 9):
        for groups in range(1, layers + 1):
            found = groups_of_layers(layers, groups)
            assert sorted(n for own in found for n in own) == list(range(layers))
            assert all(min(above) > max(below) for above, below in pairwise(found))
    with pytest.raises(ConfigError, match="fewer slices"):
        groups_of_layers(2, 3)


@pytest.mark.parametrize("name", MADE)
def test_a_trainer_is_its_json(name):
    made = trainer(name)
    again = trainer_of(told(made))
    assert again == made
    assert again.digest() == made.digest() != trainer(name, base_seed=1).digest()


def test_a_damaged_checkpoint_is_refused(tmp_path):
    made = trainer("adapter")
    (tmp_path / "a").mkdir()
    made.save(LanguageState({"w": torch.ones(2)}), tmp_path / "a")
    file = tmp_path / "a" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\x00\x00\x00\x00")
    with pytest.raises(TargetError, match="changed"):
        made.load(tmp_path / "a")
    file.write_bytes(b"")
    with pytest.raises(TargetError, match="cannot read"):
        made.load(tmp_path / "a")


def test_another_base_in_the_same_place_is_loaded_anew(tmp_path):
    place = tmp_path / "base"
    toy_model(seed=1).save(place)
    first = base_of(str(place), 0, "error")
    assert base_of(str(place), 0, "error") is first
    shutil.rmtree(place)
    toy_model(seed=2).save(place)
    assert base_of(str(place), 0, "error").digest() != first.digest()
