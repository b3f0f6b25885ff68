"""Torch modules as parts: the optimiser goes on, what is drawn is named, and no factory runs other code."""

import importlib
import sys

import numpy as np
import pytest
import torch

from expunge.core.errors import ConfigError, TargetError
from expunge.core.example import Example, Examples
from expunge.data.table import Table
from expunge.engine.trainers.module import Module

RNG = np.random.default_rng(1)
X = RNG.normal(size=(30, 3))
TABLE = Table([f"r{i}" for i in range(30)], X, (X[:, 0] > 0).astype(int))
LINEAR = {"in_features": 3, "out_features": 2}
NETS = """
import torch


def dropping(rate: float) -> torch.nn.Module:
    inner = (torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(rate))
    return torch.nn.Sequential(*inner, torch.nn.Linear(8, 2))


def unsaid():
    return torch.nn.Linear(3, 2)
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "nets_of_a_test.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "nets_of_a_test"
    sys.modules.pop("nets_of_a_test", None)


def trained(trainer, model, rows=TABLE, part=0, epochs=2, seed=4):
    return trainer.train(model, rows, epochs=epochs, seed=seed, names=("shard", 0, "slice", part))


def again(trainer, model, folder):
    folder.mkdir()
    trainer.save(model, folder)
    return trainer.load(folder)


def weights(model):
    return torch.cat([p.detach().double().reshape(-1) for p in model.module.state_dict().values()])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_is_put_down_and_taken_up_goes_on_as_if_it_had_not(tmp_path, nets, optimizer):
    trainer = Module(f"{nets}:dropping", (0, 1), {"rate": 0.4}, optimizer, lr=0.05, momentum=0.9, batch_size=7)
    straight = trained(trainer, trained(trainer, trainer.start(seed=2)), part=1)
    half = again(trainer, trained(trainer, again(trainer, trainer.start(seed=2), tmp_path / "a")), tmp_path / "b")
    torch.rand(3)
    resumed = trained(trainer, half, part=1)
    assert torch.equal(weights(straight), weights(resumed)) and straight.steps == resumed.steps == 20
    again(trainer, straight, tmp_path / "c")
    again(trainer, resumed, tmp_path / "d")
    straight_files, files = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "cd")
    assert straight_files == files
    fresh = trainer._trained(trainer.load(tmp_path / "b").module)
    assert not torch.equal(weights(trained(trainer, fresh, part=1)), weights(resumed))


def test_the_steps_are_those_of_torch_written_out():
    trainer = Module("torch.nn:Linear", (0, 1), LINEAR, lr=0.3, weight_decay=0.1, batch_size=64)
    model = trainer.start(seed=2)
    W, b = (p.detach().clone() for p in model.module.parameters())
    trained(trainer, model, epochs=1)
    x, y = torch.tensor(X, dtype=torch.float32), torch.nn.functional.one_hot(torch.tensor(TABLE.y)).float()
    error = (torch.softmax(x @ W.T + b, dim=1) - y) / len(x)
    expected = [W - 0.3 * (error.T @ x + 0.1 * W), b - 0.3 * (error.sum(0) + 0.1 * b)]
    for found, wanted in zip(model.module.parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach(), wanted)


def test_what_is_drawn_depends_on_seed_and_names_alone(nets):
    trainer = Module(f"{nets}:dropping", (0, 1), {"rate": 0.4})
    before = torch.get_rng_state()
    first = weights(trained(trainer, trainer.start(seed=2)))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(first, weights(trained(trainer, trainer.start(seed=2))))
    others = [trained(trainer, trainer.start(seed=3)), trained(trainer, trainer.start(seed=2), part=1)]
    others += [trained(trainer, trainer.start(seed=2), seed=5)]
    assert all(not torch.equal(first, weights(other)) for other in others)


def test_the_order_in_which_rows_come_changes_nothing():
    trainer = Module("torch.nn:Linear", (0, 1), LINEAR, batch_size=4)
    turned = TABLE.rows(TABLE.ids()[::-1])
    runs = [weights(trained(trainer, trainer.start(seed=2), rows)) for rows in (TABLE, turned)]
    assert torch.equal(*runs)


def test_no_batch_is_left_with_a_single_row(nets):
    trainer = Module(f"{nets}:dropping", (0, 1), {"rate": 0.4}, batch_size=29)
    assert trained(trainer, trainer.start(seed=2), epochs=1).steps == 2


def test_a_model_whose_layers_need_two_rows_is_silent_until_it_has_them(tmp_path):
    trainer = Module("torch.nn:BatchNorm1d", (), {"num_features": 3})
    rows = Table(["a", "b"], X[:2], X[:2])
    model = trained(trainer, trainer.start(seed=0), rows.rows(["a"]))
    assert trainer.silent(model).startswith("it cannot be trained on a batch of 1 rows: Expected more than 1 value")
    trainer.save(model, tmp_path)
    loaded = trainer.load(tmp_path)
    assert trainer.silent(loaded) == trainer.silent(model)
    assert not trainer.silent(trained(trainer, loaded, rows))
    single = Module("torch.nn:BatchNorm1d", (), {"num_features": 3}, batch_size=1)
    trainer.rehearse(rows, seed=0)
    with pytest.raises(TargetError, match=r"BatchNorm1d cannot be trained on these rows.*batch of 1 rows"):
        single.rehearse(rows, seed=0)


def test_outputs_are_probabilities_or_values(nets):
    trainer = Module(f"{nets}:dropping", (0, 1), {"rate": 0.4}, lr=0.2)
    model = trained(trainer, trainer.start(seed=2), epochs=20)
    told = trainer.outputs(model, X)
    assert np.allclose(told.sum(axis=1), 1) and np.mean(told.argmax(axis=1) == TABLE.y) > 0.85
    assert (told == trainer.outputs(model, X)).all() and trainer.outputs(model, X[:0]).shape == (0, 2)
    rows = Table(TABLE.ids(), X, X @ [1.0, 2.0, -1.0])
    values = Module("torch.nn:Linear", (), {"in_features": 3, "out_features": 1}, lr=0.1)
    found = values.outputs(trained(values, values.start(seed=0), rows, epochs=60), X)
    assert np.abs(found[:, 0] - rows.y).max() < 0.05


@pytest.mark.parametrize(
    ("factory", "settings", "said"),
    [
        ("os:system", {"command": "true"}, "os:system makes no torch module"),
        ("subprocess:run", {"args": ["true"]}, "subprocess:run makes no torch module"),
        ("{nets}:unsaid", {}, "unsaid makes no torch module"),
        ("{nets}:dropping", {"rat": 0.1}, "a setting of .*dropping does not fit"),
        ("{nets}:gone", {}, "there is no '.*:gone'"),
    ],
)
def test_what_makes_no_module_is_not_run(nets, factory, settings, said):
    with pytest.raises((TargetError, ConfigError), match=said):
        Module(factory.format(nets=nets), (0, 1), settings).start(seed=0)


def test_rows_and_losses_that_are_no_numbers_are_refused():
    trainer = Module("torch.nn:Linear", (0, 2), LINEAR)
    with pytest.raises(TargetError, match="the label 1 is not among the classes"):
        trained(trainer, trainer.start(seed=0))
    with pytest.raises(TargetError, match="trained on tables with labels"):
        trained(trainer, trainer.start(seed=0), Examples([Example("a", "Q?", "A.")]))
    wild = Module("torch.nn:Linear", (), {"in_features": 3, "out_features": 1}, lr=1e30)
    with pytest.raises(TargetError, match="the loss is no finite number"):
        trained(wild, wild.start(seed=0), epochs=5)
    with pytest.raises(ConfigError, match="lr > 0"):
        Module("torch.nn:Linear", (0, 1), LINEAR, lr=0)


def test_weights_of_another_module_are_refused(tmp_path):
    trainer = Module("torch.nn:Linear", (0, 1), LINEAR)
    trainer.save(trainer.start(seed=0), tmp_path)
    with pytest.raises(TargetError, match="do not fit"):
        Module("torch.nn:Linear", (0, 1), {"in_features": 4, "out_features": 2}).load(tmp_path)
