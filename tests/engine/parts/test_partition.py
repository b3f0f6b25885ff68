"""A record's place: the reference's sizes, independence of who else is there, and even expected deletions."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import ConfigError
from expunge.engine.parts.epochs import epochs_of
from expunge.engine.parts.partition import by_probability, contiguous, explicit, keyed

NAMES = st.sets(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=60)
SIZES = {"shards": st.integers(1, 7), "slices": st.integers(1, 6)}


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "golden/classical/sisa/expected.json").read_text())


def test_contiguous_shards_are_those_of_the_reference_implementation(golden):
    for case in golden["partition"]:
        places = contiguous([str(i) for i in range(case["N"])], shards=case["S"], slices=3)
        held = [[int(name) for name, (shard, _) in places.items() if shard == k] for k in range(case["S"])]
        found = [[f(part) for part in held] for f in (len, min, max)]
        assert found == [case["sizes"], case["first"], case["last"]]


@given(names=NAMES, **SIZES)
def test_every_record_is_in_one_slice_and_only_the_last_slice_is_longer(names, shards, slices):
    order = sorted(names)
    places = contiguous(order, shards=shards, slices=slices)
    assert list(places) == order and list(places.values()) == sorted(places.values())
    counts = [[list(places.values()).count((k, r)) for r in range(slices)] for k in range(shards)]
    assert all(len(set(row[:-1])) <= 1 and row[-1] >= row[0] for row in counts)
    assert sum(map(sum, counts)) == len(names)


@given(names=NAMES, gone=NAMES, seed=st.integers(0, 5), **SIZES)
def test_a_keyed_place_does_not_depend_on_the_other_records(names, gone, seed, shards, slices):
    whole = keyed({n: n for n in names}, shards=shards, slices=slices, seed=seed)
    left = keyed({n: n for n in sorted(names - gone, reverse=True)}, shards=shards, slices=slices, seed=seed)
    assert left == {n: whole[n] for n in names - gone}
    assert all(0 <= k < shards and 0 <= r < slices for k, r in whole.values())


def test_keyed_shards_are_about_even_and_differ_with_the_seed():
    names = {f"r{i}": f"r{i}" for i in range(4000)}
    first, second = (keyed(names, shards=4, slices=5, seed=seed) for seed in (1, 2))
    counts = [list(first.values()).count((k, r)) for k in range(4) for r in range(5)]
    assert sum(counts) == 4000 and max(abs(c - 200) for c in counts) < 5 * math.sqrt(200)
    assert first != second


def test_records_of_one_subject_stand_together():
    keys = {f"r{i}": f"person {i % 9}" for i in range(90)}
    places = keyed(keys, shards=3, slices=4, seed=0)
    assert len({(keys[name], place) for name, place in places.items()}) == 9


@given(
    odds=st.dictionaries(st.text("abcd", min_size=1, max_size=5), st.floats(0, 1), min_size=1, max_size=50).filter(
        lambda odds: sum(odds.values()) > 1e-3
    ),
    **SIZES,
)
def test_every_shard_expects_as_many_deletions_up_to_one_record(odds, shards, slices):
    places = by_probability(odds, shards=shards, slices=slices)
    assert set(places) == set(odds)
    each = sum(odds.values()) / shards
    expected = [sum(odds[name] for name, (shard, _) in places.items() if shard == k) for k in range(shards)]
    assert max(abs(found - each) for found in expected) <= max(odds.values()) + 1e-9
    ordered = sorted(odds, key=lambda name: places[name])
    likeliest = [[odds[n] for n in ordered if places[n] == place] for place in sorted(set(places.values()))]
    assert all(max(a) <= min(b) for a, b in itertools.pairwise(likeliest))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (lambda: by_probability({"a": 1.5}, shards=2, slices=1), "'a' has the deletion probability 1.5"),
        (lambda: by_probability({"a": float("nan")}, shards=2, slices=1), "the deletion probability nan"),
        (lambda: by_probability({"a": 0.0}, shards=2, slices=1), "no record has a deletion probability above 0"),
        (lambda: explicit(["a", "b"], {"a": (0, 0)}, shards=1, slices=1), "'b' has no shard and slice"),
        (lambda: explicit(["a"], {"a": (1, 0)}, shards=1, slices=1), "'a' cannot be in slice 0 of shard 1"),
        (lambda: epochs_of(2, 4), "2 epochs are too few for 4 slices"),
        (lambda: epochs_of(1, 0), "0 slices cannot be trained"),
    ],
)
def test_what_has_no_place_is_refused(place, said):
    with pytest.raises(ConfigError, match=said):
        place()


@given(total=st.integers(1, 200), slices=st.integers(1, 12))
def test_epochs_of_slices_cost_as_much_as_those_without(total, slices):
    if 2 * total < slices + 1:
        return
    found = epochs_of(total, slices)
    assert min(found) >= 1 and sum(found) == 2 * total * slices // (slices + 1)
    assert found == tuple(
        int((r + 1) * a + 1e-9) - int(r * a + 1e-9) for a in [2 * total / (slices + 1)] for r in range(slices)
    )
