"""Samples are Poisson: sizes vary as a binomial's, units are drawn by themselves, and no step repeats another."""

from dataclasses import replace

import numpy as np
import pytest

from expunge.engine.private.sampling import packed, samples, units_of
from expunge.targets.private.account import Mechanism

N, STEPS, RATE = 400, 500, 0.2
MECHANISM = Mechanism(sigma=1.5, rate=RATE, steps=STEPS, clip=2.0, randomness="seed")


@pytest.fixture(scope="module", params=["seed", "secure"])
def drawn(request):
    """(STEPS, N) whether a unit is in a step's sample."""
    inside = np.zeros((STEPS, N))
    for step, sample in enumerate(samples(replace(MECHANISM, randomness=request.param), N, seed=11)):
        inside[step, sample] = 1
    return inside


def test_every_unit_is_drawn_at_the_rate(drawn):
    sd = np.sqrt(RATE * (1 - RATE) / STEPS)
    assert abs(drawn.mean() - RATE) < 5 * sd / np.sqrt(N)
    assert np.abs(drawn.mean(0) - RATE).max() < 5 * sd


def test_sizes_vary_as_those_of_independent_draws(drawn):
    sizes = drawn.sum(1)
    variance = N * RATE * (1 - RATE)
    assert abs(sizes.var() / variance - 1) < 5 * np.sqrt(2 / STEPS)  # batches of one size, or shuffled ones, give 0


def test_steps_and_units_are_independent(drawn):
    parts = drawn - RATE
    for lag in (parts[1:] * parts[:-1], parts[:, 1:] * parts[:, :-1]):
        assert abs(lag.mean()) < 5 * RATE * (1 - RATE) / np.sqrt(lag.size)


def test_the_seed_decides_all_and_without_one_nothing_repeats():
    def first(seed, randomness="seed"):
        found = samples(replace(MECHANISM, randomness=randomness), N, seed=seed)
        return [sample.tolist() for sample, _ in zip(found, range(3), strict=False)]

    assert first(4) == first(4) != first(5)
    assert first(4, "secret") != first(4, "secret") and first(4, "secure") != first(4, "secure")


def test_a_rate_of_one_draws_all():
    every = Mechanism(sigma=1.5, rate=1.0, steps=2, clip=2.0)
    assert [len(sample) for sample in samples(every, 7, seed=4)] == [7, 7]


def test_units_and_passes():
    records = [("a", "Ana"), ("b", "Ana"), ("c", "")]
    assert len(set(units_of(records, "subject").values())) == 2
    assert len(set(units_of(records, "record").values())) == 3
    assert units_of([("x", "y"), ("y", "")], "subject") != units_of([("x", ""), ("y", "")], "subject")
    assert packed([], 3) == [] and packed([[1, 2, 3, 4]], 2) == [[[1, 2, 3, 4]]]
