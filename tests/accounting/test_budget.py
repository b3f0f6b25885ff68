import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting.budget import Budget, Spend
from expunge.core.canonical import digest
from expunge.core.errors import ClaimError, ConfigError


def spent(budget: Budget, costs: list[float]) -> Budget:
    for number, cost in enumerate(costs):
        budget = budget.spend(f"r{number}", residual=cost)
    return budget


@given(st.lists(st.floats(0.0, 0.1), max_size=10), st.randoms())
def test_what_is_left_does_not_depend_on_the_order_and_falls(costs: list[float], random):
    shuffled = random.sample(costs, len(costs))
    budget = Budget.of(residual=2.0)
    assert spent(budget, costs).left == spent(budget, shuffled).left
    assert spent(budget, costs).left["residual"] == pytest.approx(2.0 - math.fsum(costs))


@given(st.floats(0.001, 1.0), st.floats(0.01, 5.0))
def test_as_many_requests_as_it_says_can_be_borne_and_not_one_more(cost: float, total: float):
    budget = Budget.of(residual=total)
    further = budget.valid_until(residual=cost)
    assert further is not None
    budget = spent(budget, [cost] * min(further, 50))
    assert budget.valid_until(residual=cost) == max(0, further - 50)
    if further <= 50:
        with pytest.raises(ClaimError, match=r"the budget is spent.*Train again with fresh noise"):
            budget.spend("one more", residual=cost)


def test_a_refused_request_leaves_the_budget_as_it_was():
    budget = Budget.of(epsilon=1.0, delta=1e-5).spend("a", epsilon=0.5, delta=1e-6)
    before = digest(budget)
    with pytest.raises(ClaimError, match=r"request 'b' takes delta 2e-05, and 9e-06 is left"):
        budget.spend("b", epsilon=0.1, delta=2e-5)
    assert digest(budget) == before
    budget.spend("c", epsilon=0.25)
    assert budget.left == {"epsilon": 0.5, "delta": 9e-6}


def test_the_scarcer_amount_decides_and_what_costs_nothing_lasts():
    budget = Budget.of(epsilon=1.0, delta=1e-5)
    assert budget.valid_until(epsilon=0.1, delta=5e-6) == 2
    assert budget.valid_until(epsilon=0.0) is None
    assert Budget.of(residual=0.0).valid_until(residual=0.1) == 0
    assert budget.spend("nothing").left == budget.left


def test_a_ledger_that_cannot_be_one_is_refused():
    with pytest.raises(ConfigError, match="more was spent"):
        Budget((("residual", 1.0),), (Spend("a", (("residual", 1.5),)),))
    with pytest.raises(ConfigError, match="has no delta"):
        Budget.of(residual=1.0).spend("a", delta=0.1)
    with pytest.raises(ConfigError, match="residual is -1"):
        Budget.of(residual=1.0).spend("a", residual=-1.0)
    with pytest.raises(ConfigError, match="names no amount"):
        Budget.of()
    with pytest.raises(ConfigError, match="the total epsilon is nan"):
        Budget.of(epsilon=math.nan)


def test_it_can_be_kept_as_json():
    from pydantic import TypeAdapter

    budget = Budget.of(epsilon=1.0, delta=1e-5).spend("a", epsilon=0.1)
    kind = TypeAdapter(Budget)
    assert kind.validate_json(json.dumps(kind.dump_python(budget, mode="json"))) == budget
