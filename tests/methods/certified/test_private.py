"""Deletions answered by accounting: nothing happens to the weights, and epsilon is of all requests together."""

from dataclasses import replace

import numpy as np
import pytest

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.recount import recount, recounted
from expunge.core.earning import earn
from expunge.core.errors import ClaimError
from expunge.core.guarantee import Certified, Unproven
from expunge.core.selection import Selection
from expunge.data.table import Table
from expunge.engine.recipes.private import PrivateTraining
from expunge.engine.trainers.module import Module
from expunge.methods.certified.private import private
from expunge.targets.private.account import Mechanism
from expunge.testing.toy import toy_model

X = np.random.default_rng(3).normal(size=(20, 2))
TABLE = Table([f"r{i}" for i in range(20)], X, (X[:, 0] > 0).astype(int))
SIGMA, STEPS = 24.0, 4
"""Four steps over all rows are one with sigma 12, whose epsilon is exact."""


def trained(randomness="secret", **settings):
    mechanism = Mechanism(sigma=SIGMA, rate=1.0, steps=STEPS, clip=0.5, randomness=randomness)
    learner = Module("torch.nn:Linear", (0, 1), {"in_features": 2, "out_features": 2})
    return PrivateTraining(learner, mechanism, 1e-5, 20.0, **settings).train(TABLE, seed=4)


def asked(*ids):
    return Selection(forget=TABLE.get(ids))


def test_the_weights_stay_and_epsilon_is_of_all_requests_together():
    target = trained()
    first = private.unlearn(target, asked("r1", "r2"), seed=0)
    second = private.unlearn(first.target, asked("r7"), seed=0)
    for outcome, units in ((first, 2), (second, 3)):
        assert outcome.target.weights_digest() == target.weights_digest()
        expected = gaussian_epsilon(1e-5, sigma=SIGMA / np.sqrt(STEPS), records=units)
        assert outcome.claim == Certified(outcome.claim.epsilon, 1e-5, "oblivious")
        assert outcome.claim.epsilon == pytest.approx(expected, rel=1e-9)
        assert outcome.proof.units == units and outcome.cost.bytes_changed == 0
        assert recount(outcome.proof) == outcome.proof.epsilon == outcome.claim.epsilon
    assert target.account.spent == 0 and first.target.digest() != target.digest() == first.before
    assert "r1" not in second.target.ids and "r3" in second.target.ids


def test_asking_twice_or_for_strangers_costs_nothing():
    once = private.unlearn(trained(), asked("r1"), seed=0)
    assert private.unlearn(once.target, asked("r1"), seed=0).claim == once.claim
    small = PrivateTraining(
        Module("torch.nn:Linear", (0, 1), {"in_features": 2, "out_features": 2}),
        Mechanism(sigma=SIGMA, rate=1.0, steps=STEPS, clip=0.5),
        1e-5,
        20.0,
    ).train(TABLE.without(["r1"]), seed=4)
    assert private.unlearn(small, asked("r1"), seed=0).claim == Certified(0.0, 1e-5, "oblivious")


def test_a_spent_limit_refuses_and_changes_nothing():
    limit = gaussian_epsilon(1e-5, sigma=SIGMA / np.sqrt(STEPS), records=2) * (1 + 1e-9)
    target = trained(limit=limit)
    two = private.unlearn(target, asked("r1", "r2"), seed=0).target
    with pytest.raises(ClaimError, match="the budget is spent"):
        private.unlearn(two, asked("r3"), seed=0)
    with pytest.raises(ClaimError, match="the budget is spent"):
        private.check(target, asked("r1", "r2", "r3"), seed=0)
    assert two.account.spent == 2


def test_noise_that_follows_from_a_seed_earns_nothing():
    with pytest.raises(ClaimError, match="follows from its seed"):
        private.unlearn(trained("seed"), asked("r1"), seed=0)


def test_another_provenance_is_refused():
    with pytest.raises(ClaimError, match="provenance Private"):
        private.unlearn(toy_model(), asked("r1"), seed=0)


def test_the_proof_earns_the_claim_and_its_absence_does_not():
    outcome = private.unlearn(trained(), asked("r1"), seed=0)
    ends = {"before": outcome.before, "after": outcome.target.digest()}
    assert earn(outcome.claim, evidence=outcome.own, **ends) == outcome.claim
    assert isinstance(earn(outcome.claim, **ends), Unproven)
    assert isinstance(earn(outcome.claim, evidence=outcome.own, **{**ends, "after": outcome.before}), Unproven)
    assert isinstance(earn(Certified(outcome.claim.epsilon, 1e-5, "adaptive"), evidence=outcome.own, **ends), Unproven)


def test_a_proof_with_less_noise_than_the_training_had_comes_to_another_epsilon():
    proof = private.unlearn(trained(), asked("r1"), seed=0).proof
    assert recounted(proof) == ""
    wrong = {**dict(proof.numbers), "sigma": repr(SIGMA / 2)}
    assert "its numbers come to" in recounted(replace(proof, numbers=tuple(sorted(wrong.items()))))


def test_a_limit_says_until_when_it_lasts_and_none_says_nothing():
    limit = gaussian_epsilon(1e-5, sigma=SIGMA / np.sqrt(STEPS), records=3) * (1 + 1e-9)
    first = private.unlearn(trained(limit=limit), asked("r1"), seed=0)
    assert (first.proof.units, first.proof.valid_until, first.target.account.left()) == (1, 3, 2)
    last = private.unlearn(first.target, asked("r2", "r3"), seed=0)
    assert (last.proof.units, last.proof.valid_until) == (3, 3)
    unlimited = private.unlearn(trained(), asked("r1"), seed=0)
    assert unlimited.proof.valid_until is None and unlimited.target.account.left() is None


def test_a_training_anew_is_said_not_to_count_the_one_before():
    proof = private.unlearn(trained(), asked("r1"), seed=0).proof
    assert "in this one training" in proof.retained
    assert any("trained anew afterwards" in sentence and "add" in sentence for sentence in proof.assumptions)
