"""The account: epsilon grows with whoever was forgotten, and with nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import expunge.targets.private.account as place
from expunge.accounting.gaussian import gaussian_epsilon
from expunge.core.errors import ClaimError, ConfigError, TargetError
from expunge.targets.private.account import FILE, Account, Mechanism, read_account

EVERY = Mechanism(sigma=12.0, rate=1.0, steps=9, clip=0.5)
"""Without sampling nine steps are one with sigma 4, whose epsilon is exact and at once there."""
BY_NAME = {f"r{i}": f"record r{i}" for i in range(12)}
BY_SUBJECT = {f"r{i}": f"subject s{i // 3}" for i in range(12)}


def account(**settings):
    return Account(EVERY, 1e-5, **{"members": dict(BY_NAME), **settings})


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma": 0.0},
        {"sigma": -1.0},
        {"rate": 0.0},
        {"rate": 1.5},
        {"clip": 0.0},
        {"steps": 0},
        {"sigma": float("inf")},
    ],
)
def test_a_mechanism_without_noise_sampling_clipping_or_steps_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Mechanism(**{"sigma": 1.5, "rate": 0.25, "steps": 4, "clip": 2.0, **wrong})


@given(st.sets(st.sampled_from(sorted(BY_NAME))), st.sets(st.sampled_from(sorted(BY_NAME))))
def test_epsilon_is_of_all_requests_together_in_whatever_order(first, second):
    one, other = account().forgetting(first).forgetting(second), account().forgetting(second).forgetting(first)
    assert one == other and one.spent == len(first | second)
    expected = gaussian_epsilon(1e-5, sigma=4.0, records=one.spent) if one.spent else 0.0
    assert one.accounted().epsilon == pytest.approx(expected, abs=1e-9)
    assert account().forgetting(first).accounted().epsilon <= one.accounted().epsilon


def test_deleting_nothing_costs_nothing():
    before = account(limit=1e-6)
    assert before.forgetting(["never there"]) == before and before.accounted().epsilon == 0.0


def test_it_does_not_name_who_was_forgotten():
    after = account().forgetting(["r3"])
    assert "r3" not in after.members and "r3" not in json.dumps(after.members) and after.spent == 1


def test_of_a_subject_either_all_records_go_or_none():
    held = account(members=dict(BY_SUBJECT))
    assert held.forgetting(["r0", "r1", "r2", "r3", "r4", "r5"]).spent == 2
    with pytest.raises(ClaimError, match="keep some of their records"):
        held.forgetting(["r0", "r1"])


def test_a_limit_is_spent_at_the_request_that_would_exceed_it():
    limit = gaussian_epsilon(1e-5, sigma=4.0, records=3)
    held = account(limit=limit * (1 + 1e-9))
    assert held.left() == 3
    for number in range(3):
        held = held.forgetting([f"r{number}"])
    assert held.left() == 0 and held.accounted().epsilon <= limit * (1 + 1e-9)
    with pytest.raises(ClaimError, match="the budget is spent"):
        held.forgetting(["r7"])
    assert account().left() is None and account(limit=1e3).left() == len(BY_NAME)


def test_its_digest_covers_what_was_spent_and_its_salt():
    digests = {account().digest(), account(spent=1).digest(), account(salt="5a").digest(), account(limit=2.5).digest()}
    assert len(digests) == 4


def test_it_comes_back_from_its_file(tmp_path):
    written = account(limit=2.5, spent=3, salt="5a17")
    written.write(tmp_path)
    assert read_account(tmp_path) == written
    told = json.loads((tmp_path / FILE).read_text())
    told["mechanism"]["sigma"] = 0.0
    (tmp_path / FILE).write_text(json.dumps(told))
    with pytest.raises(TargetError, match="no account"):
        read_account(tmp_path)


def test_the_accountant_is_asked_for_this_mechanism(monkeypatch):
    asked = {}
    monkeypatch.setattr(place, "sampled_epsilon", lambda delta, **numbers: asked.update(numbers, delta=delta))
    Mechanism(sigma=2.0, rate=0.01, steps=10, clip=1.5).epsilon(1e-5, units=3)
    assert asked == {"sigma": 2.0, "q": 0.01, "steps": 10, "records": 3, "delta": 1e-5}
