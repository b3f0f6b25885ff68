"""The formulas against each other and against independent arithmetic."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import ConfigError, UnknownName
from expunge.core.objective import Loss, as_loss, constant, objective
from expunge.objectives import calibrated_ascent, dpo, grad_ascent, kl, nll, npo, simnpo

nats = st.floats(-30, 0)


@given(st.lists(nats, min_size=1, max_size=6), st.lists(nats, min_size=6, max_size=6), st.floats(0.05, 2))
def test_npo_is_the_log_sigmoid_of_the_log_ratio(logp, reference, beta):
    reference = reference[: len(logp)]
    got = npo(torch.tensor(logp, dtype=torch.float64), torch.tensor(reference, dtype=torch.float64), beta=beta)
    want = [2 / beta * math.log1p(math.exp(beta * (a - b))) for a, b in zip(logp, reference, strict=True)]
    assert got.tolist() == pytest.approx(want, rel=1e-9, abs=1e-12)


@given(st.lists(nats, min_size=1, max_size=6))
def test_the_gradient_of_npo_becomes_that_of_ascent_as_beta_vanishes(values):
    reference = torch.tensor(values, dtype=torch.float64)
    logp = (reference + 0.5).requires_grad_()
    npo(logp, reference, beta=1e-6).sum().backward()
    assert logp.grad is not None
    assert logp.grad.tolist() == pytest.approx([1.0] * len(values), abs=1e-5)


@given(st.lists(nats, min_size=1, max_size=6), st.lists(nats, min_size=6, max_size=6), nats, st.floats(0.05, 2))
def test_dpo_is_npo_where_the_other_answer_has_moved_nowhere_and_less_where_it_rose(logp, reference, other, beta):
    a, b = (torch.tensor(v[: len(logp)], dtype=torch.float64) for v in (logp, reference))
    alt = torch.full_like(a, other)
    assert torch.allclose(dpo(a, b, alt, alt, beta=beta), npo(a, b, beta=beta), rtol=1e-9)
    assert (dpo(a, b, alt, alt - 3.0, beta=beta) < npo(a, b, beta=beta)).all()


@given(st.lists(nats, min_size=1, max_size=6), st.integers(1, 40), st.floats(0.1, 5), st.floats(0, 5))
def test_simnpo_pulls_with_half_its_strength_at_its_level(logp, n, beta, gamma):
    logp = torch.tensor(logp, dtype=torch.float64, requires_grad=True)
    tokens = torch.full(logp.shape, n)
    simnpo(logp, tokens, beta=beta, gamma=gamma).sum().backward()
    assert logp.grad is not None
    # The slope a nat is 2 / n times the logistic of what is missing to the level: 1 / n at it.
    missing = [gamma + beta / n * a for a in logp.tolist()]
    assert logp.grad.tolist() == pytest.approx([2 / n / (1 + math.exp(-m)) for m in missing], rel=1e-9)


def test_simnpo_judges_long_and_short_answers_by_their_mean():
    short, long = torch.tensor([-2.0]), torch.tensor([-20.0])
    a, b = simnpo(short, torch.tensor([2]), beta=2.5, gamma=0.5), simnpo(long, torch.tensor([20]), beta=2.5, gamma=0.5)
    assert torch.equal(a, b)


def test_ascent_is_the_opposite_of_descent():
    token_logp = torch.randn(3, 4)
    assert torch.equal(grad_ascent(token_logp), -nll(token_logp))


def test_kl_is_zero_only_between_equals_and_its_gradient_vanishes_there():
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert kl(logits, logits.detach()).abs().max() < 1e-6
    kl(logits, logits.detach() + 7.0).sum().backward()
    assert logits.grad is not None and logits.grad.abs().max() < 1e-6
    other = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1))
    assert (kl(logits, other) > 0).all()
    p, q = other.double().softmax(-1), logits.detach().double().softmax(-1)
    assert torch.allclose(kl(logits, other).double(), (p * (p / q).log()).sum(-1), atol=1e-6)


def test_calibrated_ascent_stops_pushing_at_the_level():
    logp = torch.tensor([-1.0, -20.0], requires_grad=True)
    calibrated_ascent(logp, torch.tensor([4, 4]), level=2.0).sum().backward()
    assert logp.grad is not None and logp.grad.tolist() == [0.25, 0.0]


def test_a_loss_is_a_weighted_sum_of_terms_on_roles():
    loss = npo.bind(beta=0.1) + 2 * nll.bind().on("retain") * 1.5
    assert [(t.objective, t.role, t.weight) for t in loss.terms] == [("npo", "forget", 1.0), ("nll", "retain", 3.0)]
    assert loss.roles == ("forget", "retain")
    assert as_loss(nll.bind()).roles == ("forget",)
    assert (nll.bind().on("retain") + kl.bind()).roles == ("retain",)
    grouped = nll.bind() + (kl.bind() + npo.bind(beta=0.2))
    assert isinstance(grouped, Loss) and len(grouped.terms) == 3


def test_a_constant_is_replaced_by_what_is_found():
    loss = as_loss(calibrated_ascent.bind(level=constant("never_seen_level", scale=0.5)))
    settled = loss.resolve(lambda wanted: {"never_seen_level": 1.75}[wanted.control])
    assert dict(settled.terms[0].settings) == {"level": 1.75}
    assert isinstance(dict(loss.terms[0].settings)["level"], type(constant("x")))


def test_bad_settings_are_refused_where_they_are_bound():
    with pytest.raises(UnknownName, match=r"setting of npo 'betta'. Did you mean 'beta'"):
        npo.bind(betta=0.1)
    with pytest.raises(ConfigError, match=r"npo.bind needs beta"):
        npo.bind()
    with pytest.raises(UnknownName, match=r"role 'retian'. Did you mean 'retain'"):
        nll.bind().on("retian")


def test_bad_declarations_are_refused_where_they_are_declared():
    with pytest.raises(UnknownName, match=r"view in late 'logps'. Did you mean 'logp'"):

        @objective(reduce="example")
        def late(logps):
            return logps

    with pytest.raises(UnknownName, match="'n_tokens_ref'"):
        objective(reduce="example")(lambda n_tokens_ref: n_tokens_ref)
    with pytest.raises(UnknownName, match="reduction 'batch'"):
        objective(reduce="batch")(lambda logp: logp)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownName, match=r"role 'forgot'. Did you mean 'forget'"):
        objective(reduce="example", on="forgot")(lambda logp: logp)


def test_a_view_of_a_layer_needs_to_be_told_which():
    steer = objective(reduce="token")(lambda hidden, hidden_ref: (hidden - hidden_ref).square().sum(-1))
    with pytest.raises(ConfigError, match="needs layer"):
        steer.bind()
    assert dict(steer.bind(layer=1).settings) == {"layer": 1}
