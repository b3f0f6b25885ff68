"""Thresholds: their counts against plain counting, their scores against impurity, their draw against chance."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from expunge.targets.forest.cuts import best, draw, score
from expunge.targets.forest.keys import between, codes_of, keyed, values_of


def keys(n, seed=3):
    return keyed(np.full(n, seed, np.uint64), np.arange(n))


@given(seed=st.integers(0, 10_000), classes=st.integers(1, 12), segments=st.integers(1, 6), most=st.integers(1, 9))
def test_counts_are_those_of_plain_counting(seed, classes, segments, most):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(segments, 80))
    values = rng.integers(-9, 9, n).astype(np.float32) / 2
    label, segment = rng.integers(0, classes, n), rng.permutation(np.arange(n) % segments)
    cuts = draw(codes_of(values), label, segment, keys(segments), classes, most)
    rows = list(zip(segment.tolist(), values.tolist(), label.tolist(), strict=True))
    assert list(zip(cuts.segment, cuts.code, strict=True)) == sorted(zip(cuts.segment, cuts.code, strict=True))
    for s in range(segments):
        there = {v for of, v, _ in rows if of == s}
        drawn = values_of(cuts.code[cuts.segment == s]).tolist()
        assert len(drawn) == len(set(drawn)) == min(most, len(there) - 1)
        assert set(drawn) <= there - {max(there)}
    for s, value, at, left in zip(cuts.segment, values_of(cuts.code), cuts.at, cuts.left, strict=True):
        assert at == sum(of == s and v == value for of, v, _ in rows)
        assert left.tolist() == [sum(of == s and v <= value and c == k for of, v, c in rows) for k in range(classes)]


def test_a_drawn_threshold_stays_when_others_go_and_the_next_one_takes_a_lost_one_s_place():
    values = np.arange(40, dtype=np.float32)
    order = draw(codes_of(values), np.zeros(40, int), np.zeros(40, int), keys(1), 1, 6).code
    for gone in range(39):
        left = np.delete(values, gone)
        again = draw(codes_of(left), np.zeros(39, int), np.zeros(39, int), keys(1), 1, 6).code
        lost = codes_of(values[[gone]])[0]
        assert len(set(again) - set(order)) == int(lost in order)
        assert set(order) - set(again) <= {lost}


def test_every_threshold_is_drawn_equally_often_from_few_and_from_many():
    for n, most in ((8, 3), (200, 4)):
        segments = 4000
        x = np.tile(codes_of(np.arange(n, dtype=np.float32)), segments)
        segment = np.repeat(np.arange(segments), n)
        drawn = draw(x, np.zeros(len(x), int), segment, keys(segments), 1, most)
        times = Counter(values_of(drawn.code).tolist())
        assert sum(times.values()) == segments * most and len(times) == n - 1
        # The draws of one segment exclude one another, so that counts spread less than chi-square takes them to.
        assert chisquare(list(times.values())).pvalue > 1e-3


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_the_best_split_has_the_lowest_weighted_impurity(criterion):
    rng = np.random.default_rng(5)
    counts = rng.integers(2, 30, 4)
    left = np.array([rng.integers(0, counts + 1) for _ in range(50)])
    left = left[(left.sum(axis=1) > 0) & (left.sum(axis=1) < counts.sum())]

    def impurity(side):
        shares = [n / side.sum() for n in side if n]
        return 1 - sum(p * p for p in shares) if criterion == "gini" else -sum(p * math.log(p) for p in shares)

    weighted = [side.sum() * impurity(side) + (counts - side).sum() * impurity(counts - side) for side in left]
    worth = score(left, np.tile(counts, (len(left), 1)), criterion)
    assert np.allclose(worth + weighted, (worth + weighted)[0])
    assert best(worth, np.array([0]), np.array([len(worth)]))[0] == int(np.argmin(weighted))


def test_the_first_of_equal_ones_is_best():
    assert best(np.array([1.0, 4.0, 4.0, 2.0, 2.0]), np.array([0, 3]), np.array([3, 2])).tolist() == [1, 3]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=20))
def test_codes_are_ordered_as_values_and_give_them_back(values):
    array = np.array(values, np.float32)
    codes = codes_of(array)
    assert np.array_equal(values_of(codes), array)
    assert np.array_equal(
        np.sign(np.subtract.outer(codes.astype(float), codes.astype(float))),
        np.sign(np.subtract.outer(array.astype(float), array.astype(float))),
    )


@given(
    seed=st.integers(0, 2**32),
    ends=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=4, max_size=4, unique_by=lambda v: v + 0.0),
)
def test_a_random_cut_stays_while_it_lies_within(seed, ends):
    a, b, c, d = sorted(ends)
    key = keys(200, seed)

    def cut(low, high):
        low, high = (np.full(200, codes_of(np.array([v], np.float32))[0]) for v in (low, high))
        found = between(key, low, high)
        assert ((found >= low) & (found < high)).all()
        return found

    wide, narrow = cut(a, d), cut(b, c)
    inside = (values_of(wide) >= b) & (values_of(wide) < c)
    assert np.array_equal(wide[inside], narrow[inside])


def test_a_random_cut_is_uniform_also_given_that_it_stayed():
    n = 20_000
    low, high = (np.full(n, codes_of(np.array([v], np.float32))[0]) for v in (-3.0, 5.0))
    found = values_of(between(keys(n), low, high)).astype(float)
    assert kstest((found + 3) / 8, "uniform").pvalue > 1e-3
    stayed = found[(found >= -1) & (found < 2)]
    assert kstest((stayed + 1) / 3, "uniform").pvalue > 1e-3
    assert kstest((found + 3) / 7.5, "uniform").pvalue < 1e-6
