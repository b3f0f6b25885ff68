import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from expunge.accounting import subsampled
from expunge.accounting.crosscheck import agree, sampled_renyi
from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.mixture import binomial, log_ratio, renyi_mixture
from expunge.accounting.subsampled import sampled_delta, sampled_epsilon, sampled_sigma
from expunge.core.errors import ConfigError, EvidenceError, MissingExtra

pytest.importorskip("dp_accounting")


@settings(max_examples=3)
@given(st.floats(1.5, 4.0), st.floats(0.005, 0.2), st.integers(1, 40))
def test_more_noise_costs_less_and_more_steps_and_a_larger_share_cost_more(sigma: float, q: float, steps: int):
    def epsilon(sigma: float = sigma, q: float = q, steps: int = steps) -> float:
        return sampled_epsilon(1e-5, sigma=sigma, q=q, steps=steps).epsilon

    here, rounding = epsilon(), 1e-3
    assert epsilon(sigma=1.5 * sigma) <= here + rounding
    assert epsilon(steps=2 * steps) >= here - rounding
    assert epsilon(q=1.0) >= here - rounding


def test_more_records_cost_more():
    found = [sampled_epsilon(1e-5, sigma=4.0, q=0.1, steps=10, records=m).epsilon for m in range(4)]
    assert found == sorted(found) and found[0] == 0 < found[1]


def test_the_mixture_of_one_record_is_the_sampled_gaussian():
    from dp_accounting.pld import privacy_loss_distribution as pld

    mixed = pld.from_mixture_gaussian_mechanism(
        2.0, [0.0, 1.0], binomial(1, 0.1).tolist(), value_discretization_interval=1e-3
    )
    found = mixed.self_compose(20).get_epsilon_for_delta(1e-5)
    assert found == pytest.approx(sampled_epsilon(1e-5, sigma=2.0, q=0.1, steps=20).epsilon, rel=1e-3)


@pytest.mark.parametrize("settings", [(1.0, 0.01, 50, 2), (2.0, 0.4, 20, 3), (0.6, 0.05, 7, 1), (9.0, 0.02, 40, 12)])
def test_the_search_at_once_gives_what_the_library_finds_one_by_one(settings: tuple[float, float, int, int]):
    from dp_accounting.pld import privacy_loss_distribution as pld

    sigma, q, steps, records = settings
    width = 8 * subsampled._interval(sigma, q, steps, records)
    ours = pld.PrivacyLossDistribution(*(subsampled._cells(sigma, q, records, width, added) for added in (False, True)))
    p_K, shifts = binomial(records, q).tolist(), [float(k) for k in range(records + 1)]
    theirs = pld.from_mixture_gaussian_mechanism(sigma, shifts, p_K, value_discretization_interval=width)
    for delta in (1e-3, 1e-6, 1e-9):
        one, other = (found.self_compose(steps).get_epsilon_for_delta(delta) for found in (ours, theirs))
        assert one == pytest.approx(other, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("settings", [(1.0, 0.01, 1000, 4), (40.0, 0.2, 10_000, 100), (2.0, 0.3, 10_000, 1)])
def test_cells_half_as_wide_take_off_a_ten_thousandth_at_most(
    settings: tuple[float, float, int, int], monkeypatch: pytest.MonkeyPatch
):
    def epsilon() -> float:
        subsampled._loss.cache_clear()
        return subsampled._loss(*settings).get_epsilon_for_delta(1e-6)

    here = epsilon()
    monkeypatch.setattr(subsampled, "WIDTH", subsampled.WIDTH / 2)
    monkeypatch.setattr(subsampled, "FINEST", subsampled.FINEST / 2)
    finer = epsilon()
    subsampled._loss.cache_clear()
    assert finer * (1 - 1e-8) <= here <= finer * (1 + 1e-4)


def test_steps_that_tell_next_to_nothing_come_to_the_gaussian_of_their_sum():
    """10,000 steps of q / sigma = 1e-5 each: a shift of 0.001 deviations."""
    for delta in (1e-6, 1e-9):
        limit = gaussian_epsilon(delta, sigma=1000.0)
        assert limit <= sampled_epsilon(delta, sigma=1000.0, q=0.01, steps=10_000).epsilon <= limit * 1.002


def test_another_delta_or_epsilon_composes_nothing_again():
    subsampled._loss.cache_clear()
    settings = {"sigma": 2.5, "q": 0.07, "steps": 15, "records": 3}
    for delta in (1e-3, 1e-5, 1e-7):
        sampled_epsilon(delta, **settings)
    sampled_delta(0.5, **settings)
    assert subsampled._loss.cache_info().misses == 1


def test_what_would_take_all_memory_is_refused():
    with pytest.raises(ConfigError, match="steps is 100000000"):
        sampled_epsilon(1e-5, sigma=1e4, q=0.1, steps=10**8)
    with pytest.raises(ConfigError, match="records is 1000000000"):
        sampled_epsilon(1e-5, sigma=1e9, q=0.1, steps=10, records=10**9)
    with pytest.raises(ConfigError, match="records is 1000000000"):
        sampled_sigma(1.0, 1e-5, q=0.1, steps=10, records=10**9)
    with pytest.raises(ConfigError, match=r"q is 0\.0"):
        sampled_sigma(1.0, 1e-5, q=0.0, steps=10)


def test_delta_falls_with_epsilon_and_is_the_inverse():
    settings = {"sigma": 3.0, "q": 0.05, "steps": 20, "records": 2}
    epsilon = sampled_epsilon(1e-5, **settings).epsilon
    assert sampled_delta(epsilon, **settings) == pytest.approx(1e-5, rel=1e-2)
    found = [sampled_delta(e, **settings) for e in (0.0, 0.2, 0.4, 0.8, 1.6)]
    assert found == sorted(found, reverse=True)


def test_one_record_is_the_sampled_gaussian_of_the_accountant():
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant()
    event = dp_event.PoissonSampledDpEvent(0.02, dp_event.GaussianDpEvent(1.1))
    accountant.compose(event, 30)
    found = sampled_epsilon(1e-6, sigma=1.1, q=0.02, steps=30).epsilon
    assert found == pytest.approx(accountant.get_epsilon(1e-6), abs=1e-4)


def test_m_records_cost_less_than_the_group_bound_that_knows_nothing_of_the_sampling():
    """(m eps, delta (e^(m eps) - 1) / (e^eps - 1)) of one record, at the delta that it gives."""
    one = sampled_epsilon(1e-7, sigma=3.0, q=0.05, steps=50).epsilon
    delta = 1e-7 * math.expm1(3 * one) / math.expm1(one)
    assert sampled_epsilon(delta, sigma=3.0, q=0.05, steps=50, records=3).epsilon < 3 * one


def test_the_quadrature_gives_the_renyi_divergences_of_the_accountant():
    from dp_accounting import dp_event
    from dp_accounting.rdp import RdpAccountant

    orders = [2.0, 4.0, 8.0, 16.0]
    for sigma, q in ((0.7, 0.02), (2.0, 0.3)):
        accountant = RdpAccountant(orders)
        accountant.compose(dp_event.PoissonSampledDpEvent(q, dp_event.GaussianDpEvent(sigma)))
        found = renyi_mixture(orders, sigma=sigma, q=q, records=1)
        assert list(found.values()) == pytest.approx(list(accountant.rdp), rel=1e-8)


def test_the_quadrature_is_right_at_an_order_near_1_where_the_accountant_rounds_upwards():
    integrate = pytest.importorskip("scipy.integrate")
    from dp_accounting import dp_event
    from dp_accounting.rdp import RdpAccountant

    def term(z: float, power: float) -> float:
        ratio = 0.98 + 0.02 * math.exp(z / 0.7 - 0.5 / 0.49)
        return ratio**power * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    larger = max(integrate.quad(term, -30, 30, args=(power,), epsabs=1e-13)[0] for power in (1.5, -0.5))
    found = renyi_mixture([1.5], sigma=0.7, q=0.02, records=1)[1.5]
    assert found == pytest.approx(2 * math.log(larger), rel=1e-6)
    accountant = RdpAccountant([1.5])
    accountant.compose(dp_event.PoissonSampledDpEvent(0.02, dp_event.GaussianDpEvent(0.7)))
    assert found <= accountant.rdp[0]


def test_many_records_at_little_noise_still_get_a_number():
    found = sampled_epsilon(1e-5, sigma=4.0, q=0.01, steps=5, records=60)
    assert 0 < found.epsilon <= found.renyi
    assert sum(binomial(5000, 1e-3)) == pytest.approx(1.0)


def test_nothing_deleted_or_nothing_trained_costs_nothing():
    assert sampled_epsilon(1e-5, sigma=0.5, q=0.1, steps=100, records=0).epsilon == 0
    assert sampled_epsilon(1e-5, sigma=0.5, q=0.1, steps=0, records=3).epsilon == 0
    assert sampled_delta(0.0, sigma=0.5, q=0.1, steps=100, records=0) == 0


def test_the_least_noise_is_enough_and_one_percent_less_is_not():
    found = sampled_sigma(1.0, 1e-5, q=0.1, steps=10)
    assert sampled_delta(1.0, sigma=found, q=0.1, steps=10) <= 1e-5
    assert sampled_delta(1.0, sigma=0.99 * found, q=0.1, steps=10) > 1e-5


def test_a_renyi_bound_below_pld_is_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(subsampled, "sampled_renyi", lambda *_, **__: 0.5)
    with pytest.raises(EvidenceError, match=r"accountants disagree.*RDP gives 0\.5, below"):
        sampled_epsilon(1e-5, sigma=1.0, q=0.1, steps=10)


@pytest.mark.parametrize("pld, renyi", [(math.inf, 2.0), (2.0, math.inf), (math.nan, 2.0), (-1.0, 2.0)])
def test_what_is_no_number_is_raised(pld: float, renyi: float):
    with pytest.raises(EvidenceError, match="gives no epsilon"):
        agree(pld, renyi, tolerance=1e-3)


def test_a_delta_below_what_arithmetic_resolves_is_answered_by_renyi_divergence():
    found = sampled_epsilon(1e-40, sigma=1.0, q=0.1, steps=10)
    assert found.accountant == "Renyi divergence" and found.epsilon == found.renyi


@pytest.mark.parametrize("delta", [1e-7, 1.6e-10, 1e-12, 1e-14])
@pytest.mark.parametrize(
    "settings",
    [(1.1, 0.01, 1000, 1), (8.0, 0.1, 100_000, 1), (23.71, 0.01232, 1952, 22), (40.0, 0.001, 1_000_000, 8)],
)
def test_delta_at_the_epsilon_is_no_more_than_was_asked_for(settings: tuple[float, float, int, int], delta: float):
    sigma, q, steps, records = settings
    found = sampled_epsilon(delta, sigma=sigma, q=q, steps=steps, records=records)
    assert true_delta(found.epsilon, *settings) <= delta * (1 + 1e-6)


def true_delta(epsilon: float, sigma: float, q: float, steps: int, records: int) -> float:
    """By inversion of the Laplace transform E[e^(sL)]^T / (s (s + 1)) on a line through its saddle: no cells."""
    z_X = np.arange(-16, 16 + 6 * records / sigma, 0.02)
    loss_X = log_ratio(z_X, sigma=sigma, p_K=binomial(records, q))
    log_q_X = -z_X * z_X / 2 + math.log(0.02 / math.sqrt(2 * math.pi))

    def along(s_S: NDArray[Any], loss_X: NDArray[Any], weight_X: NDArray[Any]) -> NDArray[Any]:
        terms_SX = s_S[:, None] * loss_X + weight_X
        top_S = terms_SX.real.max(axis=1)
        moments_S = top_S + np.log(np.exp(terms_SX - top_S[:, None]).sum(axis=1))
        return steps * moments_S - s_S * epsilon - np.log(s_S) - np.log(s_S + 1)

    def one_way(*way: NDArray[Any]) -> float:
        c_S = np.geomspace(1e-3, 1e4, 2000)
        value_S = along(c_S, *way)
        i = min(max(int(np.nanargmin(value_S)), 1), len(c_S) - 2)
        c, (a, top, b) = c_S[i], value_S[i - 1 : i + 2]
        step = 0.05 / math.sqrt(max((a + b - 2 * top) / math.log(c_S[1] / c_S[0]) ** 2, 1.0)) * c
        total = 0.0
        for block in range(200):
            term_S = np.exp(along(c + 1j * step * (np.arange(500) + 500 * block), *way) - top)
            total += float(term_S.real.sum()) - (0.5 if block == 0 else 0.0)
            if abs(term_S[-20:]).max() < 1e-11:
                return math.exp(top) * total * step / math.pi
        raise AssertionError("the inversion did not end")

    return max(one_way(loss_X, log_q_X + loss_X), one_way(-loss_X, log_q_X))


@pytest.mark.parametrize("sigma, q, error", [(1e12, 0.5, ConfigError), (1e6, 1e-6, EvidenceError)])
def test_noise_beyond_what_cells_resolve_is_refused(sigma: float, q: float, error: type[Exception]):
    with pytest.raises(error):
        sampled_epsilon(1e-9, sigma=sigma, q=q, steps=4)


def test_more_records_than_any_order_reaches_are_raised():
    with pytest.raises(EvidenceError, match="no second number"):
        sampled_epsilon(1e-5, sigma=0.5, q=0.01, steps=10, records=1000)


def test_orders_near_1_that_do_not_converge_are_not_told(caplog: pytest.LogCaptureFixture):
    from dp_accounting import dp_event
    from dp_accounting.rdp import RdpAccountant

    RdpAccountant([1.5]).compose(dp_event.PoissonSampledDpEvent(0.5, dp_event.GaussianDpEvent(50.0)))
    assert "failed to converge" in caplog.text
    caplog.clear()
    sampled_renyi(1e-5, sigma=50.0, q=0.5, steps=10, records=1)
    assert not caplog.records


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "dp_accounting.rdp", None)
    with pytest.raises(MissingExtra, match=r"dp-accounting.*expunge\[dp\]"):
        sampled_epsilon(1e-5, sigma=1.0, q=0.1, steps=10)


@pytest.mark.parametrize(
    "wrong", [{"sigma": 0.0}, {"q": 0.0}, {"q": 1.1}, {"steps": -1}, {"records": -1}, {"records": 1.5}, {"delta": 1.0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]):
    settings = {"delta": 1e-5, "sigma": 1.0, "q": 0.1, "steps": 10, "records": 1} | wrong
    name, value = next(iter(wrong.items()))
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        sampled_epsilon(settings.pop("delta"), **settings)  # pyright: ignore[reportArgumentType]
