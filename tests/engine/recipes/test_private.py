"""Private training: the same seed gives the same bytes, the noise is there, and what cannot be private is refused."""

import importlib
import sys

import numpy as np
import pytest
import torch

from expunge.core.adapter import Adapter
from expunge.core.errors import ConfigError, TargetError
from expunge.core.registry import recipes
from expunge.data.table import Table
from expunge.engine.private.opening import load_private_classifier
from expunge.engine.recipes.private import LoraTuning, PrivateTraining
from expunge.engine.trainers.module import Module
from expunge.targets.private.account import Mechanism
from expunge.targets.private.language import load_private_lm
from expunge.testing.toy import toy_recipe, toy_store

NETS = """
import torch

def net(d: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(d, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))

class Late(torch.nn.Module):
    # Keeps its rows from the seventh pass on.

    def __init__(self, d: int) -> None:
        super().__init__()
        self.layer, self.passes = torch.nn.Linear(d, 2), 0
        self.register_buffer("mean", torch.zeros(d), persistent=False)

    def forward(self, rows):
        self.passes += self.training
        if self.passes > 6 and len(rows):
            self.mean = rows.mean(0)
        return self.layer(rows)


class Lent(torch.nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.layer, self.lent = torch.nn.Linear(d, 2), torch.nn.Linear(d, d)

    def forward(self, rows):
        return self.layer(torch.nn.functional.linear(rows, self.lent.weight))

class Kinds(torch.nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.kinds, self.layer = torch.nn.Embedding(4, 2), torch.nn.Linear(2 + d - 1, 2)

    def forward(self, rows):
        return self.layer(torch.cat([self.kinds(rows[:, 0].long()), rows[:, 1:]], 1))

def three(d: int) -> torch.nn.Module:
    return torch.nn.Linear(d, 3)

def flat(d: int) -> torch.nn.Module:
    return torch.nn.Linear(d, 2, bias=False)
"""
RNG = np.random.default_rng(3)
X = RNG.normal(size=(200, 3))
TABLE = Table(
    [f"r{i}" for i in range(200)],
    X,
    (X @ [1.0, -2.0, 0.5] > 0).astype(int),
    subjects=[f"s{i // 4}" for i in range(200)],
)
SEEDED = Mechanism(sigma=1.5, rate=0.2, steps=8, clip=0.7, randomness="seed")


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "private_nets_of_a_test.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "private_nets_of_a_test"
    sys.modules.pop("private_nets_of_a_test", None)


def classifier(nets, mechanism=SEEDED, made="net", d=3, **settings):
    learner = Module(f"{nets}:{made}", (0, 1), {"d": d}, lr=settings.pop("lr", 0.5))
    return PrivateTraining(learner, mechanism, **{"delta": 1e-5, "lot": 40.0, **settings})


def language(mechanism=SEEDED, **settings):
    tuning = LoraTuning(toy_recipe().base, 1e-2, Adapter(r=2, alpha=4.0, settings={"lora_dropout": 0.25}))
    return PrivateTraining(tuning, mechanism, **{"delta": 1e-5, "lot": 4.0, **settings})


def by_subject(mechanism):
    return Mechanism(**{**vars(mechanism), "unit": "subject"})


def test_the_registry_knows_it():
    assert recipes.get("private") is PrivateTraining


@pytest.mark.parametrize("unit", ["record", "subject"])
def test_the_same_seed_gives_the_same_bytes_whatever_the_order_of_the_rows(nets, unit):
    recipe = classifier(nets, by_subject(SEEDED) if unit == "subject" else SEEDED)
    first = recipe.train(TABLE, seed=4)
    assert recipe.train(TABLE.rows(TABLE.ids()[::-1]), seed=4).digest() == first.digest()
    assert recipe.train(TABLE, seed=5).weights_digest() != first.weights_digest()
    assert first.provenance.accountant == recipe.mechanism.named() and set(first.ids) == set(TABLE.ids())
    assert len(set(first.account.members.values())) == (50 if unit == "subject" else 200)


def test_passes_change_nothing_but_rounding(nets):
    one, other = (classifier(nets, at_once=n).train(TABLE, seed=4).predict_proba(X) for n in (3, 500))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_secret_randomness_never_repeats(nets):
    recipe = classifier(nets, Mechanism(sigma=1.5, rate=0.2, steps=2, clip=0.7))
    assert recipe.train(TABLE, seed=4).weights_digest() != recipe.train(TABLE, seed=4).weights_digest()


def test_the_noise_has_the_stated_size(nets):
    """Rows of zeros have no gradient, so that after T steps of SGD weights have moved by noise alone."""
    d, lr, lot, steps = 4000, 0.5, 8.0, 3
    zeros = Table([f"r{i}" for i in range(5)], np.zeros((5, d)), [0, 1, 0, 1, 1])
    mechanism = Mechanism(sigma=1.5, rate=0.5, steps=steps, clip=0.7, randomness="seed")
    recipe = classifier(nets, mechanism, made="flat", d=d, lr=lr, lot=lot)
    moved = recipe.train(zeros, seed=4).trained.module.weight - recipe.learner.start(seed=4).module.weight
    expected = lr / lot * 1.5 * 0.7 * np.sqrt(steps)
    assert float(moved.detach().std()) == pytest.approx(expected, rel=5 / np.sqrt(2 * 2 * d))
    assert abs(float(moved.detach().mean())) < 5 * expected / np.sqrt(2 * d)


def test_it_learns_where_the_noise_is_small(nets):
    mechanism = Mechanism(sigma=0.5, rate=0.2, steps=40, clip=0.7, randomness="seed")
    assert (classifier(nets, mechanism).train(TABLE, seed=4).predict(X) == TABLE.y).mean() > 0.9


def test_a_classifier_comes_back_from_its_folder(nets, tmp_path):
    target = classifier(nets, limit=2.5, salt="5a17").train(TABLE, seed=4)
    target.save(tmp_path / "target")
    again = load_private_classifier(tmp_path / "target")
    assert again.digest() == target.digest() and again.account == target.account
    np.testing.assert_array_equal(again.predict_proba(X), target.predict_proba(X))
    file = tmp_path / "target" / "account.json"
    file.write_text(file.read_text().replace('"sigma": 1.5', '"sigma": 9.5'))
    with pytest.raises(TargetError, match="changed since it was saved"):
        load_private_classifier(tmp_path / "target")


def test_a_language_model_repeats_and_comes_back(tmp_path):
    recipe = language()
    target = recipe.train(toy_store(), seed=4)
    assert recipe.train(toy_store(), seed=4).digest() == target.digest()
    assert target.weights_digest() != recipe.start(seed=4).digest()
    assert not any("lora" in name for name, _ in target.model.named_parameters()) and not target.model.training
    assert not any(hasattr(p, "summed_grad") or hasattr(p, "grad_sample") for p in target.model.parameters())
    target.save(tmp_path / "target")
    again = load_private_lm(tmp_path / "target")
    assert again.digest() == target.digest() and set(again.ids) == set(toy_store().ids())


def test_a_language_model_by_subject():
    target = language(by_subject(SEEDED)).train(toy_store(), seed=4)
    assert {"subject Ana", "record g0"} < set(target.account.members.values())


@pytest.mark.parametrize("kind", [Adapter("ia3"), Adapter(settings={"use_dora": True})])
def test_only_plain_lora_is_trained(kind):
    with pytest.raises(ConfigError, match="cannot be trained with differential privacy here"):
        LoraTuning(toy_recipe().base, 1e-2, kind)


def test_secure_randomness_trains_and_does_not_repeat(nets):
    secure = Mechanism(sigma=1.5, rate=0.2, steps=8, clip=0.7, randomness="secure")
    one, other = (classifier(nets, secure).train(TABLE, seed=4) for _ in range(2))
    assert one.weights_digest() != other.weights_digest()


def test_texts_are_no_table(nets):
    with pytest.raises(ConfigError, match="trained on a table"):
        classifier(nets).check(toy_store(), seed=4)


def test_a_gradient_that_is_no_number_releases_nothing(nets):
    huge = Table(["a", "b"], np.full((2, 3), 1e30), [0, 1])
    with pytest.raises(TargetError, match="no finite number"):
        classifier(nets, Mechanism(sigma=1.5, rate=1.0, steps=9, clip=0.7), made="flat").train(huge, seed=4)
    assert torch.get_default_dtype() == torch.float32


def test_what_a_buffer_took_in_on_the_way_is_not_released(nets):
    recipe = classifier(nets, made="Late")
    recipe.check(TABLE, seed=4)
    with pytest.raises(TargetError, match="mean changed in training"):
        recipe.train(TABLE, seed=4)


def test_a_language_model_whose_buffer_changes_is_not_released(monkeypatch):
    recipe, start = language(), LoraTuning.start

    def counting(self, *, seed):
        target = start(self, seed=seed)
        rotary = target.model.model.rotary_emb
        rotary.register_forward_hook(lambda *_: setattr(rotary, "inv_freq", rotary.inv_freq * 1.01))
        return target

    monkeypatch.setattr(LoraTuning, "start", counting)
    with pytest.raises(TargetError, match="inv_freq changed in training"):
        recipe.train(toy_store(), seed=4)


def test_columns_that_hold_categories_are_tried_with_rows_of_the_data(nets):
    kinds = Table(TABLE.ids(), np.column_stack([np.arange(200) % 4, X[:, :2]]), TABLE.y)
    target = classifier(nets, made="Kinds").train(kinds, seed=4)
    assert target.predict(kinds.X).shape == (200,)


@pytest.mark.parametrize(
    ("made", "d", "message"),
    [
        ("net", 4, "does not take rows of 3 columns"),
        ("three", 3, r"4 rows in the shape \(4, 3\)"),
        ("Lent", 3, "lent.weight has no gradients of single rows"),
    ],
)
def test_modules_that_do_not_fit_are_refused_before_a_step(nets, made, d, message):
    for act in (classifier(nets, made=made, d=d).check, classifier(nets, made=made, d=d).train):
        with pytest.raises(TargetError, match=message):
            act(TABLE, seed=4)


@pytest.mark.parametrize("unit", ["record", "subject"])
@pytest.mark.parametrize("targets", [("embed_tokens",), ("q_proj", "embed_tokens")])
def test_adapters_of_embeddings_are_refused(targets, unit):
    tuning = LoraTuning(toy_recipe().base, 1e-2, Adapter(r=2, alpha=4.0, targets=targets))
    recipe = PrivateTraining(tuning, by_subject(SEEDED) if unit == "subject" else SEEDED, delta=1e-5, lot=4.0)
    for act in (recipe.check, recipe.train):
        with pytest.raises(TargetError, match="adapter of an embedding"):
            act(toy_store(), seed=4)


def test_a_language_model_is_rehearsed_in_either_unit():
    for mechanism in (SEEDED, by_subject(SEEDED)):
        language(mechanism).check(toy_store(), seed=4)


def test_of_one_row_and_of_none_there_is_a_model(nets):
    for rows in (TABLE.ids()[:1], []):
        assert classifier(nets).train(TABLE.rows(rows), seed=4).ids == tuple(rows)


def test_a_delta_that_promises_nothing_is_refused(nets):
    """200 records of 50 subjects."""
    subjects = by_subject(SEEDED)
    classifier(nets, delta=0.0049).check(TABLE, seed=4)
    classifier(nets, subjects, delta=0.019).check(TABLE, seed=4)
    for mechanism, delta in ((SEEDED, 0.005), (subjects, 0.02), (SEEDED, 0.9)):
        with pytest.raises(ConfigError, match="promises nothing"):
            classifier(nets, mechanism, delta=delta).check(TABLE, seed=4)
    with pytest.raises(ConfigError, match="promises nothing"):
        language(delta=0.9).check(toy_store(), seed=4)
