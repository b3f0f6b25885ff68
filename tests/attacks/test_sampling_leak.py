"""leak@k: an unbiased estimate over all subsets, from samples that depend on the record alone."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.attacks import sampling_leak
from expunge.attacks.sampling_leak import best_of
from expunge.core.access import Access, Oracle
from expunge.core.errors import ConfigError, EvidenceError
from expunge.testing.toy import toy_model, toy_selection

VALUES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=8)


@given(VALUES, st.data())
def test_it_is_the_mean_over_all_subsets_of_their_best(values, data):
    k = data.draw(st.integers(1, len(values)))
    subsets = [max(subset) for subset in itertools.combinations(values, k)]
    assert best_of(values, k) == pytest.approx(sum(subsets) / len(subsets), rel=1e-12)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.data())
def test_for_hits_it_is_the_formula_of_leak_at_k(hits, data):
    n, c = len(hits), sum(hits)
    k = data.draw(st.integers(1, n))
    assert best_of([float(hit) for hit in hits], k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k))


def test_draws_depend_on_the_seed_and_rows_tell_what_was_drawn():
    target, forget = toy_model(seed=2), toy_selection().forget
    warm = dataclasses.replace(sampling_leak, hit=0.2, temperature=0.7)
    rows = warm.run(target.oracle(Access.all()), forget, seed=0)
    assert (
        rows
        == warm.run(target.oracle(Access.all()), forget, seed=0)
        != warm.run(target.oracle(Access.all()), forget, seed=1)
    )
    for row in rows:
        assert (row["k"], row["samples"]) == (8.0, 16.0)
        n, c, k = 16, int(row["hits"]), 8
        assert row["outcome"] == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k))
        assert row["share"] >= row["outcome"] * warm.hit
    assert any(0 < row["hits"] < 16 for row in rows)


def test_a_filter_keeps_filtering_samples():
    silent = Oracle(toy_model(seed=2), Access.TEXT, filter=lambda prompt, answer: "")
    assert not any(row["hits"] or row["share"] for row in sampling_leak.run(silent, toy_selection().forget, seed=0))


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"k": 17}, {"k": 0}, {"temperature": 0.0}):
        with pytest.raises(ConfigError):
            dataclasses.replace(sampling_leak, **wrong)
    full = Oracle(toy_model(), Access.TEXT, system="Oslo " * 44)
    with pytest.raises(EvidenceError, match="no question fits"):
        sampling_leak.run(full, toy_selection().forget, seed=0)
