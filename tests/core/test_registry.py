"""A registry gives the object, never the module, whatever was imported before; one new file adds one thing."""

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest

from expunge.core import registry
from expunge.core.access import Access
from expunge.core.errors import ConfigError, UnknownName
from expunge.core.measure import Score
from expunge.core.objective import Objective, as_loss
from expunge.core.policy import Criterion, Policy
from expunge.core.registry import Registry, RegistryPackage, modules_of
from expunge.evaluation.assess import assess
from expunge.evaluation.attacking import attack_statistic
from expunge.methods.gradient._gradient import Gradient
from expunge.testing import contracts
from expunge.testing.toy import toy_model, toy_selection
from expunge.workflow.measure import attack_tables, budget_for, score_tables, scores_of

KINDS = ("objectives", "metrics", "attacks", "suites", "policies", "controls", "methods", "learners", "accountants")
PACKAGES = sorted({package for kind in KINDS for package in getattr(registry, kind).packages})
NAMES = [(package, name) for package in PACKAGES for name in modules_of(importlib.import_module(package))]


@pytest.fixture
def unimported(monkeypatch):
    """A registry package as it is before any of its modules was imported; everything is put back afterwards."""

    def forget(package: str) -> ModuleType:
        module = importlib.import_module(package)
        for name in modules_of(module):
            monkeypatch.delitem(sys.modules, f"{package}.{name}", raising=False)
            if name in vars(module):
                monkeypatch.delattr(module, name)
        return module

    return forget


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_the_name_is_the_object_when_the_submodule_is_imported_first(unimported, package, name):
    unimported(package)
    module = importlib.import_module(f"{package}.{name}")
    scope: dict[str, object] = {}
    exec(f"from {package} import {name}", scope)
    assert isinstance(module, ModuleType)
    assert scope[name] is vars(module)[name] is getattr(sys.modules[package], name)
    assert not isinstance(scope[name], ModuleType)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_the_name_is_the_object_when_the_attribute_is_read_first(unimported, package, name):
    found = getattr(unimported(package), name)
    assert not isinstance(found, ModuleType)
    module = importlib.import_module(f"{package}.{name}")
    scope: dict[str, object] = {}
    exec(f"from {package} import {name}", scope)
    assert scope[name] is found is vars(module)[name]


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_is_refused_with_near_ones(kind):
    found: Registry = getattr(registry, kind)
    known = found.names()[0]
    with pytest.raises(UnknownName, match=f"Did you mean .*{known!r}"):
        found.get(known + "x")
    with pytest.raises(UnknownName, match="Did you mean"):
        found.describe(known + "x")
    with pytest.raises(UnknownName, match="Known: "):
        found.get("zzzzzzzz")


@pytest.mark.parametrize("kind", KINDS)
def test_names_lists_and_describes_without_importing(unimported, kind):
    found: Registry = getattr(registry, kind)
    packages = [unimported(package) for package in found.packages]
    assert all(found.describe(name) for name in found.names())
    assert all(set(modules_of(p)) <= set(dir(p)) for p in packages)
    assert not [m for p in packages for m in modules_of(p) if f"{p.__name__}.{m}" in sys.modules]


def test_private_modules_are_no_entries():
    assert "_resamples" not in registry.metrics.names()
    with pytest.raises(UnknownName):
        registry.metrics.get("_resamples")
    with pytest.raises(AttributeError, match="no_such"):
        _ = importlib.import_module("expunge.metrics").no_such


@pytest.fixture
def drop_in(tmp_path, monkeypatch):
    """Put one new file where a registry package looks, and nothing else."""

    def drop(package: str, name: str, source: str) -> ModuleType:
        module = importlib.import_module(package)
        folder = tmp_path / package
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(source)
        if str(folder) not in module.__path__:
            monkeypatch.setattr(module, "__path__", [*module.__path__, str(folder)])
        dropped.append((module, name))
        importlib.invalidate_caches()
        return module

    dropped: list[tuple[ModuleType, str]] = []
    yield drop
    for module, name in dropped:
        sys.modules.pop(f"{module.__name__}.{name}", None)
        vars(module).pop(name, None)


OBJECTIVE = '''"""Squared surprise. Source: a test."""
from expunge.core.objective import objective


@objective(reduce="token", on="forget")
def squared(token_logp, mask, *, scale: float):
    """Make the answers middling."""
    return scale * token_logp.square() * mask
'''

SCORE = '''"""The first token. Source: a test."""
import numpy as np

from expunge.core.access import Access
from expunge.core.measure import score


@score(better="reference", question="How probable?", retrained="as never seen", attack=Access.LOGPROBS)
def first_token(token_logp):
    """How probable the first token is."""
    return np.asarray(token_logp)[:, 0]
'''

ATTACK = '''"""Asking for the length. Source: a test.

Question: how short is the answer? Good: no other than for a retrained model.
"""
from expunge.core.access import Access
from expunge.core.canonical import digest
from expunge.engine.score import score


class Lengths:
    access = Access.LOGPROBS

    def digest(self):
        return digest("lengths")

    def run(self, oracle, probes, *, seed):
        oracle.require(self.access, "lengths")
        n = score(oracle, probes, ["n_tokens"])["n_tokens"]
        return [{"record_id": e.record_id, "subject": e.subject, "outcome": 1 / int(k)} for e, k in zip(probes, n)]


lengths = Lengths()
'''


def test_a_dropped_in_objective_trains(drop_in):
    drop_in("expunge.objectives", "squared", OBJECTIVE)
    assert "squared" in registry.objectives.names()
    squared = registry.objectives.get("squared")
    assert isinstance(squared, Objective)
    contracts.check_objective(squared)
    target = toy_model()
    outcome = Gradient(as_loss(squared.bind(scale=0.5)), lr=1e-2, steps=3).unlearn(target, toy_selection(), seed=0)
    assert outcome.target.digest() != target.digest()
    losses = Gradient(squared.bind(scale=0.5), lr=1e-2, steps=30).unlearn(target, toy_selection(), seed=0).notes["last"]
    assert losses["0:squared/forget"] < outcome.notes["last"]["0:squared/forget"]


def test_a_dropped_in_score_is_measured_and_can_be_named_in_a_policy(drop_in):
    drop_in("expunge.metrics", "first_token", SCORE)
    found = registry.metrics.get("first_token")
    assert isinstance(found, Score) and found.attack is Access.LOGPROBS
    contracts.check_score(found)
    assert all("first_token" in scores_of(role, ["first_token"]) for role in ("forget", "holdout"))
    selection = toy_selection()
    tables = {
        name: score_tables(toy_model(seed=seed).oracle(Access.all()), selection)
        for seed, name in enumerate(("model", "reference", "second", "original"))
    }
    statistic, _ = attack_statistic("first_token")
    scores = {key: found.of(tables["model"][key[1]]) for key in statistic.needs}
    assert 0 <= statistic(scores) <= 1
    policy = Policy(
        "mine", "1", (Criterion("first_token", 0.1, ("LOGPROBS",), "Is it told apart?"),), utility_floor=0.9
    )
    contracts.check_policy(policy)
    compared = assess(tables, policy, draws=20).assessment.comparisons
    assert [c.attack for c in compared] == ["first_token"] and np.isfinite(compared[0].difference.value)


def test_a_dropped_in_attack_runs_in_the_budget(drop_in):
    drop_in("expunge.attacks", "lengths", ATTACK)
    lengths = registry.attacks.get("lengths")
    contracts.check_attack(lengths)
    assert lengths.__doc__.endswith("Question: how short is the answer? Good: no other than for a retrained model.\n")
    assert set(budget_for()) == {"relearning"}, "what nobody asks for costs nothing"
    budget = budget_for(["lengths", "min_k_auc"])
    assert set(budget) == {"lengths", "relearning"}
    oracle = toy_model().oracle(Access.LOGPROBS)
    tables = attack_tables(oracle, toy_selection(), budget, seed=0)
    assert set(tables) == {"lengths"}, "relearning needs FINETUNE, which was not granted"
    assert sorted(tables["lengths"]["ids"]) == sorted(toy_selection().forget.ids)
    statistic, never_knew = attack_statistic("lengths")
    assert never_knew == {"model": "reference"}
    assert 0 < statistic({statistic.needs[0]: tables["lengths"]["outcome"]}) < 1


def test_a_file_without_its_object_is_refused_every_time(drop_in):
    package = drop_in("expunge.objectives", "empty", '"""Nothing."""\n')
    for _ in range(2):
        with pytest.raises(ConfigError, match="defines no 'empty'"):
            registry.objectives.get("empty")
    assert isinstance(package, RegistryPackage)


def test_an_unknown_view_fails_where_the_file_is_imported(drop_in):
    drop_in("expunge.objectives", "squared", OBJECTIVE.replace("token_logp,", "token_lopg,"))
    for _ in range(2):
        with pytest.raises(UnknownName, match=r"view in squared 'token_lopg'. Did you mean 'token_logp'"):
            registry.objectives.get("squared")
    with pytest.raises(UnknownName, match="token_lopg"):
        importlib.import_module("expunge.objectives.squared")


def test_one_name_in_two_packages_of_a_registry_is_refused(drop_in):
    drop_in("expunge.methods.exact", "npo", "npo = 1\n")
    with pytest.raises(ConfigError, match="two files define the method 'npo'"):
        registry.methods.get("npo")


def test_an_entry_point_adds_an_object_and_files_come_first(monkeypatch):
    from importlib.metadata import EntryPoint

    points = [
        EntryPoint("objectives.mine", "expunge.objectives.nll:nll", "expunge"),
        EntryPoint("attacks.other", "expunge.attacks.relearning:relearning", "expunge"),
    ]
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: points)
    assert registry.objectives.get("mine") is registry.objectives.get("nll")
    assert "other" not in registry.objectives.names() and "other" in registry.attacks.names()
    assert registry.objectives.describe("mine") == "from the entry point expunge.objectives.nll:nll"
