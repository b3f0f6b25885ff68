"""More noise and more steps never cost more, nothing deleted costs nothing, and what does not hold is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.errors import ConfigError, ExpungeError, RequestError, StoreError, TargetError
from expunge.targets.noisy import descent_to_delete, fine_tuning, langevin, one_shot_removal
from expunge.targets.noisy.block_schedule import BlockSchedule, fine_tune_blocks
from expunge.targets.noisy.descending import descend, into_ball
from expunge.targets.noisy.descent_to_delete import DescentToDelete
from expunge.targets.noisy.fine_tuning import GradientClipping, ModelClipping
from expunge.targets.noisy.langevin import Langevin
from expunge.targets.noisy.losses import Constants, Logistic, unit_rows
from expunge.targets.noisy.noise import F, noised, source
from expunge.targets.noisy.one_shot_removal import OneShotRemoval

LOSS = Logistic(penalty=0.1, radius=10.0)
KNOWN = LOSS.constants
DELTA = 1e-4
DESCENT = DescentToDelete(constants=KNOWN, rows=60, steps=4, sigma=1.0, delta=DELTA)
ONCE = OneShotRemoval(constants=KNOWN, rows=60, most=5, sigma=1.0, delta=DELTA)
NOISY = Langevin(constants=KNOWN, rows=60, lr=2.0, temperature=0.3, steps=(20, 5), removed=(2,))
CLIPPED = GradientClipping(start_clip=1.0, gradient_clip=0.2, lr=0.5, decay=0.4, sigma=1.0, steps=4)
BLOCKS = BlockSchedule(plan=CLIPPED, sizes=(2, 3))
BOXED = ModelClipping(clip=1.0, lr=0.5, sigma=1.5, steps=4)

PLANS: dict[str, tuple[Any, Callable[[Any], float], str]] = {
    "descent": (DESCENT, lambda p: p.epsilon, "sigma"),
    "descent derived": (replace(DESCENT, bound="derived"), lambda p: p.epsilon, "sigma"),
    "descent without a secret": (replace(DESCENT, secret=False), lambda p: p.epsilon, "sigma"),
    "one shot": (ONCE, lambda p: p.epsilon(5), "sigma"),
    "one shot derived": (replace(ONCE, bound="derived"), lambda p: p.epsilon(5), "sigma"),
    "langevin": (NOISY, lambda p: p.epsilon(DELTA), "temperature"),
    "langevin derived": (replace(NOISY, bound="derived"), lambda p: p.epsilon(DELTA), "temperature"),
    "gradient clipping": (CLIPPED, lambda p: p.epsilon(DELTA), "sigma"),
    "model clipping": (BOXED, lambda p: p.epsilon(DELTA), "sigma"),
}


@pytest.mark.parametrize("name", PLANS)
@settings(max_examples=10)
@given(factor=st.floats(0.2, 5), more=st.floats(1.01, 3))
def test_more_noise_never_costs_more(name: str, factor: float, more: float) -> None:
    plan, epsilon, noise = PLANS[name]
    little = getattr(plan, noise) * factor
    less, much = (epsilon(replace(plan, **{noise: value})) for value in (little, little * more))
    assert much <= less


@pytest.mark.parametrize("name", ["descent", "descent derived", "descent without a secret", "model clipping"])
@settings(max_examples=20)
@given(steps=st.integers(1, 40))
def test_more_steps_never_cost_more(name: str, steps: int) -> None:
    plan, epsilon, _ = PLANS[name]
    assert epsilon(replace(plan, steps=steps + 1)) <= epsilon(replace(plan, steps=steps))


@pytest.mark.parametrize("bound", ["paper", "derived"])
@settings(max_examples=10)
@given(train=st.integers(0, 40), steps=st.integers(0, 40))
def test_more_steps_after_a_request_never_cost_more(bound: str, train: int, steps: int) -> None:
    plan = replace(NOISY, bound=bound, temperature=0.1)
    shorter, longer = (replace(plan, steps=(train, n)).epsilon(DELTA) for n in (steps, steps + 1))
    assert longer <= shorter * (1 + 1e-9)


@settings(max_examples=20)
@given(steps=st.integers(1, 40))
def test_more_steps_cost_less_where_decay_outweighs_the_gradients(steps: int) -> None:
    free = replace(CLIPPED, gradient_clip=0.0)
    assert replace(free, steps=steps + 1).rho < replace(free, steps=steps).rho


@settings(max_examples=10)
@given(removed=st.integers(1, 4), more=st.integers(1, 5))
def test_more_records_never_cost_less(removed: int, more: int) -> None:
    for bound in ("paper", "derived"):
        few, many = (replace(NOISY, removed=(n,), bound=bound).epsilon(DELTA) for n in (removed, removed + more))
        assert few <= many
        once = replace(ONCE, most=10, bound=bound)
        assert once.epsilon(removed) <= once.epsilon(removed + more)
        descent = replace(DESCENT, bound=bound)
        assert descent.epsilon <= replace(descent, per_request=1 + more).epsilon


@settings(max_examples=20)
@given(train=st.integers(0, 60), steps=st.integers(1, 30), second=st.integers(1, 30))
def test_what_is_derived_is_never_above_the_paper(train: int, steps: int, second: int) -> None:
    plan = replace(NOISY, steps=(train, steps, second), removed=(2, 3))
    for order in (1.1, 3.0, 40.0):
        assert 2 * order * plan.rho <= plan.renyi(order) * (1 + 1e-9)
    descent = replace(DESCENT, steps=steps, per_request=second)
    assert 2 * replace(descent, bound="derived").steady <= descent.steady * (1 + 1e-12)
    once = replace(ONCE, most=30)
    assert replace(once, bound="derived").sensitivity(second) <= once.sensitivity(second)


def test_deleting_nothing_costs_nothing(people: tuple[F, F]) -> None:
    X, y = people
    assert ONCE.epsilon(0) == 0
    assert replace(NOISY, removed=(0,)).epsilon(DELTA) == 0
    assert replace(NOISY, removed=(0,), bound="derived").epsilon(DELTA) == 0
    state = descent_to_delete.train(DESCENT, LOSS, X, y, source(1), start=np.zeros(2))
    assert descent_to_delete.forget(DESCENT, LOSS, state, X, y, source(1)) is state
    kept = one_shot_removal.fit(ONCE, LOSS, X, y)
    assert one_shot_removal.remove(ONCE, LOSS, kept, X[:0], y[:0]) is kept.weights


@pytest.mark.parametrize("epsilon", [0.3, 4.0])
def test_calibrated_noise_is_just_enough(epsilon: float) -> None:
    for plan in (DESCENT, replace(DESCENT, secret=False)):
        assert epsilon * (1 - 1e-6) < plan.calibrated(epsilon).epsilon <= epsilon * (1 + 1e-9)
    assert ONCE.calibrated(epsilon).epsilon(5) == pytest.approx(epsilon, rel=1e-6)
    for other in (NOISY, replace(NOISY, bound="derived"), CLIPPED, BLOCKS, BOXED):
        assert epsilon * (1 - 1e-6) < other.calibrated(epsilon, DELTA).epsilon(DELTA) <= epsilon * (1 + 1e-9)


def test_every_request_comes_back_within_the_steady_distance(people: tuple[F, F]) -> None:
    X, y = people
    state = descent_to_delete.train(DESCENT, LOSS, X, y, source(1), start=np.zeros(2))
    for left in range(59, 49, -1):
        optimum = descend(LOSS, np.zeros(2), X[:left], y[:left], 300)
        state = descent_to_delete.forget(DESCENT, LOSS, state, X[:left], y[:left], source(1))
        assert np.linalg.norm(state.weights - optimum) <= DESCENT.steady


def test_the_order_of_deletions_does_not_matter(people: tuple[F, F]) -> None:
    X, y = people
    kept = one_shot_removal.fit(ONCE, LOSS, X, y)
    one, other = (one_shot_removal.remove(ONCE, LOSS, kept, X[order], y[order]) for order in ([0, 1, 2], [2, 0, 1]))
    assert np.allclose(one, other, rtol=0, atol=1e-15)


def test_steps_grow_with_the_requests_where_nothing_is_secret() -> None:
    known = Logistic(penalty=0.5, radius=2.0).constants
    plan = DescentToDelete(constants=known, rows=10_000, steps=4, sigma=0.02, delta=DELTA, secret=False)
    steps = [plan.request_steps(index, 2) for index in (1, 10, 10**6)]
    assert plan.steps < steps[0] <= steps[1] <= steps[2] and steps[0] < steps[2]
    assert DESCENT.request_steps(10**6, 2) == DESCENT.steps
    assert replace(plan, sigma=1e9).request_steps(1, 2) <= plan.first_steps(np.array([2.0, 0.0]))


def test_projection_is_into_the_ball_not_onto_the_sphere() -> None:
    inside = np.array([[0.1, 0.2], [0.0, 0.0]])
    assert (into_ball(inside, 1.0) == inside).all()
    assert np.allclose(np.linalg.norm(into_ball(1e8 * (inside + 1), 2.0), axis=1), 2)


def test_long_rows_are_clipped_where_that_is_declared(people: tuple[F, F]) -> None:
    X, y = people
    long, loss = X * np.where(np.arange(60) == 7, 9.0, 1.0)[:, None], Logistic(0.1, 10.0, beyond="clip")
    inside = long / np.maximum(1.0, np.linalg.norm(long, axis=1))[:, None]
    assert np.array_equal(
        one_shot_removal.fit(ONCE, loss, long, y).weights, one_shot_removal.fit(ONCE, LOSS, inside, y).weights
    )


@settings(max_examples=10)
@given(heads=st.sampled_from([4, 9]), temperature=st.floats(0.1, 2))
def test_heads_cost_what_one_does_at_as_much_less_noise(heads: int, temperature: float) -> None:
    for bound in ("paper", "derived"):
        one = replace(NOISY, bound=bound, temperature=temperature / heads**0.5)
        many = replace(NOISY, bound=bound, temperature=temperature, heads=heads)
        assert many.epsilon(DELTA) == pytest.approx(one.epsilon(DELTA), rel=1e-9)
        assert many.renyi(3.0) == pytest.approx(one.renyi(3.0), rel=1e-9)


def test_descent_keeps_within_a_ball_that_the_minimum_is_outside_of(people: tuple[F, F]) -> None:
    X, y = people
    narrow = Logistic(penalty=0.1, radius=0.3)
    assert np.linalg.norm(descend(LOSS, np.zeros(2), X, y, 300)) > 0.6
    found = descend(narrow, np.zeros(2), X, y, 300)
    slope = narrow.row_sum(found, X, y) / len(X) + 0.1 * found
    assert np.linalg.norm(found) == pytest.approx(0.3, abs=1e-12)
    # At the least point of the ball the slope points straight inwards.
    assert found @ slope == pytest.approx(-0.3 * np.linalg.norm(slope))


def test_removal_takes_the_rows_out_of_the_curvature_too(people: tuple[F, F]) -> None:
    X, y = people
    kept = one_shot_removal.without(ONCE, LOSS, one_shot_removal.fit(ONCE, LOSS, X, y), X[:5], y[:5])
    np.testing.assert_allclose(kept.curvature, LOSS.hessian_sum(kept.weights, X[5:], y[5:]), rtol=1e-12)


def test_publications_of_a_line_cost_what_one_does_at_as_much_less_noise() -> None:
    for plan in (DESCENT, replace(DESCENT, secret=False)):
        nine = replace(plan, requests=9, sigma=3 * plan.sigma)
        assert nine.epsilon == pytest.approx(plan.epsilon) and nine.sensitivity == plan.sensitivity
        assert nine.calibrated(0.7).sigma == pytest.approx(3 * plan.calibrated(0.7).sigma)
    nine = replace(ONCE, requests=9, sigma=3 * ONCE.sigma)
    assert nine.epsilon(4) == pytest.approx(ONCE.epsilon(4))
    assert nine.calibrated(0.7).sigma == pytest.approx(3 * ONCE.calibrated(0.7).sigma)


def test_rounding_counts_where_steps_leave_nothing_else() -> None:
    many = replace(DESCENT, rows=10**7, steps=10**4)
    assert many.sensitivity > 500 * replace(DESCENT, steps=10**4).sensitivity  # a sum of so many loses more
    assert many.first_steps(np.zeros(2)) > 20
    assert replace(DESCENT, steps=10**4).sensitivity > 1e-12


def test_clipped_rows_pull_no_further(people: tuple[F, F]) -> None:
    X, y = people
    clipped = Logistic(penalty=0.1, radius=10.0, clip=0.2)
    for weights in (np.zeros(2), np.array([-6.0, 1.0])):
        each = [clipped.row_sum(weights, X[i : i + 1], y[i : i + 1]) for i in range(len(X))]
        assert np.linalg.norm(each, axis=1).max() <= 0.2 * (1 + 1e-12)
    descend(clipped, np.array([-6.0, 1.0]), X, y, 50)


def test_the_noise_of_many_runs_is_the_noise_of_one(people: tuple[F, F]) -> None:
    X, y = people
    alone = langevin.run(NOISY, LOSS, np.zeros((1, 2)), X, y, 5, source(4))
    assert np.array_equal(alone[0], langevin.run(NOISY, LOSS, np.zeros(2), X, y, 5, source(4)))


class Saddle(Logistic):
    """Says what logistic loss may say, and is not convex."""

    def row_sum(self, weights: F, X: F, y: F) -> F:
        return -len(X) * 0.5 * np.tanh(weights)


class Steep(Logistic):
    """Pulls harder than it says."""

    def row_sum(self, weights: F, X: F, y: F) -> F:
        return np.full_like(weights, 1.5 * len(X))


def refusals(X: F, y: F) -> dict[str, tuple[type[ExpungeError], str, Callable[[], object]]]:
    """What is refused, and what the message names."""
    state = descent_to_delete.train(DESCENT, LOSS, X, y, source(1), start=np.zeros(2))
    kept = one_shot_removal.fit(ONCE, LOSS, X, y)
    long = np.concatenate((X[:-1], [[3.0, 4.0]]))
    rng, other = source(1), Logistic(penalty=0.2, radius=10.0)
    wide = np.full((60, 2), 1.0)
    return {
        "no penalty": (ConfigError, "strongly convex", lambda: Logistic(penalty=0.0, radius=1.0).constants),
        "concave": (ConfigError, "convex", lambda: Constants(strong=-1, smooth=1, row_bound=1, penalty=0, radius=1)),
        "not what it says": (ConfigError, "less convex", lambda: descend(Saddle(0.1, 10.0), np.full(2, 0.1), X, y, 9)),
        "long row": (StoreError, "norm 5", lambda: unit_rows(long, y)),
        "long gradients": (ConfigError, "exceed", lambda: descend(LOSS, np.zeros(2), 5 * wide, np.ones(60), 2)),
        "long gradients under noise": (
            ConfigError,
            "exceed",
            lambda: langevin.run(NOISY, Steep(0.1, 10.0), np.zeros(2), X, y, 1, rng),
        ),
        "long row in a training": (
            StoreError,
            "norm 5",
            lambda: descent_to_delete.train(DESCENT, LOSS, long, y, rng, start=np.zeros(2)),
        ),
        "long row in a removal": (
            StoreError,
            "norm 5",
            lambda: one_shot_removal.remove(ONCE, LOSS, kept, long[-1:], y[-1:]),
        ),
        "long row under noise": (StoreError, "norm 5", lambda: langevin.run(NOISY, LOSS, np.zeros(2), long, y, 1, rng)),
        "labels": (StoreError, r"\+1 or -1", lambda: unit_rows(X, y + 1)),
        "half precision": (ConfigError, "float16", lambda: noised(np.zeros(2, np.float16), 1.0, rng)),  # pyright: ignore[reportArgumentType]
        "single precision": (ConfigError, "float32", lambda: unit_rows(X.astype(np.float32), y)),
        "half-precision gradients": (
            ConfigError,
            "float16",
            lambda: fine_tuning.fine_tune(CLIPPED, np.zeros(2), lambda w, _: w.astype(np.float16), rng),
        ),
        "not finite": (
            ConfigError,
            "not finite",
            lambda: fine_tuning.fine_tune(BOXED, np.zeros(2), lambda w, _: w / 0, rng),
        ),
        "keyed and secure": (ConfigError, "not secure", lambda: source(7, secure=True)),
        "spent": (RequestError, "spent", lambda: spend(X, y)),
        "too many at once": (
            RequestError,
            "2 rows",
            lambda: descent_to_delete.forget(DESCENT, LOSS, state, X[2:], y[2:], rng),
        ),
        "more than the noise covers": (
            RequestError,
            "covers 5",
            lambda: one_shot_removal.remove(ONCE, LOSS, kept, X[:6], y[:6]),
        ),
        "another loss": (ConfigError, "another loss", lambda: one_shot_removal.remove(ONCE, other, kept, X[:1], y[:1])),
        "another number of rows": (ConfigError, "not 20", lambda: one_shot_removal.fit(ONCE, LOSS, X[:20], y[:20])),
        "a tolerance out of reach": (
            TargetError,
            "ended at a gradient",
            lambda: one_shot_removal.fit(replace(ONCE, tolerance=1e-300), LOSS, X, y),
        ),
        "more than half": (ConfigError, "half", lambda: replace(ONCE, most=31)),
        "no Hessian": (
            ConfigError,
            "Hessian",
            lambda: replace(ONCE, constants=replace(KNOWN, hessian_lipschitz=np.inf)),
        ),
        "learning rate": (ConfigError, "too large", lambda: replace(NOISY, lr=5.0)),
        "requests and steps": (ConfigError, "after each request", lambda: replace(NOISY, removed=(1, 1))),
        "decay": (ConfigError, "decay", lambda: replace(CLIPPED, decay=2.0)),
        "blocks": (ConfigError, "vector of 4", lambda: fine_tune_blocks(BLOCKS, np.zeros(4), lambda w, _: w, rng)),
        "no noise": (ConfigError, "sigma", lambda: replace(BOXED, sigma=0.0)),
    }


def spend(X: F, y: F) -> None:
    """Delete one row after another until the plan refuses."""
    state = descent_to_delete.train(DESCENT, LOSS, X, y, source(1), start=np.zeros(2))
    for left in range(59, 0, -1):
        assert state.rows > 30 or left < 30
        state = descent_to_delete.forget(DESCENT, LOSS, state, X[:left], y[:left], source(1))


REFUSED = list(refusals(np.array([[0.5, -0.5], [-0.3, 0.4]] * 30), np.array([1.0, -1.0] * 30)))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_hold_is_refused_with_the_reason(name: str, people: tuple[F, F]) -> None:
    error, message, act = refusals(*people)[name]
    with pytest.raises(error, match=message):
        act()


def test_blocks_that_are_done_stay_as_they_are() -> None:
    seen: list[F] = []

    def watch(weights: F, _: int) -> F:
        seen.append(weights.copy())
        return np.ones_like(weights)

    start = np.arange(5.0)
    end = fine_tune_blocks(BLOCKS, start, watch, source(2))
    assert len(seen) == 2 * CLIPPED.steps
    assert all((weights[2:] == start[2:]).all() for weights in seen[: CLIPPED.steps])
    assert all((weights[:2] == end[:2]).all() for weights in seen[CLIPPED.steps :])
    assert (start == np.arange(5.0)).all()


def test_a_secret_seed_is_never_the_same() -> None:
    assert source(None, secure=True).normal() != source(None, secure=True).normal()
    assert source(3, "noise").normal() == source(3, "noise").normal()
