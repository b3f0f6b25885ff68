"""A convex head on frozen features: of a network and of a language model, and what is then said of the composition."""

import importlib
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from expunge.accounting.recount import recounted
from expunge.accounting.subsampled import sampled_epsilon
from expunge.core.errors import ClaimError, ConfigError, StoreError, TargetError
from expunge.core.example import Example, Examples
from expunge.core.selection import Selection
from expunge.data.memory import MemoryStore
from expunge.data.table import Table
from expunge.engine.convex_opening import load_convex
from expunge.engine.frozen import frozen
from expunge.engine.recipes.convex import ConvexTraining
from expunge.engine.recipes.private import PrivateTraining
from expunge.engine.recipes.sisa import SISA
from expunge.engine.trainers.module import Module
from expunge.methods.certified.newton import newton
from expunge.targets.private.account import Mechanism
from expunge.testing.toy import toy_corpus, toy_model, toy_store

NETS = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 3)
        self.mix = torch.nn.Linear(8, 5)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.mix(self.conv(x.reshape(-1, 1, 4, 4)).flatten(1))))
"""
RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 16))
TABLE = Table([f"r{i}" for i in range(300)], X, (X[:, 0] > 0).astype(int))
TRAINED, OTHERS = TABLE.rows(TABLE.ids()[:40]), TABLE.rows(TABLE.ids()[40:])


@pytest.fixture
def net(tmp_path, monkeypatch):
    (tmp_path / "frozen_nets_of_a_test.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield Module("frozen_nets_of_a_test:Net", (0, 1))
    sys.modules.pop("frozen_nets_of_a_test", None)


@pytest.fixture
def network(net, tmp_path):
    return (
        SISA(net, shards=1).train(TRAINED, seed=4, workdir=tmp_path / "work").save(tmp_path / "net")
        and tmp_path / "net"
    )


@pytest.fixture(scope="module")
def language(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm") / "lm"
    toy_model().save(folder)
    return folder


def head(folder, **settings):
    return ConvexTraining(**{"classes": (0, 1), "features": str(folder), "scale": 5.0, "lam": 0.05, **settings})


def forget(target, store, *ids):
    return newton.unlearn(target, Selection(forget=store.get(ids)), seed=0)


def test_features_of_a_network_are_what_enters_its_last_layer_whatever_stands_beside(network):
    source = frozen(network)
    found = source.rows(X)
    module = load(network)
    with torch.inference_mode():
        by_hand = torch.tanh(module.mix(module.conv(torch.tensor(X).float().reshape(-1, 1, 4, 4)).flatten(1)))
    np.testing.assert_allclose(found, by_hand.numpy(), atol=1e-6)
    np.testing.assert_array_equal(source.rows(X[:1]), found[:1])
    np.testing.assert_array_equal(source.rows(X[::-1][:7]), found[::-1][:7])


def load(folder):
    from expunge.engine.parts.building import load_sharded

    return load_sharded(folder).model(0).module.eval()


def test_a_head_on_a_network_forgets_and_says_what_it_rests_on(network, tmp_path):
    target = head(network).train(OTHERS, seed=4)
    outcome = forget(target, OTHERS, "r50", "r60")
    assert outcome.target.model.coef_.shape == (5, 1) and recounted(outcome.proof) == ""
    assert "not trained on these records under other ids" in outcome.proof.assumptions[-1]
    outcome.target.save(tmp_path / "c")
    again = load_convex(tmp_path / "c")
    assert again.digest() == outcome.target.digest()
    np.testing.assert_array_equal(again.predict(X), outcome.target.predict(X))


def test_features_that_were_learned_from_the_records_are_refused_where_it_is_known(network):
    with pytest.raises(ClaimError, match="trained on 40 of the records itself"):
        head(network).check(TABLE, seed=4)


def test_features_of_a_private_network_add_its_epsilon(net, tmp_path):
    mechanism = Mechanism(sigma=24.0, rate=1.0, steps=4, clip=0.5)
    PrivateTraining(net, mechanism, 1e-5, 40.0).train(TRAINED, seed=4).save(tmp_path / "net")
    target = head(tmp_path / "net").train(TABLE, seed=4)
    both = forget(target, TABLE, "r1", "r2", "r250")
    alone = sampled_epsilon(1e-5, sigma=24.0, q=1.0, steps=4, records=2).epsilon
    assert both.claim.epsilon == pytest.approx(2e-4 + alone) and both.claim.delta == pytest.approx(1.1e-4)
    assert "its epsilon for the same records is added" in both.proof.assumptions[-1] and recounted(both.proof) == ""
    assert dict(both.proof.numbers)["features_units"] == "2"
    more = forget(both.target, TABLE, "r1", "r3")
    assert dict(more.proof.numbers)["features_units"] == "3" and more.proof.units == 4
    lower = {**dict(both.proof.numbers), "features_units": "3"}
    assert recounted(replace(both.proof, numbers=tuple(sorted(lower.items()))))


def test_the_limit_of_a_private_network_ends_what_a_head_on_it_can_forget(net, tmp_path):
    limit = sampled_epsilon(1e-5, sigma=24.0, q=1.0, steps=4, records=2).epsilon * (1 + 1e-9)
    mechanism = Mechanism(sigma=24.0, rate=1.0, steps=4, clip=0.5)
    PrivateTraining(net, mechanism, 1e-5, 40.0, limit=limit).train(TRAINED, seed=4).save(tmp_path / "net")
    target = head(tmp_path / "net").train(TABLE, seed=4)
    one = forget(target, TABLE, "r1", "r250")
    assert (one.proof.units, one.proof.valid_until) == (2, None)
    assert "refused beyond 1 more records" in one.proof.assumptions[-1]
    two = forget(one.target, TABLE, "r2", "r251")
    assert two.proof.units == 4 and "refused beyond 0 more records" in two.proof.assumptions[-1]
    with pytest.raises(ClaimError, match="the budget is spent"):
        forget(two.target, TABLE, "r3")
    assert forget(two.target, TABLE, "r252").proof.units == 5  # never among the features' records


def test_private_features_whose_noise_follows_from_a_seed_are_refused(net, tmp_path):
    mechanism = Mechanism(sigma=24.0, rate=1.0, steps=1, clip=0.5, randomness="seed")
    PrivateTraining(net, mechanism, 1e-5, 40.0).train(TRAINED, seed=4).save(tmp_path / "net")
    with pytest.raises(ClaimError, match="features of a model whose noise follows from its seed"):
        head(tmp_path / "net").check(TABLE, seed=4)


def test_features_of_a_language_model_are_the_mean_of_its_last_states(language):
    source, model = frozen(language), toy_model()
    texts = ["Where does Cy live?", "What does Ana do?"]
    found = source.rows(texts)
    np.testing.assert_array_equal(source.rows(texts[1:]), found[1:])
    tokens = torch.tensor([model.tokenizer(texts[0])["input_ids"]])
    with torch.inference_mode():
        states = model.model(tokens, output_hidden_states=True).hidden_states[-1]
    np.testing.assert_allclose(found[0], states[0].mean(0).numpy(), atol=1e-6)


def test_a_head_on_a_language_model_forgets_and_states_the_assumption_that_nothing_shows(language, tmp_path):
    store = toy_store()
    named = ("city", "work", "pet", "")
    target = head(language, loss="one_vs_rest", classes=named).train(store, seed=4)
    outcome = forget(target, store, "ana-city")
    assert outcome.target.model.classes_.tolist() == sorted(named)
    assert outcome.proof.assumptions[-1].endswith("nothing was recorded that would show it")
    assert set(outcome.target.predict(["Where does Cy live?"])) <= set(named)


def test_a_text_beyond_the_context_has_no_features(language):
    long = MemoryStore(Examples([Example("a", "Ana " * 60, "b", relation="city")]))
    with pytest.raises(StoreError, match="text 0 has no features"):
        head(language, classes=("city", "pet")).train(long, seed=4)


def test_a_model_and_records_of_another_kind_are_refused(language, network):
    with pytest.raises(ConfigError, match="a language reads texts"):
        head(language).check(TABLE, seed=4)
    with pytest.raises(ConfigError, match="a module reads rows of a table"):
        head(network).check(MemoryStore(toy_corpus().of("retain")), seed=4)


def test_another_model_in_its_place_is_noticed(language, tmp_path):
    place = tmp_path / "lm"
    toy_model().save(place)
    source = frozen(place)
    toy_model(seed=1).save(place)
    with pytest.raises(TargetError, match="is not the one whose features were learned from"):
        source.rows(["Ana"])
    made = head(place)
    assert made.digest() != head(language).digest() and head(language).digest() == head(language, salt="5a").digest()


def test_of_many_models_no_features_are_taken(net, tmp_path):
    many = SISA(net, shards=2).train(TRAINED, seed=4, workdir=tmp_path / "work")
    many.save(tmp_path / "many")
    with pytest.raises(TargetError, match="it is many models"):
        frozen(tmp_path / "many")
