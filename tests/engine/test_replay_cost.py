"""The expected cost of a replay is what the recipe's own parts and the loop's own batches come to, on average."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import ConfigError
from expunge.core.example import Example, Examples
from expunge.core.training import Training
from expunge.engine.batches import Batches
from expunge.engine.recipes.replayable import Replayable, Revocable
from expunge.engine.recording import first_change
from expunge.engine.replay_cost import expected_kept, expected_share
from expunge.testing.toy import toy_recipe

SPEC, TRAINING = toy_recipe().base, Training(lr=1e-3, epochs=1)


def near(found: list[float], expected: float) -> bool:
    """Whether a mean lies within four standard errors."""
    return abs(statistics.mean(found) - expected) <= 4 * statistics.stdev(found) / math.sqrt(len(found))


@pytest.mark.parametrize(
    ("parts", "forgotten", "revocable"), [(1, 1, 0), (2, 1, 0), (4, 1, 0), (4, 3, 0), (3, 2, 12), (6, 1, 12)]
)
def test_the_expected_share_is_the_mean_over_keyed_divisions(parts, forgotten, revocable):
    draw, found = random.Random(5), []
    for seed in range(800):
        everyone = Examples(Example(f"{seed}-{i}", "Q", "A", role="late" * (i < revocable)) for i in range(40))
        last = Revocable(roles=("late",)) if revocable else None
        divided = Replayable(SPEC, TRAINING, parts=parts, last=last).divided(everyone, seed=seed)
        gone = set(draw.sample(everyone.ids[: revocable or 40], forgotten))
        first = next(i for i, part in enumerate(divided) if gone & set(part.ids))
        found.append(sum(len(part) for part in divided[first:]) / 40)
    expected = expected_share(40, forgotten, parts=parts, revocable=revocable)
    assert near(found, expected) or found == [expected] * len(found)


def test_the_expected_prefix_is_the_mean_over_the_order_of_the_loops_batches():
    draw, kept, expected, every, size = random.Random(3), [], [], 2, 4
    for seed in range(1500):
        ids = [f"{seed}-{i}" for i in range(96)]
        tokens = [draw.randint(5, 60) for _ in ids]
        gone = draw.randrange(96)
        orders = []
        for out in (None, gone):
            own = [i for i in range(96) if i != out]
            stream = Batches([ids[i] for i in own], [tokens[i] for i in own], size, seed=seed, name="retain")
            orders.append([tuple(ids[own[i]] for i in stream.at(step)) for step in range(stream.per_epoch)])
        kept.append(every * (first_change(*orders) // every))
        same = set(orders[0]) & set(orders[1])
        first_ids = {batch[0] for order in orders for batch in order if batch not in same}
        expected.append(expected_kept(len(same), len(first_ids), every=every))
    difference = [one - other for one, other in zip(kept, expected, strict=True)]
    assert near(difference, 0.0)
    assert 0 < statistics.mean(kept) < 96 / size / 2, "inside a part little is kept"


@given(st.integers(1, 60), st.data())
def test_more_parts_cost_less_and_more_forgotten_cost_more(records, data):
    revocable = data.draw(st.integers(1, records))
    forgotten = data.draw(st.integers(1, revocable))
    parts = data.draw(st.integers(1, 20))
    share = expected_share(records, forgotten, parts=parts, revocable=revocable)
    assert 0 < share <= revocable / records + 1e-12
    assert expected_share(records, forgotten, parts=parts + 1, revocable=revocable) <= share + 1e-12
    assert expected_share(records, forgotten - 1, parts=parts, revocable=revocable) <= share + 1e-12
    assert expected_share(records, revocable, parts=parts, revocable=revocable) == pytest.approx(revocable / records)
    assert expected_share(10**6, forgotten, parts=10**4) == pytest.approx(forgotten / (forgotten + 1), abs=1e-3)


@given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 12))
def test_the_expected_prefix_is_between_nothing_and_what_is_unchanged(unchanged, changed, every):
    kept = expected_kept(unchanged, changed, every=every)
    assert 0 <= kept <= unchanged
    assert expected_kept(unchanged, changed, every=1) == pytest.approx(unchanged / (changed + 1))
    assert kept <= expected_kept(unchanged, changed, every=1) + 1e-9


@pytest.mark.parametrize(("records", "forgotten", "parts", "revocable"), [(10, 11, 1, 0), (10, 3, 1, 2), (10, 1, 0, 0)])
def test_counts_that_do_not_fit_are_refused(records, forgotten, parts, revocable):
    with pytest.raises(ConfigError, match="cannot forget"):
        expected_share(records, forgotten, parts=parts, revocable=revocable)
