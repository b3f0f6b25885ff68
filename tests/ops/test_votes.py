"""Votes: of equal outputs and equal shares the lowest class wins; weights are shares of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.ops.votes import shares, votes_cast

VALUES = st.lists(
    st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=2, max_size=2), min_size=1, max_size=6
)


@given(values=VALUES)
def test_each_part_has_one_vote_for_the_lowest_of_its_best_classes(values):
    outputs = np.array(values, dtype=float)
    for part, cast in zip(values, votes_cast(outputs), strict=True):
        for row, votes in zip(part, cast, strict=True):
            assert votes.tolist() == [float(k == row.index(max(row))) for k in range(3)]


@given(values=VALUES, data=st.data())
def test_shares_are_the_counts_of_votes_over_their_sum(values, data):
    cast = votes_cast(np.array(values, dtype=float))
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(values), max_size=len(values)))
    found = shares(cast, np.array(weights, dtype=float))
    for row in range(2):
        for label in range(3):
            counted = sum(w for w, part in zip(weights, cast, strict=True) if part[row, label])
            assert found[row, label] == pytest.approx(counted / sum(weights))


def test_a_tie_of_votes_goes_to_the_lowest_class():
    outputs = np.array([[[0.1, 0.9]], [[0.9, 0.1]]])
    assert shares(votes_cast(outputs), np.ones(2)).argmax(axis=1).tolist() == [0]
    with pytest.raises(ValueError, match="no part has a weight above 0"):
        shares(outputs, np.zeros(2))
