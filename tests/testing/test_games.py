"""The distinguishing game itself: it shows what is so, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from expunge.core.errors import ConfigError
from expunge.testing.games import least_share, play


def shifted(by: float, d: int = 2):
    return lambda plays, rng: rng.standard_normal((plays, d)) + np.array([by] + [0.0] * (d - 1))


def exact(epsilon: float, shift: float) -> float:
    return float(norm.cdf(shift / 2 - epsilon / shift) - math.exp(epsilon) * norm.cdf(-shift / 2 - epsilon / shift))


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("side", [1, -1])
def test_gaussians_are_told_apart_up_to_what_is_exact(epsilon: float, side: int) -> None:
    delta = exact(epsilon, 1.2)
    assert not play(shifted(side * 1.2), shifted(0.0), epsilon=epsilon, delta=delta, seed=1).beaten
    shown = play(shifted(side * 1.2), shifted(0.0), epsilon=epsilon, delta=delta - 0.05, seed=1)
    assert shown.beaten and shown.margin < 0.05


def test_the_same_world_twice_is_not_told_apart() -> None:
    games = [play(shifted(0.0), shifted(0.0), epsilon=0.0, delta=0.0, seed=seed, error=0.05) for seed in range(20)]
    assert sum(game.beaten for game in games) <= 3


def test_a_known_likelihood_ratio_finds_what_the_means_hide() -> None:
    def wide(plays: int, rng: np.random.Generator) -> np.ndarray:
        return 2 * rng.standard_normal((plays, 1))

    def ratio(x: np.ndarray) -> np.ndarray:
        return 3 / 8 * x[:, 0] ** 2

    assert play(wide, shifted(0.0, 1), epsilon=1.0, delta=0.05, seed=2, log_ratio=ratio).beaten
    assert not play(wide, wide, epsilon=0.0, delta=0.0, seed=2, log_ratio=ratio).beaten


def test_one_sided_leaks_count_in_either_world() -> None:
    def rare(plays: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((plays, 1)) + 50 * (rng.random((plays, 1)) < 0.1)

    for worlds in ((rare, shifted(0.0, 1)), (shifted(0.0, 1), rare)):
        game = play(*worlds, epsilon=3.0, delta=0.05, seed=3)
        assert game.beaten and game.finds == ("unlearned" if worlds[0] is rare else "retrained")


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_the_bound_of_a_share_keeps_its_error_rate(share: float) -> None:
    hits = np.arange(201)
    bounds = np.array([least_share(int(k), 200, 0.05) for k in hits])
    assert 0 < binom.pmf(hits[bounds > share], 200, share).sum() <= 0.05


def test_too_few_plays_and_unlike_worlds_are_refused() -> None:
    with pytest.raises(ConfigError, match="20000"):
        play(shifted(0.0), shifted(0.0), epsilon=1.0, delta=0.1, seed=1, plays=5000)
    with pytest.raises(ConfigError, match="shape"):
        play(shifted(0.0), shifted(0.0, 3), epsilon=1.0, delta=0.1, seed=1)
