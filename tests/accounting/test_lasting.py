import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting import lasting
from expunge.accounting.lasting import last, most_records
from expunge.accounting.subsampled import sampled_epsilon
from expunge.core.errors import ConfigError


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 300))
def test_the_last_is_found_wherever_the_search_begins(truth: int, begin: int, most: int):
    asked = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number <= truth

    begin = min(begin, most)
    assert last(holds, begin, most) == min(truth, most)
    assert all(0 <= number <= most for number in asked)
    assert len(asked) <= 20


@given(st.floats(0.5, 20.0), st.floats(0.1, 30.0), st.integers(0, 60))
def test_as_many_records_fit_as_it_says_and_not_one_more(sigma: float, epsilon: float, most: int):
    found = most_records(epsilon, 1e-5, sigma=sigma, q=1.0, steps=3, most=most)

    def reached(records: int) -> float:
        return sampled_epsilon(1e-5, sigma=sigma, q=1.0, steps=3, records=records).epsilon

    assert reached(found) <= epsilon
    assert found == most or reached(found + 1) > epsilon


def test_of_sampled_noise_few_calls_are_enough(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("dp_accounting")
    settings = {"sigma": 6.0, "q": 0.02, "steps": 300}
    asked = []

    def counted(delta: float, *, records: int, **numbers: float):
        asked.append(records)
        return sampled_epsilon(delta, records=records, **numbers)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(lasting, "sampled_epsilon", counted)
    found = most_records(3.0, 1e-5, **settings, most=1000)
    assert sampled_epsilon(1e-5, **settings, records=found).epsilon <= 3.0
    assert sampled_epsilon(1e-5, **settings, records=found + 1).epsilon > 3.0
    assert found > 5 and len(set(asked)) <= 10


def test_records_of_which_nothing_can_be_stated_do_not_fit():
    pytest.importorskip("dp_accounting")
    assert most_records(1e300, 1e-5, sigma=0.01, q=0.01, steps=2, most=200) == 16  # 1.25 * 16 / 0.01 is 2000


@pytest.mark.parametrize("wrong", [{"epsilon": 0.0}, {"steps": 0}, {"sigma": -1.0}, {"q": 0.0}, {"most": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]):
    settings = {"epsilon": 1.0, "sigma": 1.0, "q": 1.0, "steps": 3, "most": 5} | wrong
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        most_records(settings.pop("epsilon"), 1e-5, **settings)  # pyright: ignore[reportArgumentType]
