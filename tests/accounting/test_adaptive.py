import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.accounting.accountants.max_information import max_information as accountant
from expunge.accounting.adaptive import (
    adaptive_guarantee,
    max_information,
    vote_probabilities,
    votes_information,
    votes_loss,
)
from expunge.accounting.capacity import deletion_capacity
from expunge.core.errors import ConfigError, UnknownName


@given(st.floats(0.01, 2.0), st.integers(1, 1000), st.floats(-30.0, -1.0).map(math.exp))
def test_information_grows_with_epsilon_and_coordinates_and_is_never_above_all_changed(
    epsilon: float, coordinates: int, slack: float
):
    e1, d1 = max_information(epsilon, coordinates=coordinates, slack=slack)
    assert e1 <= coordinates * epsilon and d1 <= slack
    assert max_information(1.1 * epsilon, coordinates=coordinates, slack=slack)[0] >= e1
    assert max_information(epsilon, coordinates=coordinates + 1, slack=slack)[0] >= e1


def test_max_information_holds_for_randomised_response_on_every_bit():
    """The joint loss of n bits is a sum whose law is known: P[loss > e1] must be below d1."""
    epsilon, n, slack = 0.3, 400, 1e-3
    e1, d1 = max_information(epsilon, coordinates=n, slack=slack)
    p = math.exp(epsilon) / (1 + math.exp(epsilon))
    loss = [k * math.log(2 * p) + (n - k) * math.log(2 * (1 - p)) for k in range(n + 1)]
    weight = [math.exp(math.log(math.comb(n, k)) + k * math.log(p) + (n - k) * math.log(1 - p)) for k in range(n + 1)]
    assert e1 < n * epsilon
    assert sum(w for w, value in zip(weight, loss, strict=True) if value > e1) <= d1


def test_a_vote_that_tells_nothing_changes_nothing():
    found = adaptive_guarantee(0.5, 1e-5, 1e-3, epsilon=0.0, coordinates=100, slack=0.0)
    assert (found.alpha, found.beta, found.gamma, found.epsilon1) == (0.5, 1e-5, 1e-3, 0.0)


def test_approximate_votes_cost_the_whole_group():
    e1, d1 = max_information(0.2, 1e-6, coordinates=10)
    assert e1 == 2.0 and d1 == pytest.approx(1e-6 * sum(math.exp(0.2 * i) for i in range(10)))
    assert max_information(0.0, 0.01, coordinates=7)[1] == pytest.approx(0.07)
    assert max_information(2.0, 1e-300, coordinates=10**6)[1] == 1.0
    assert adaptive_guarantee(1.0, 0.1, epsilon=2.0, coordinates=10**6, slack=0.0).beta == 1.0


@given(st.floats(0.01, 5.0), st.integers(1, 2))
def test_no_change_of_as_many_voters_moves_an_answer_by_more_than_epsilon(epsilon: float, voters: int):
    shards = 4
    for before in itertools.product(range(3), repeat=shards):
        for after in itertools.product(range(3), repeat=voters):
            counts = [np.bincount(votes, minlength=3)[None] for votes in (before, after + before[voters:])]
            ratio = np.log(np.divide(*[vote_probabilities(c, epsilon=epsilon, voters=voters) for c in counts]))
            assert np.abs(ratio).max() <= epsilon * (1 + 1e-9)
        if before[0] == 1:
            break


def test_votes_compose_and_none_costs_nothing():
    assert votes_loss(0, epsilon=0.5) == (0, 0)
    many, slack = votes_loss(10_000, epsilon=0.01, slack=1e-6)
    assert many < votes_loss(10_000, epsilon=0.01)[0] and slack == pytest.approx(1e-6)
    with pytest.raises(ConfigError, match="answers is -1"):
        votes_loss(-1, epsilon=0.5)
    with pytest.raises(ConfigError, match="voters is 0"):
        vote_probabilities(np.array([[1, 2]]), epsilon=1.0, voters=0)
    with pytest.raises(ConfigError, match="coordinates is -1"):
        max_information(1.0, coordinates=-1)


SLACKS = st.one_of(st.just(0.0), st.floats(-30.0, -1.0).map(math.exp))


@given(st.integers(0, 200), st.floats(0.001, 3.0), st.integers(1, 2), st.integers(1, 500), st.integers(1, 999), SLACKS)
def test_what_votes_tell_grows_with_answers_parts_coordinates_and_epsilon_and_never_passes_its_slack(
    answers: int, epsilon: float, voters: int, shards: int, coordinates: int, slack: float
):
    def told(k: int = answers, e: float = epsilon, s: int = shards, n: int = coordinates, d: float = slack) -> float:
        e1, d1 = votes_information(k, epsilon=e, voters=voters, shards=s, coordinates=n, slack=d)
        assert d1 <= d * (1 + 1e-9)
        return e1

    least, more = told(), 1 + 1e-12
    assert least <= told(answers + 1) * more and least <= told(s=shards + 1) * more
    assert least <= told(n=coordinates + 1) * more and least <= told(e=1.1 * epsilon) * more
    assert least <= told(d=slack / 2) * more
    assert least == 0 if answers == 0 else least > 0
    numbers = {"answers": answers, "voters": voters, "shards": shards, "coordinates": coordinates, "epsilon": epsilon}
    assert accountant(slack, {name: repr(value) for name, value in numbers.items()}) == least


@given(st.floats(0.01, 4.0), st.integers(1, 2), st.integers(1, 4), st.integers(2, 3))
def test_between_any_two_votes_of_all_parts_an_answer_differs_by_what_one_answer_is_accounted_for(
    epsilon: float, voters: int, shards: int, classes: int
):
    """Silent parts have no vote, so that counts add up to less."""
    counts = np.array([c for c in itertools.product(range(shards + 1), repeat=classes) if sum(c) <= shards])
    logs = np.log(vote_probabilities(counts, epsilon=epsilon, voters=voters))
    b = votes_information(1, epsilon=epsilon, voters=voters, shards=shards, coordinates=10**6)[0]
    assert b == pytest.approx((logs.max(axis=0) - logs.min(axis=0)).max())


@pytest.mark.parametrize(("shards", "records", "answers", "epsilon"), [(2, 6, 2, 0.2), (3, 4, 3, 0.05), (2, 5, 1, 1.0)])
@pytest.mark.parametrize("slack", [0.0, 0.02, 0.2])
def test_the_bound_holds_for_every_placement_and_every_transcript(shards, records, answers, epsilon, slack):
    """Records in one part each, all placements listed; a part says yes where it has a record of the question."""
    places = np.array(list(itertools.product(range(shards), repeat=records)))
    asked = [np.arange(records) < 1 + t for t in range(answers)]
    says = [np.array([[(row[q] == s).any() for s in range(shards)] for row in places]).sum(axis=1) for q in asked]
    p_yes = [vote_probabilities(np.stack([shards - c, c], 1), epsilon=epsilon, voters=2)[:, 1] for c in says]
    e1, d1 = votes_information(
        answers, epsilon=epsilon, voters=2, shards=shards, coordinates=records + shards, slack=slack
    )
    above = {"joint": 0.0, "apart": 0.0}
    for transcript in itertools.product((0, 1), repeat=answers):
        given_r = np.prod([p if yes else 1 - p for p, yes in zip(p_yes, transcript, strict=True)], axis=0)
        loss = np.log(given_r / given_r.mean())
        above["joint"] += float((given_r * (loss > e1 + 1e-12)).mean())
        above["apart"] += float((given_r.mean() * (loss < -e1 - 1e-12)).mean())
    assert max(above.values()) <= d1


def test_an_accountant_without_the_delta_that_its_bound_needs_uses_another_bound():
    numbers = {"answers": "2", "epsilon": "0.1", "voters": "1", "shards": "800", "coordinates": "50"}
    assert accountant(0.0, numbers) == pytest.approx(10.0)  # 2 * 0.1 * 50
    assert accountant(2 * math.exp(-4), numbers) == pytest.approx(3.0)


@given(st.integers(1, 10**6), st.integers(1, 10**4), st.floats(0.01, 10.0), st.floats(-40.0, -1.0).map(math.exp))
def test_capacity_is_at_most_all_records_and_falls_with_parameters(n: int, d: int, epsilon: float, delta: float):
    for method in ("private", "newton", "any"):
        found = deletion_capacity(n, d, epsilon, delta, method)
        assert 0 <= deletion_capacity(n, 2 * d, epsilon, delta, method) <= found <= n
        assert deletion_capacity(n, d, 1.5 * epsilon, delta, method) >= found
    assert deletion_capacity(n, d, epsilon, delta, "any") == n


def test_an_unknown_method_is_named():
    with pytest.raises(UnknownName, match=r"Did you mean 'newton'"):
        deletion_capacity(10, 2, 1.0, 1e-5, "newtn")  # pyright: ignore[reportArgumentType]
