"""Deletions by a Newton step: what is stated follows from no row and no noise, and covers all requests so far."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.accounting.recount import recount, recounted
from expunge.core.earning import earn
from expunge.core.errors import ClaimError, ConfigError, TargetError
from expunge.core.guarantee import Certified, Unproven
from expunge.core.registry import accountants, methods
from expunge.core.selection import Selection
from expunge.data.table import Table
from expunge.engine.convex_opening import load_convex
from expunge.engine.recipes.convex import ConvexTraining
from expunge.methods.certified.newton import newton
from expunge.targets.convex.budget import Ledger
from expunge.targets.convex.losses import logistic
from expunge.targets.convex.model import ConvexModel
from expunge.targets.convex.target import ConvexTarget
from expunge.targets.learner import Learner, make

N = 240
COUNTS = ("bound", "residual")
"""That look at rows and noise."""


def table(seed=3, classes=2):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 3))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return Table([f"r{i}" for i in range(N)], X, np.digitize(X[:, 0], (0.0, 0.4)[: classes - 1]))


TABLE = table()


def trained(store=TABLE, **more):
    return ConvexTraining(**{"classes": (0, 1), "lam": 0.5, "epsilon": 0.8, **more}).train(store, seed=4)


def forget(target, *ids, store=TABLE):
    return newton.unlearn(target, Selection(forget=store.get(ids)), seed=0)


def numbers(outcome):
    return dict(outcome.proof.numbers)


@pytest.mark.parametrize("loss", ["logistic", "one_vs_rest", "multinomial"])
def test_two_requests_earn_their_claims_and_whoever_has_the_numbers_comes_to_them(loss):
    store = TABLE if loss == "logistic" else table(classes=3)
    classes = (0, 1) if loss == "logistic" else (0, 1, 2)
    target = trained(store, loss=loss, classes=classes)
    before, spent = target.digest(), []
    for units, gone in enumerate(("r7", "r2"), 1):
        outcome = forget(target, gone, store=store)
        after = outcome.target
        assert earn(outcome.claim, evidence=outcome.own, before=outcome.before, after=after.digest()) == outcome.claim
        assert recounted(outcome.proof) == "" and recount(outcome.proof) == pytest.approx(outcome.claim.epsilon)
        assert (outcome.proof.units, outcome.proof.valid_until, outcome.claim.adversary) == (units, None, "oblivious")
        assert gone not in after.ids and len(after.ids) == N - units and target.digest() == outcome.before
        spent.append(outcome.claim.epsilon)
        target = after
    assert target.digest() != before
    heads = len(classes) if loss == "one_vs_rest" else 1
    assert 0 < spent[0] < spent[1] < 0.8 and outcome.claim.delta == 1e-4 + heads * 1e-12


@pytest.mark.parametrize("certify_on", COUNTS)
def test_a_count_that_looks_at_rows_and_noise_earns_nothing_and_tells_no_number(certify_on):
    outcome = forget(trained(certify_on=certify_on), "r1")
    assert isinstance(outcome.claim, Unproven) and f"certify_on {certify_on}" in outcome.claim.reason
    assert outcome.proof is None and outcome.own == () and set(outcome.left) == {"secret.safetensors", "secret.json"}
    assert "not certified" in outcome.notes["counted"] and not any(c.isdigit() for c in outcome.notes["counted"])


def test_the_proof_follows_from_the_saved_target(tmp_path):
    outcome = forget(trained(), "r1", "r2")
    outcome.target.save(tmp_path / "m")
    assert newton.prove(load_convex(tmp_path / "m")) == outcome.proof == newton.prove(outcome.target)
    less = replace(outcome.target, forgotten=0)
    assert newton.prove(less) != outcome.proof and newton.prove(trained(randomness="seed")) is None


def test_the_registries_know_the_method_and_its_accountant():
    assert methods.get("newton") is newton
    assert accountants.get(forget(trained(), "r1").proof.accountant).__name__ == "objective_perturbation"


@pytest.mark.parametrize("certify_on", ("worst", *COUNTS))
def test_the_certificate_of_other_rows_and_other_noise_is_the_same(certify_on):
    """Else what it says would tell of the rows: of theirs that went, or of their noise."""
    other = table(seed=8)
    one, two = (forget(trained(s, certify_on=certify_on), "r1", "r2", store=s) for s in (TABLE, other))
    proofs = [outcome.proof and replace(outcome.proof, after="") for outcome in (one, two)]
    assert proofs[0] == proofs[1] and (proofs[0] is not None) == (certify_on == "worst")
    assert one.left.keys() == two.left.keys() and one.notes == two.notes and one.claim == two.claim


@pytest.mark.parametrize("certify_on", COUNTS)
def test_whether_a_step_was_enough_is_not_told(certify_on, monkeypatch):
    target = trained(certify_on=certify_on)
    step = forget(target, "r1", "r2")
    monkeypatch.setattr(Ledger, "spent", lambda self, on: 2 * self.budget)
    training = forget(target, "r1", "r2")
    assert [m.target.model.requests_[-1].retrained for m in (step, training)] == ["", "same noise"]
    assert (step.claim, step.notes, step.left) == (training.claim, training.notes, training.left)


def test_a_spent_budget_of_bounds_keeps_the_noise_and_ends_at_the_refit():
    target = trained(sigma=0.05, lam=0.02, certify_on="bound")
    ids = [f"r{i}" for i in range(80)]
    outcome = forget(target, *ids)
    after = outcome.target.model
    assert after.requests_[-1].retrained == "same noise"
    assert (after.noise_[0] == target.model.noise_[0]).all()
    assert max(after.residuals()) <= after.ledgers_[0].tolerance
    fresh = ConvexModel(lam=0.02, sigma=0.05, seed=5).fit(TABLE.without(ids).X, TABLE.without(ids).y)
    head = fresh._heads[0]
    exact = replace(head, objective=replace(head.objective, b=target.model.noise_[0])).retrained()
    np.testing.assert_allclose(after.coef_, exact.W, atol=1e-6)


def test_a_spent_worst_case_draws_fresh_noise_and_says_epsilon_of_what_a_training_leaves():
    target = trained(sigma=0.2)
    outcome = forget(target, *[f"r{i}" for i in range(80)])
    assert outcome.target.model.requests_[-1].retrained == "fresh noise"
    assert not (outcome.target.model.noise_[0] == target.model.noise_[0]).any()
    assert outcome.claim.epsilon == pytest.approx(0.8 * 2e-4) and outcome.left == {}
    assert "fresh noise" in outcome.proof.assumptions[-1]
    assert int(numbers(outcome)["n"]) == N - 80 and outcome.proof.units == 80


@settings(max_examples=6)
@given(order=st.permutations(range(6)), cut=st.integers(1, 5))
def test_the_order_of_deletions_changes_rounding_only(order, cut):
    target = trained(polish=6, randomness="seed", certify_on="bound")
    ids = [f"r{i}" for i in order]
    there = target.forgetting(ids)
    back = target.forgetting(sorted(ids[:cut])).forgetting(sorted(ids[cut:], reverse=True))
    np.testing.assert_allclose(there.model.coef_, back.model.coef_, atol=1e-9)
    assert there.forgotten == back.forgotten == 6


def test_nothing_forgotten_costs_nothing_and_asking_twice_costs_nothing_more():
    target = trained()
    strangers = Selection(forget=Table(["x1"], np.ones((1, 3)), [1]).all())
    outcome = newton.unlearn(target, strangers, seed=0)
    assert (
        outcome.claim == Certified(0.0, 1e-4 + 1e-12, "oblivious") and outcome.target is target and outcome.left == {}
    )
    once = forget(target, "r1")
    again = forget(once.target, "r1")
    assert again.claim == once.claim and again.target.digest() == once.target.digest()


def test_a_proof_with_less_noise_than_the_training_had_comes_to_another_epsilon():
    proof = forget(trained(), "r1").proof
    wrong = {**dict(proof.numbers), "sigma": "5.0"}
    assert "its numbers come to" in recounted(replace(proof, numbers=tuple(sorted(wrong.items()))))
    ends = {"before": "", "after": proof.after}
    low = Certified(proof.epsilon / 2, proof.delta, "oblivious")
    assert isinstance(earn(low, evidence=(proof,), **ends), Unproven)
    assert isinstance(earn(Certified(0.8, proof.delta, "adaptive"), evidence=(proof,), **ends), Unproven)


def test_the_worst_case_number_of_records_is_the_last_that_needs_no_training():
    target = trained(certify_on="worst", sigma=40.0)
    most = target.model.lasts()
    assert 1 < most < 40
    for count, how in ((most, ""), (most + 1, "fresh noise")):
        after = forget(target, *[f"r{i}" for i in range(count)]).target
        assert after.model.requests_[-1].retrained == how
    one = forget(target, "r0")
    assert int(numbers(one)["units_before_training_at_worst"]) == one.target.model.lasts() < most


def test_what_is_left_is_named_while_it_is_there():
    target = trained(certify_on="worst", sigma=40.0)
    assert target.left() == {}
    step = forget(target, "r1").target
    assert set(step.left()) == {"secret.safetensors", "secret.json"}
    fresh = replace(step, model=step.model.redrawn())
    assert fresh.left() == {} and fresh.model.ledgers_[0].bound == 0.0


def test_everything_can_be_forgotten():
    outcome = forget(trained(), *TABLE.ids())
    assert not outcome.target.ids and outcome.left == {} and outcome.proof is None
    assert "no record is left" in outcome.claim.reason


@pytest.mark.parametrize("certify_on", ("worst", *COUNTS))
def test_noise_that_follows_from_a_seed_earns_nothing(certify_on):
    with pytest.raises(ClaimError, match="follows from its seed"):
        forget(trained(randomness="seed", certify_on=certify_on), "r1")


def test_another_provenance_is_refused():
    other = Learner(make("ridge", {}).fit(TABLE.X, TABLE.X[:, :1], ids=TABLE.ids()))
    with pytest.raises(ClaimError, match="provenance Convex"):
        forget(other, "r1")


def test_a_loss_of_ones_own_forgets_in_memory_and_is_refused_where_it_is_not_convex(tmp_path):
    class Wavy:
        name, reads, C, gamma = "wavy", "sign", 1.0, 1.0

        def value(self, Z, y):
            return np.cos(Z[:, 0])

        def gradient(self, Z, y):
            return -np.sin(Z)

        def curvature(self, Z, y):
            return -np.cos(Z)[:, :, None]

    class Own:
        name, reads, C, gamma = "own", "sign", 1.0, 0.25
        value, gradient, curvature = logistic.value, logistic.gradient, logistic.curvature

    with pytest.raises(ConfigError, match="wavy is not convex"):
        ConvexModel(loss=Wavy(), lam=5.0, seed=None).fit(TABLE.X, TABLE.y, ids=TABLE.ids())
    model = ConvexModel(loss=Own(), classes=(0, 1), lam=0.5, seed=None, secure=True)
    target = ConvexTarget(model.fit(TABLE.X, TABLE.y, ids=TABLE.ids()))
    outcome = forget(target, "r1")
    assert 0 < outcome.claim.epsilon < 1 and recounted(outcome.proof) == ""
    with pytest.raises(TargetError, match="loss of your own cannot be saved"):
        outcome.target.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())
