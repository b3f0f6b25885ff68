"""Ragged sums and divergences against plain implementations."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.ops.answer import flat_logp, flat_moments, pad_rows, row_mask, sum_rows
from expunge.ops.divergence import kl_divergence

counts_strategy = st.lists(st.integers(0, 6), min_size=1, max_size=6)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3


@given(counts_strategy, st.integers(0, 99))
def test_rows_come_back_from_padding_and_sum_like_a_loop(counts, seed):
    flat = draw(seed, sum(counts))
    lengths = torch.tensor(counts)
    padded, mask = pad_rows(flat, lengths), row_mask(lengths)
    assert padded.shape == mask.shape == (len(counts), max(counts))
    assert torch.equal(padded[mask.bool()], flat)
    assert (padded[~mask.bool()] == 0).all()
    loop = torch.stack([part.sum() for part in flat.split(counts)])
    assert torch.allclose(sum_rows(flat, lengths), loop, atol=1e-5)
    assert torch.allclose((padded * mask).sum(1), loop, atol=1e-5)


@given(counts_strategy)
def test_padding_keeps_the_trailing_shape_and_lets_gradients_through(counts):
    flat = draw(0, sum(counts), 3).requires_grad_()
    pad_rows(flat, torch.tensor(counts)).sum().backward()
    assert flat.grad is not None and torch.equal(flat.grad, torch.ones_like(flat))


@given(st.integers(1, 5), st.integers(2, 9), st.integers(0, 99))
def test_log_probability_is_that_of_a_softmax(n, vocabulary, seed):
    logits = draw(seed, n, vocabulary)
    labels = torch.arange(n) % vocabulary
    assert torch.allclose(flat_logp(logits, labels), logits.log_softmax(1)[torch.arange(n), labels], atol=1e-5)
    assert torch.allclose(flat_logp(logits + 50, labels), flat_logp(logits, labels), atol=1e-4)


@given(st.integers(2, 9), st.integers(0, 99))
def test_moments_are_those_under_the_distribution_itself(vocabulary, seed):
    logits = draw(seed, 2, vocabulary)
    p, logp = logits.double().softmax(1), logits.double().log_softmax(1)
    mean = (p * logp).sum(1)
    mu, sigma = flat_moments(logits)
    assert torch.allclose(mu.double(), mean, atol=1e-5)
    assert torch.allclose(sigma.double(), ((p * logp**2).sum(1) - mean**2).clamp(min=0).sqrt(), atol=1e-4)


def test_moments_of_a_uniform_distribution_have_no_spread():
    mu, sigma = flat_moments(torch.zeros(1, 1000))
    assert sigma.item() < 1e-5
    assert mu.item() == pytest.approx(-6.907755, abs=1e-5)


@given(st.integers(2, 9), st.integers(0, 99))
def test_kl_is_that_of_torch_distributions_and_not_symmetric(vocabulary, seed):
    p, q = draw(seed, 3, vocabulary), draw(seed + 1, 3, vocabulary)
    categorical = torch.distributions.Categorical
    want = torch.distributions.kl_divergence(categorical(logits=p), categorical(logits=q))
    assert torch.allclose(kl_divergence(p, q), want, atol=1e-5)
    assert (kl_divergence(p, q) > -1e-6).all()


def test_half_precision_is_summed_in_float32():
    logits = torch.full((1, 4096), 0.125, dtype=torch.bfloat16)
    logp = flat_logp(logits, torch.tensor([0]))
    assert logp.dtype == torch.float32
    assert logp.item() == pytest.approx(-8.3178, abs=1e-3)
