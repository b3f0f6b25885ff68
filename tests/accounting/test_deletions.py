import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting.deletions import deletion_distribution, expected_deletions, most_deletions, odds_of_more
from expunge.accounting.mixture import binomial
from expunge.core.errors import ConfigError

DECLARED = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=7)


def by_hand(declared: list[float]) -> list[float]:
    """Over all ways in which each record is asked for or not."""
    found = [0.0] * (len(declared) + 1)
    for asked in itertools.product((False, True), repeat=len(declared)):
        found[sum(asked)] += math.prod(p if yes else 1 - p for p, yes in zip(declared, asked, strict=True))
    return found


@given(DECLARED)
def test_it_is_the_sum_over_all_ways(declared: list[float]):
    assert deletion_distribution(declared) == pytest.approx(by_hand(declared), rel=1e-9, abs=1e-30)


@given(DECLARED, st.integers(0, 9))
def test_the_odds_are_those_of_more(declared: list[float], records: int):
    assert odds_of_more(declared, records) == pytest.approx(sum(by_hand(declared)[records + 1 :]), abs=1e-12)


@given(DECLARED, st.floats(1e-6, 0.999))
def test_the_most_is_the_least_number_that_is_exceeded_so_rarely(declared: list[float], gamma: float):
    most = most_deletions(declared, gamma=gamma)
    assert odds_of_more(declared, most) <= gamma
    assert most == 0 or odds_of_more(declared, most - 1) > gamma
    assert most_deletions(declared, gamma=gamma / 2) >= most


@given(DECLARED, st.randoms())
def test_the_order_of_records_does_not_matter_and_one_more_never_helps(declared: list[float], random):
    shuffled = random.sample(declared, len(declared))
    assert deletion_distribution(shuffled) == pytest.approx(deletion_distribution(declared), rel=1e-9, abs=1e-30)
    assert odds_of_more([*declared, 0.3], 1) >= odds_of_more(declared, 1) - 1e-12


def test_alike_records_are_binomial_far_into_the_tail():
    found, expected = deletion_distribution([0.01] * 3000), binomial(3000, 0.01)
    seen = expected > 1e-28
    np.testing.assert_allclose(found[seen], expected[seen], rtol=1e-9)
    assert (found[expected < 1e-45] == 0).all()


def test_many_records_have_the_moments_that_they_must_have():
    declared = np.random.default_rng(5).random(20_000) * 0.03
    found, k = deletion_distribution(declared), np.arange(20_001)
    mean = float(found @ k)
    assert mean == pytest.approx(expected_deletions(declared), rel=1e-12)
    assert float(found @ (k - mean) ** 2) == pytest.approx(float((declared * (1 - declared)).sum()), rel=1e-9)
    assert math.fsum(found) == pytest.approx(1.0, abs=1e-12)


def test_nobody_and_everybody():
    assert most_deletions([0.0, 0.0], gamma=1e-9) == 0 and odds_of_more([0.0, 0.0], 0) < 1e-30
    assert most_deletions([1.0, 1.0], gamma=0.9) == 2 and odds_of_more([1.0, 1.0], 2) == 0


@pytest.mark.parametrize("wrong", [[], [0.5, -0.1], [1.5], [math.nan]])
def test_what_is_no_probability_is_refused(wrong: list[float]):
    with pytest.raises(ConfigError, match="probability"):
        deletion_distribution(wrong)


@pytest.mark.parametrize("gamma", [0.0, 1.0, -0.5])
def test_all_or_nothing_cannot_be_left_to_chance(gamma: float):
    with pytest.raises(ConfigError, match="gamma is"):
        most_deletions([0.5], gamma=gamma)
