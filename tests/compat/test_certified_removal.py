"""The peer's bounds come to its recorded numbers, and are below what they bound by."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.compat.certified_removal import power_norm, removal_bounds


def exact(gram) -> float:
    return float(np.linalg.eigvalsh(gram)[-1]) ** 0.5


@pytest.fixture(scope="module")
def recorded(shared):
    folder = shared / "golden" / "classical" / "certified_removal"
    arrays = {name: array.astype(float) for name, array in np.load(folder / "small.npz").items()}
    return json.loads((folder / "expected.json").read_text())["small"], arrays


def bounds(recorded, norm):
    expected, arrays = recorded
    gone = [row["removed_index"] for row in expected["rows"]]
    W = arrays["w_trained"][:, None]
    return removal_bounds(arrays["X"], arrays["y"][:, None], W, gone, lam=expected["lam"], norm=norm)


def test_the_peers_bounds_are_reproduced_with_its_starts(recorded):
    torch = pytest.importorskip("torch")
    draws = torch.Generator().manual_seed(0)
    norms = []

    def peers(gram):
        norms.append(power_norm(gram, torch.randn(len(gram), generator=draws).double().numpy()))
        return norms[-1]

    found, after = bounds(recorded, peers)
    rows = recorded[0]["rows"]
    assert norms == pytest.approx([row["spectral_norm_power20"] for row in rows], rel=1e-6)
    assert found == pytest.approx([row["grad_norm_bound"] for row in rows], rel=1e-5)
    assert list(itertools.accumulate(found)) == pytest.approx([row["cumulative_bound"] for row in rows], rel=1e-5)
    np.testing.assert_allclose(after[:, 0], recorded[1]["w_after_removals"], atol=1e-6)


def test_the_peers_bounds_are_not_ours(recorded):
    """Ours are those with the exact norm (tests of Newton removal); the peer's lie below each of them."""
    found, _ = bounds(recorded, exact)
    rows = recorded[0]["rows"]
    assert found == pytest.approx([row["grad_norm_bound_exact_spectral"] for row in rows], rel=1e-5)
    for ours, row in zip(found, rows, strict=True):
        assert row["grad_norm_bound"] < ours * (1 - 2e-4)


@given(st.integers(0, 10**6), st.integers(2, 8))
def test_few_power_iterations_are_never_above_the_norm(seed, d):
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(3 * d, d))
    found = [power_norm(X.T @ X, draw.normal(size=d), iterations=k) for k in (20, 2000)]
    assert max(found) <= exact(X.T @ X) * (1 + 1e-12)


def test_one_against_the_rest_takes_a_row_out_of_one_xx_once_for_each_head():
    draw = np.random.default_rng(3)
    X, classes = draw.normal(size=(40, 3)) / 3, draw.integers(0, 4, size=40)
    Y = np.where(classes[:, None] == np.arange(4), 1.0, -1.0)
    W, seen = draw.normal(size=(3, 4)), []

    def noted(gram):
        seen.append(exact(gram))
        return seen[-1]

    shared, after = removal_bounds(X, Y, W, [5, 6], lam=0.1, norm=noted)
    apart = [removal_bounds(X, Y[:, [k]], W[:, [k]], [5, 6], lam=0.1, norm=exact) for k in range(4)]
    right = exact(np.delete(X, 5, axis=0).T @ np.delete(X, 5, axis=0))
    assert seen[0] == pytest.approx(right) and seen[3] < right * (1 - 1e-3)
    ours = [sum(each) for each in zip(*(heads for heads, _ in apart), strict=True)]
    assert all(peers < own * (1 - 1e-3) for peers, own in zip(shared, ours, strict=True))
    np.testing.assert_allclose(after, np.concatenate([each for _, each in apart], axis=1), rtol=1e-12)
