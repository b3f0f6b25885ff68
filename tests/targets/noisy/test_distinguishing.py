"""No mechanism is beaten at what it states, and the same game beats it when its noise is halved.

That holds for every bound that is proven here, each on an instance that nearly meets it. Under a published bound the
noise is so large that half of it still keeps the promise, as the proven bound shows, so that no test may catch it. The
factor that is caught there stands in the test: descent 3.5, one-shot removal 6, Langevin 20. So it does for clipped
gradients that push outward as hard as the start: 2.5 over five steps, since their noise hides where to push.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from expunge.accounting.shifted import rho_epsilon
from expunge.targets.noisy import block_schedule, descent_to_delete, fine_tuning, langevin, one_shot_removal
from expunge.targets.noisy.block_schedule import BlockSchedule
from expunge.targets.noisy.descent_to_delete import DescentToDelete
from expunge.targets.noisy.fine_tuning import GradientClipping, ModelClipping
from expunge.targets.noisy.langevin import Langevin
from expunge.targets.noisy.losses import Logistic
from expunge.targets.noisy.noise import F, noised
from expunge.targets.noisy.one_shot_removal import OneShotRemoval
from expunge.testing.games import Game, play

from .conftest import Tilted

EPSILON, DELTA = 1.0, 0.02
Bound = Literal["paper", "derived"]


def around(unlearned: F, retrained: F, sigma: float) -> Game:
    """A game between two points under the same noise."""

    def world(point: F) -> Callable[[int, np.random.Generator], F]:
        return lambda plays, rng: noised(np.broadcast_to(point, (plays, len(point))), sigma, rng)

    return play(world(unlearned), world(retrained), epsilon=EPSILON, delta=DELTA, seed=3)


def descent_worlds(bound: Bound) -> tuple[float, DescentToDelete, F, F]:
    """The share of the bound that is met, the plan, and both iterates, for a start across the ball."""
    drift, rows = 0.0, 400
    for _ in range(20):
        radius = 5.06 * drift + 1e-6
        loss = Tilted(penalty=0.5, radius=radius, tilt=1.0, bend=0.5)
        made = DescentToDelete(constants=loss.constants, rows=rows, steps=2, sigma=1.0, delta=DELTA, bound="derived")
        drift = made.drift
    plan = replace(made, bound=bound).calibrated(EPSILON)
    left = made.fewest
    others = 0.5 * (radius - drift)
    X = np.array([[others, 0.0]] * left + [[1.0, 0.0]])
    y, rng, start = np.ones(left + 1), np.random.default_rng(0), np.array([radius, 0.0])
    before = descent_to_delete.train(plan, loss, X, y, rng, start=start)
    after = descent_to_delete.forget(plan, loss, before, X[:-1], y[:-1], rng)
    again = descent_to_delete.train(plan, loss, X[:-1], y[:-1], rng, start=start)
    share = float(np.linalg.norm(after.weights - again.weights)) / plan.sensitivity
    return share, plan, after.weights, again.weights


@pytest.mark.parametrize(("bound", "caught"), [("derived", 2.0), ("paper", 3.5)])
def test_descent_to_delete(bound: Bound, caught: float) -> None:
    share, plan, unlearned, retrained = descent_worlds(bound)
    assert share <= 1
    assert not around(unlearned, retrained, plan.sigma).beaten
    assert around(unlearned, retrained, plan.sigma / caught).beaten
    halved = replace(plan, sigma=plan.sigma / 2, bound="derived")
    assert (halved.epsilon <= EPSILON) == (bound == "paper")


@pytest.mark.parametrize(("less", "beaten"), [(1.0, False), (2.0, True)])
def test_descent_to_delete_without_a_secret(less: float, beaten: bool) -> None:
    """A slow contraction: the noise that is carried on is small beside the drift, and whole steps waste little."""
    drift = 0.0
    for _ in range(20):
        loss = Tilted(penalty=0.5, radius=5.06 * drift + 1e-6, tilt=1.0, bend=4.0)
        plan = DescentToDelete(
            constants=loss.constants, rows=4000, steps=20, sigma=1.0, delta=DELTA, bound="derived", secret=False
        )
        drift = plan.drift
    plan = plan.calibrated(EPSILON)
    weak = replace(plan, sigma=plan.sigma / less)
    X = np.array([[0.5 * (loss.constants.radius - drift), 0.0]] * plan.fewest + [[1.0, 0.0]] * 2)
    y = np.ones(len(X))

    def retrained(plays: int, rng: np.random.Generator) -> F:
        start = np.broadcast_to([loss.constants.radius, 0.0], (plays, 2))
        state = descent_to_delete.train(weak, loss, X[:-2], y[:-2], rng, start=start)
        return descent_to_delete.publish(weak, state, rng)

    def unlearned(plays: int, rng: np.random.Generator) -> F:
        start = np.broadcast_to([loss.constants.radius, 0.0], (plays, 2))
        state = descent_to_delete.train(weak, loss, X, y, rng, start=start)
        for left in (len(X) - 1, len(X) - 2):
            state = descent_to_delete.forget(weak, loss, state, X[:left], y[:left], rng)
        return descent_to_delete.publish(weak, state, rng)

    assert play(unlearned, retrained, epsilon=EPSILON, delta=DELTA, seed=4).beaten == beaten


@pytest.mark.parametrize(("bound", "caught"), [("derived", 2.0), ("paper", 6.0)])
def test_one_shot_removal(bound: Bound, caught: float) -> None:
    rows, taken = 400, 5
    pull = taken / (rows - taken)
    loss = Tilted(penalty=0.5, radius=2.1 * pull, tilt=1.0, third=1.0)
    plan = OneShotRemoval(constants=loss.constants, rows=rows, most=taken, sigma=1.0, delta=DELTA, bound=bound)
    plan = plan.calibrated(EPSILON)
    X, y = np.array([[1.0, 0.0]] * taken + [[-pull, 0.0]] * (rows - taken)), np.ones(rows)
    kept = one_shot_removal.fit(plan, loss, X, y)
    unlearned = one_shot_removal.remove(plan, loss, kept, X[:taken], y[:taken])
    retrained = one_shot_removal.fit(plan, loss, X[taken:], y[taken:]).weights
    assert np.linalg.norm(unlearned - retrained) <= plan.sensitivity(taken)
    assert not around(unlearned, retrained, plan.sigma).beaten
    assert around(unlearned, retrained, plan.sigma / caught).beaten
    halved = replace(plan, sigma=plan.sigma / 2, bound="derived")
    assert (halved.epsilon(taken) <= EPSILON) == (bound == "paper")


@pytest.mark.parametrize(
    ("bound", "less", "beaten"), [("derived", 1, False), ("derived", 2, True), ("paper", 2, False), ("paper", 20, True)]
)
def test_langevin(bound: Bound, less: float, beaten: bool) -> None:
    loss = Tilted(penalty=0.5, radius=4.0, tilt=1.0)
    plan = Langevin(
        constants=loss.constants, rows=20, lr=0.8, temperature=1.0, steps=(8, 2, 2), removed=(1, 1), bound=bound
    ).calibrated(EPSILON, DELTA)
    halved = replace(plan, temperature=plan.temperature / 2, bound="derived")
    assert (halved.epsilon(DELTA) <= EPSILON) == (bound == "paper")
    weak = replace(plan, temperature=plan.temperature / less)
    X, y = np.array([[1.0, 0.0]] * 2 + [[0.0, 0.0]] * 18), np.ones(20)

    def unlearned(plays: int, rng: np.random.Generator) -> F:
        weights = np.zeros((plays, 2))
        for gone, steps in enumerate(weak.steps):
            weights = langevin.run(weak, loss, weights, X[gone:], y[gone:], steps, rng)
        return weights

    def retrained(plays: int, rng: np.random.Generator) -> F:
        return langevin.run(weak, loss, np.zeros((plays, 2)), X[2:], y[2:], sum(weak.steps), rng)

    assert play(unlearned, retrained, epsilon=EPSILON, delta=DELTA, seed=5).beaten == beaten


@pytest.mark.parametrize(("less", "beaten"), [(1, False), (2, True)])
def test_all_publications_together_keep_to_what_is_said_of_a_row_that_stays(less: int, beaten: bool) -> None:
    loss = Tilted(penalty=0.5, radius=4.0, tilt=1.0)
    plan = Langevin(constants=loss.constants, rows=20, lr=0.8, temperature=0.12, steps=(3, 2, 2), removed=(1, 1))
    weak = replace(plan, temperature=plan.temperature / less)
    X, y = np.array([[0.0, 0.0]] * 19 + [[1.0, 0.0]]), np.ones(20)

    def world(rows: int) -> Callable[[int, np.random.Generator], F]:
        def published(plays: int, rng: np.random.Generator) -> F:
            weights, seen = np.zeros((plays, 2)), list[F]()
            for gone, steps in enumerate(weak.steps):
                weights = langevin.run(weak, loss, weights, X[gone:rows], y[gone:rows], steps, rng)
                seen.append(weights)
            return np.concatenate(seen, axis=1)

        return published

    # Innovations, given what was published before: the row adds to each what its run is pulled by.
    c = 1 - weak.lr * 0.5
    pulls = [sum(c**k for k in range(steps)) for steps in weak.steps]
    spreads = [sum(c ** (2 * k) for k in range(steps)) for steps in weak.steps]

    def score(out: F) -> F:
        firsts = np.pad(out[:, ::2], ((0, 0), (1, 0)))
        new = [firsts[:, i + 1] - c**steps * firsts[:, i] for i, steps in enumerate(weak.steps)]
        return np.sum([-a * x / v for a, x, v in zip(pulls, new, spreads, strict=True)], axis=0)

    epsilon = rho_epsilon(plan.retained_rho, DELTA)
    game = play(world(20), world(19), epsilon=epsilon, delta=DELTA, seed=9, log_ratio=score)
    assert game.beaten == beaten


def outward(weights: F, step: int) -> F:
    """A gradient that pushes two models apart as fast as its clip lets it."""
    return np.stack((-9.0 * np.sign(weights[..., 0]), np.zeros_like(weights[..., 0])), -1)


def fine_tuned(plan: GradientClipping | ModelClipping, seed: int) -> Game:
    def world(side: float) -> Callable[[int, np.random.Generator], F]:
        return lambda plays, rng: fine_tuning.fine_tune(
            plan, np.broadcast_to([9.0 * side, 0.0], (plays, 2)).copy(), outward, rng
        )

    return play(world(1.0), world(-1.0), epsilon=EPSILON, delta=DELTA, seed=seed)


@pytest.mark.parametrize(("steps", "clip", "caught"), [(1, 0.5, 2.0), (2, 0.5, 2.0), (5, 0.1, 2.0), (5, 0.5, 3.0)])
@pytest.mark.parametrize("decay", [0.0, 0.4])
def test_gradient_clipping(steps: int, clip: float, caught: float, decay: float) -> None:
    plan = GradientClipping(start_clip=1.0, gradient_clip=clip, lr=0.5, decay=decay, sigma=1.0, steps=steps)
    plan = plan.calibrated(EPSILON, DELTA)
    assert not fine_tuned(plan, 6).beaten
    assert fine_tuned(replace(plan, sigma=plan.sigma / caught), 6).beaten


def test_a_schedule_over_blocks() -> None:
    plan = GradientClipping(start_clip=1.0, gradient_clip=0.3, lr=0.5, decay=0.2, sigma=1.0, steps=1)
    schedule = BlockSchedule(plan=plan, sizes=(1, 1)).calibrated(EPSILON, DELTA)

    def game(less: float) -> Game:
        weak = replace(schedule, plan=replace(schedule.plan, sigma=schedule.plan.sigma / less))

        def world(side: float) -> Callable[[int, np.random.Generator], F]:
            return lambda plays, rng: block_schedule.fine_tune_blocks(
                weak, np.full((plays, 2), 9.0 * side), lambda w, _: -9.0 * np.sign(w), rng
            )

        return play(world(1.0), world(-1.0), epsilon=EPSILON, delta=DELTA, seed=8)

    assert not game(1.0).beaten
    assert game(2.0).beaten


@pytest.mark.parametrize(("steps", "caught"), [(1, 2.0), (3, 2.0)])
def test_model_clipping(steps: int, caught: float) -> None:
    plan = ModelClipping(clip=1.0, lr=0.5, sigma=1.0, steps=steps).calibrated(EPSILON, DELTA)
    assert not fine_tuned(plan, 7).beaten
    assert fine_tuned(replace(plan, sigma=plan.sigma / caught), 7).beaten


def test_logistic_loss_keeps_far_within_its_certificates(people: tuple[F, F]) -> None:
    X, y = people
    loss = Logistic(penalty=0.1, radius=10.0)
    rng = np.random.default_rng(0)
    plan = DescentToDelete(constants=loss.constants, rows=60, steps=10, sigma=1.0, delta=DELTA).calibrated(EPSILON)
    before = descent_to_delete.train(plan, loss, X, y, rng, start=np.zeros(2))
    after = descent_to_delete.forget(plan, loss, before, X[1:], y[1:], rng)
    again = descent_to_delete.train(plan, loss, X[1:], y[1:], rng, start=np.zeros(2))
    assert not around(after.weights, again.weights, plan.sigma).beaten
    once = OneShotRemoval(constants=loss.constants, rows=60, most=3, sigma=1.0, delta=DELTA).calibrated(EPSILON)
    kept = one_shot_removal.fit(once, loss, X, y)
    removed = one_shot_removal.remove(once, loss, kept, X[:3], y[:3])
    retrained = one_shot_removal.fit(once, loss, X[3:], y[3:]).weights
    assert np.linalg.norm(removed - retrained) < np.linalg.norm(kept.weights - retrained) / 5
    assert not around(removed, retrained, once.sigma).beaten
