"""CKA is 1 for equal states, blind to rotation and scale, and the mean of what the records add."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.attacks.cka import cka, cka_contributions
from expunge.core.access import Access, Oracle
from expunge.core.errors import EvidenceError, TargetError
from expunge.testing.toy import toy_model, toy_selection

ALL = Access.all()
FORGET = toy_selection().forget


def states(seed, n=12, width=5):
    return np.random.default_rng(seed).normal(size=(n, width))


@given(st.integers(0, 99), st.floats(0.1, 50), st.floats(-9, 9))
def test_equal_states_have_1_whatever_their_rotation_scale_and_place(seed, scale, shift):
    x = states(seed)
    turn, _ = np.linalg.qr(states(seed + 1, 5))
    assert cka_contributions(x, x).mean() == pytest.approx(1)
    assert cka_contributions(x, scale * x @ turn + shift).mean() == pytest.approx(1)


@given(st.integers(0, 99))
def test_the_mean_of_the_contributions_is_the_formula_over_features(seed):
    x, y = states(seed), states(seed + 1, width=3)
    xc, yc = x - x.mean(0), y - y.mean(0)
    want = np.linalg.norm(yc.T @ xc) ** 2 / (np.linalg.norm(xc.T @ xc) * np.linalg.norm(yc.T @ yc))
    found = cka_contributions(x, y)
    assert found.shape == (12,) and found.mean() == pytest.approx(want)
    assert 0 < found.mean() < 1 and cka_contributions(y, x).mean() == pytest.approx(want)


def test_states_that_do_not_differ_between_records_have_no_likeness():
    assert not cka_contributions(np.ones((4, 3)), states(0, 4)).any()
    with pytest.raises(EvidenceError, match="4 items cannot be compared with those of 5"):
        cka_contributions(states(0, 4), states(0, 5))


def test_the_original_is_like_itself_and_another_model_less(knowing, unknowing):
    original = knowing.oracle(ALL)
    same = cka.run(original, FORGET, seed=0, original=original)
    other = cka.run(unknowing.oracle(ALL), FORGET, seed=0, original=original)
    assert set(same[0]) == {"record_id", "subject", "outcome", "layer_1", "layer_2"}
    for rows, want in ((same, 1.0), (other, None)):
        means = {name: np.mean([row[name] for row in rows]) for name in ("outcome", "layer_1", "layer_2")}
        assert means["outcome"] == pytest.approx((means["layer_1"] + means["layer_2"]) / 2)
        assert means["outcome"] == pytest.approx(want) if want else means["outcome"] < 0.95


def test_what_cannot_be_compared_is_refused():
    target = toy_model().oracle(ALL)
    with pytest.raises(EvidenceError, match="cannot be compared"):
        cka.run(target, FORGET, seed=0, original=toy_model(layers=3).oracle(ALL))
    with pytest.raises(EvidenceError, match="how records differ"):
        cka.run(target, FORGET[:1], seed=0, original=target)
    with pytest.raises(TargetError, match="needs access WEIGHTS"):
        cka.run(target, FORGET, seed=0, original=Oracle(target.target, Access.TEXT))
