"""The least cost of bringing two noisy processes together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.accounting.shifted import largest_rho, rho_epsilon, shifted_rho
from expunge.core.errors import ConfigError
from expunge.targets.noisy.fine_tuning import GradientClipping

gap = st.one_of(st.just(0.0), st.floats(0.01, 3))
step = st.tuples(gap, st.floats(0.05, 1), st.floats(0, 1))


@given(apart=st.floats(0, 5), steps=st.lists(step, min_size=1, max_size=12))
def test_no_other_payments_cost_less(apart: float, steps: list[tuple[float, float, float]]) -> None:
    z, cost = apart, 0.0
    for t, (added, contraction, share) in enumerate(steps):
        z = contraction * z + added
        paid = z if t == len(steps) - 1 else share * z
        z, cost = z - paid, cost + paid**2
    gaps, contractions, _ = zip(*steps, strict=True)
    assert shifted_rho(apart, gaps, contractions, 0.5) <= cost / 0.5 * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_a_solver_finds_the_same_least_cost(seed: int) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(seed)
    gaps, contractions = rng.uniform(0, 2, 6) * rng.integers(0, 2, 6), rng.uniform(0.4, 1, 6)

    def left(paid: np.ndarray) -> np.ndarray:
        z, track = 1.5, []
        for a, b, c in zip(paid, gaps, contractions, strict=True):
            z = c * z + b - a
            track.append(z)
        return np.array(track)

    found = optimize.minimize(
        lambda a: (a**2).sum(),
        np.ones(6),
        method="SLSQP",
        constraints=(
            {"type": "ineq", "fun": lambda a: left(a)[:-1]},
            {"type": "eq", "fun": lambda a: left(a)[-1:]},
        ),
    )
    assert shifted_rho(1.5, list(gaps), list(contractions), 0.5) == pytest.approx(found.fun / 0.5, rel=1e-4)


def test_a_long_run_neither_overflows_nor_forgets_its_last_gap() -> None:
    gaps, contractions = [1.0] * 5000, [0.5] * 5000
    assert shifted_rho(1.0, gaps, contractions, 1.0) == pytest.approx(4 * 0.75 / 2)
    assert shifted_rho(0.0, [*gaps, 0.0], [*contractions, 0.5], 1.0) == pytest.approx(0.75 / 2)


def test_without_a_step_there_is_no_bound() -> None:
    assert shifted_rho(0.0, [], [], 1.0) == 0.0
    assert shifted_rho(1.0, [], [], 1.0) == math.inf


@pytest.mark.parametrize(("gaps", "contractions"), [([1.0], []), ([1.0], [1.5]), ([-1.0], [0.5])])
def test_impossible_steps_are_refused(gaps: list[float], contractions: list[float]) -> None:
    with pytest.raises(ConfigError):
        shifted_rho(1.0, gaps, contractions, 1.0)


@settings(max_examples=20)
@given(epsilon=st.floats(0.05, 20), delta=st.floats(1e-9, 0.1))
def test_the_largest_rho_is_the_largest(epsilon: float, delta: float) -> None:
    rho = largest_rho(epsilon, delta)
    assert rho_epsilon(rho, delta) <= epsilon < rho_epsilon(rho * 1.0001, delta)


@pytest.mark.parametrize("clip", [0.0, 0.8])
@pytest.mark.parametrize("decay", [0.0, 0.4])
@pytest.mark.parametrize("order", [1.5, 4.0])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_densities_propagated_on_a_grid_diverge_no_further(clip: float, decay: float, order: float, steps: int) -> None:
    plan = GradientClipping(start_clip=0.6, gradient_clip=clip, lr=0.5, decay=decay, sigma=1.0, steps=steps)
    x = np.linspace(-14, 14, 1401)
    width = x[1] - x[0]
    moved = plan.step(x[:, None], -np.sign(x)[:, None])[:, 0]
    kernel = np.exp(-((x[None] - moved[:, None]) ** 2) / 2) / math.sqrt(2 * math.pi)
    first = plan.step(np.array([[0.6], [-0.6]]), np.array([[-1.0], [1.0]]))
    P, Q = (np.exp(-((x - at) ** 2) / 2) / math.sqrt(2 * math.pi) for at in first[:, 0])
    for _ in range(steps - 1):
        P, Q = P @ kernel * width, Q @ kernel * width
    divergence = math.log((P**order * Q ** (1 - order)).sum() * width) / (order - 1)
    if clip == 0 or steps == 1:
        assert divergence == pytest.approx(plan.renyi(order), rel=1e-3)
    else:
        assert 0.05 * plan.renyi(order) < divergence < plan.renyi(order)
