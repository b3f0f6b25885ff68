"""Golden values of dp-accounting and opacus; one of opacus's accountants must not agree."""

import json
from pathlib import Path
from typing import Any

import pytest

from expunge.accounting.gaussian import gaussian_epsilon
from expunge.accounting.subsampled import Accounted, sampled_epsilon, sampled_sigma

pytest.importorskip("dp_accounting")


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, Any]:
    return json.loads((shared / "golden/classical/dp_accounting/expected.json").read_text())


def ours(case: dict[str, Any]) -> Accounted:
    return sampled_epsilon(case["delta"], sigma=case["sigma"], q=case["q"], steps=case["steps"])


def check(case: dict[str, Any]) -> None:
    found = ours(case)
    # theirs has wider cells where a step tells little, rounded upwards
    assert case["dp_accounting_pld"] * (1 - 5e-5) <= found.epsilon <= case["dp_accounting_pld"] * (1 + 1e-5)
    low, _, high = case["prv_accountant_low_est_up"]
    assert low < found.epsilon < high
    if case["q"] < 1:
        assert found.renyi == pytest.approx(case["dp_accounting_rdp_default"], rel=1e-9)
    else:
        assert found.renyi == pytest.approx(case["dp_accounting_rdp_default"], rel=1e-3)


def test_the_gaussian_shift_of_m_records_agrees(published: dict[str, Any]):
    for case in published["gaussian_group_shift"]:
        found = gaussian_epsilon(case["delta"], sigma=case["sigma"], records=case["k"])
        assert found <= case["eps"]  # theirs is rounded upwards
        assert found == pytest.approx(case["eps"], rel=2e-5)


def test_all_settings_of_dp_sgd_agree(published: dict[str, Any]):
    for case in published["epsilon"]:
        check(case)


@pytest.mark.parametrize("records", [2, 4])
def test_several_records_in_poisson_samples_agree(published: dict[str, Any], records: int):
    case = published["poisson_group_mixture"]
    found = sampled_epsilon(case["delta"], sigma=case["sigma"], q=case["q"], steps=case["steps"], records=records)
    theirs = case["eps_by_group_size"][str(records)]
    assert theirs <= found.epsilon <= theirs * 1.0002  # wider cells than theirs, rounded upwards
    assert found.epsilon < found.renyi < 1.5 * found.epsilon


@pytest.mark.slow
def test_the_least_noise_is_less_than_by_renyi_and_as_much_as_others_find(published: dict[str, Any]):
    cases = [c for c in published["noise_multiplier"] if c["target_eps"] < 8]
    for q, steps, delta, target in {(c["q"], c["steps"], c["delta"], c["target_eps"]) for c in cases}:
        theirs = {c["accountant"]: c["sigma"] for c in cases if c["target_eps"] == target}
        found = sampled_sigma(target, delta, q=q, steps=steps)
        assert found < theirs["rdp"]
        assert found == pytest.approx(theirs["prv"], rel=0.015)


def test_the_central_limit_is_far_below_and_is_not_what_we_state(published: dict[str, Any]):
    case = next(c for c in published["epsilon"] if (c["sigma"], c["q"]) == (0.5, 0.001))
    found = ours(case)
    assert found.epsilon == pytest.approx(case["dp_accounting_pld"], rel=1e-4)
    assert found.epsilon > 10 * case["opacus_gdp"]


def test_the_central_limit_agrees_nowhere_and_is_too_low_wherever_batches_are_sampled(published: dict[str, Any]):
    for case in published["epsilon"]:
        found = ours(case).epsilon
        assert case["opacus_gdp"] != pytest.approx(found, rel=2e-3)
        assert case["q"] == 1 or case["opacus_gdp"] < 0.99 * found
