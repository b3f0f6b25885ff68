"""Losses: their derivatives, their constants, and what a user's own is refused for."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import ConfigError, UnknownName
from expunge.targets.convex.losses import logistic, loss_named, multinomial, require_convex, squared
from expunge.targets.convex.model import ConvexModel


@dataclass(frozen=True)
class Own:
    """A user's loss: huber-like by default (pseudo-Huber), of whose parts a test breaks one."""

    kind: str = "sound"
    name: str = "own"
    reads: str = "number"
    C: float = 1.0
    gamma: float = 1.0

    def value(self, Z, y):
        r = Z[:, 0] - y
        return np.cos(r) if self.kind == "wavy" else np.sqrt(1 + r * r)

    def gradient(self, Z, y):
        r = Z - y[:, None]
        factor = 2.0 if self.kind == "slope" else 1.0
        return -np.sin(r) if self.kind == "wavy" else factor * r / np.sqrt(1 + r * r)

    def curvature(self, Z, y):
        r = (Z - y[:, None])[:, :, None]
        factor = 2.0 if self.kind == "bend" else 1.0
        return -np.cos(r) if self.kind == "wavy" else factor * (1 + r * r) ** -1.5


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((60, 3))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, X @ [1.0, -2.0, 0.5] + 0.1 * rng.standard_normal(60)


@given(st.floats(-30, 30), st.sampled_from([-1.0, 1.0]))
def test_logistic_is_its_own_derivative_and_within_its_constants(z, y):
    h, Z, Y = 1e-4, np.array([[z]]), np.array([y])
    slope = (logistic.value(Z + h, Y) - logistic.value(Z - h, Y)) / (2 * h)
    bend = (logistic.gradient(Z + h, Y) - logistic.gradient(Z - h, Y)) / (2 * h)
    np.testing.assert_allclose(slope, logistic.gradient(Z, Y)[:, 0], atol=1e-7)
    np.testing.assert_allclose(bend, logistic.curvature(Z, Y)[:, :, 0], atol=1e-7)
    moved = logistic.curvature(Z + h, Y) - logistic.curvature(Z - h, Y)
    assert abs(moved.item()) / (2 * h) <= 1 / (6 * math.sqrt(3)) + 1e-6 < logistic.gamma
    assert abs(logistic.gradient(Z, Y).item()) <= logistic.C


@given(st.lists(st.floats(-6, 6), min_size=3, max_size=3), st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_softmax_curvature_moves_by_no_more_than_gamma(z, u):
    length = np.linalg.norm(u)
    if length < 1e-3:
        return
    Z, D, y, h = np.array([z]), np.array([u]) / length, np.array([0.0]), 1e-4
    moved = (multinomial.curvature(Z + h * D, y) - multinomial.curvature(Z - h * D, y))[0] / (2 * h)
    assert np.linalg.norm(moved, 2) <= multinomial.gamma + 1e-6
    bend = (multinomial.gradient(Z + h * D, y) - multinomial.gradient(Z - h * D, y))[0] / (2 * h)
    np.testing.assert_allclose(bend, multinomial.curvature(Z, y)[0] @ D[0], atol=1e-7)


def test_gamma_of_the_softmax_is_reached_by_two_classes():
    p = (1 + 1 / math.sqrt(3)) / 2
    Z, D, h = np.log([[p, 1 - p]]), np.array([[1.0, -1.0]]) / math.sqrt(2), 1e-4
    moved = (multinomial.curvature(Z + h * D, D) - multinomial.curvature(Z - h * D, D))[0] / (2 * h)
    assert np.linalg.norm(moved, 2) == pytest.approx(multinomial.gamma, rel=1e-4)


def test_a_sound_loss_of_a_users_own_is_taken(data):
    X, y = data
    model = ConvexModel(loss=Own(), lam=0.05).fit(X, y)
    assert max(model.unlearn(["3", "9"]).residuals()) < model.ledgers_[0].budget


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (Own("wavy"), "is not convex.*curvature on the data"),
        (Own("slope", C=9.0), "gradient is not the derivative"),
        (Own("bend", gamma=9.0), "curvature is not the derivative"),
        (Own(C=0.1), "C is 0.1, a gradient on the data has norm"),
        (Own(gamma=0.01), "gamma is 0.01, the curvature moves by"),
        (Own(C=math.nan), "has no bounds"),
        (Own(reads="text"), "reads 'text'"),
        (object(), "object is no loss"),
    ],
)
def test_a_loss_that_is_not_what_it_states_is_refused(data, own, said):
    X, y = data
    model = ConvexModel(loss=own, lam=0.05)
    with pytest.raises(ConfigError, match=said):
        model.fit(X, y)
    assert not hasattr(model, "_learned_with")


def test_an_unknown_loss_is_met_with_the_nearest():
    with pytest.raises(UnknownName, match="Did you mean 'logistic'"):
        loss_named("logistics")


def test_the_losses_here_need_no_check_and_squares_are_exact():
    require_convex(squared, np.zeros((2, 1)), np.zeros(2))
    assert squared.gamma == 0 and math.isinf(squared.C)
