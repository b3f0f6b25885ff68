"""Seeds depend on names, orders on keys, digests on content; decimals read back as the same double."""

import dataclasses
import enum
import json
import math
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.access import Access
from expunge.core.canonical import canonical_bytes, decimal, digest, digest_file, digest_folder, plain, read_json
from expunge.core.errors import StoreError
from expunge.core.seeds import derive, keyed_order

keys = st.lists(st.text(max_size=5), unique=True, max_size=10)
seeds = st.integers(0, 2**32)


@given(keys, seeds, st.randoms())
def test_the_order_follows_the_keys_wherever_they_stand(names, seed, random):
    turned = random.sample(names, len(names))
    assert [names[i] for i in keyed_order(names, seed)] == [turned[i] for i in keyed_order(turned, seed)]


@given(keys, seeds, st.data())
def test_leaving_keys_out_keeps_the_order_of_the_others(names, seed, data):
    kept = [name for name in names if data.draw(st.booleans())]
    whole = [names[i] for i in keyed_order(names, seed)]
    assert [kept[i] for i in keyed_order(kept, seed)] == [name for name in whole if name in kept]


def test_orders_differ_by_seed_and_purpose_and_use_every_position():
    names = [f"r{i}" for i in range(40)]
    orders = [keyed_order(names, *args) for args in ((0,), (1,), (0, "forget"), (0, "retain"), (0, "forget", 1))]
    assert len({tuple(order) for order in orders}) == 5
    assert all(sorted(order) == list(range(40)) for order in orders)
    assert all(order != list(range(40)) for order in orders)


def test_seeds_and_orders_are_the_same_in_every_process_and_version():
    assert derive(7, "x") == 4823014384566060788
    assert keyed_order(["a", "b", "c", "d", "e"], 7, "x") == [4, 2, 3, 0, 1]


def test_places_in_an_order_are_even():
    names = [f"r{i}" for i in range(5)]
    firsts = [keyed_order(names, seed)[0] for seed in range(2000)]
    assert all(330 < firsts.count(i) < 470 for i in range(5))


@given(seeds, st.lists(st.one_of(st.text(max_size=4), st.integers(0, 99)), max_size=3))
def test_a_derived_seed_fits_torch_and_numpy(seed, names):
    assert 0 <= derive(seed, *names) < 2**63
    assert derive(seed, *names) == derive(seed, *names) != derive(seed + 1, *names)


def test_a_derived_seed_does_not_mix_up_its_parts():
    assert (
        len({derive(1, "ab", "c"), derive(1, "a", "bc"), derive(1, "abc"), derive(11, "abc"), derive(1, 1, "abc")}) == 5
    )


@given(st.floats(allow_nan=False))
def test_a_decimal_reads_back_as_the_same_double(value):
    back = float(decimal(value))
    assert back == value and math.copysign(1, back) == math.copysign(1, value)


@given(st.integers())
def test_a_whole_number_keeps_every_digit(value):
    assert int(decimal(value)) == value


def test_what_is_no_finite_number_is_spelled_out():
    assert [decimal(x) for x in (math.nan, math.inf, -math.inf)] == ["nan", "inf", "-inf"]
    with pytest.raises(TypeError):
        decimal(True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_canonical_bytes_are_json_without_numbers_and_stable(value):
    data = canonical_bytes(value)
    read = json.loads(data)
    assert read == plain(value)
    assert canonical_bytes(read) == data, "a canonical form is its own"

    def numbers(part):
        if isinstance(part, dict):
            return any(map(numbers, part.values()))
        return any(map(numbers, part)) if isinstance(part, list) else type(part) in (int, float)

    assert not numbers(read)


@given(json_values)
def test_canonical_bytes_are_those_of_rfc_8785(value):
    assert canonical_bytes(value) == rfc8785.dumps(plain(value))


def test_every_character_is_escaped_and_sorted_as_rfc_8785_says():
    characters = [chr(i) for i in (*range(0xD800), *range(0xE000, 0x10000), 0x10000, 0x1F600, 0x10FFFF)]
    value = [characters, dict.fromkeys(characters[:0xD800]), dict.fromkeys(characters[0xD000:])]
    assert canonical_bytes(value) == rfc8785.dumps(value)
    with pytest.raises(ValueError, match="non-UTF-8"):
        canonical_bytes("\ud83d")


@given(st.dictionaries(st.text(max_size=4), st.integers(), max_size=5), st.randoms())
def test_the_order_of_keys_and_sets_changes_no_digest(value, random):
    turned = dict(random.sample(list(value.items()), len(value)))
    assert digest(turned) == digest(value)
    assert digest(set(value)) == digest(set(turned)) == digest(frozenset(value))


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    name: str = "p"


@dataclasses.dataclass(frozen=True)
class Spot:
    x: float
    name: str = "p"


class Colour(enum.Enum):
    RED = "red"


def test_types_fields_and_values_all_count():
    values = [
        Point(0.1),
        Spot(0.1),
        Point(0.2),
        Point(0.1, "q"),
        {"x": 0.1, "name": "p"},
        [0.1, "p"],
        "0.1",
        1,
        "1",
        None,
    ]
    assert len({digest(value) for value in values}) == len(values) - 1, "only 1 and its decimal string coincide"
    assert plain(Point(0.5)) == {"type": "Point", "x": "0.5", "name": "p"}
    assert plain([Colour.RED, Path("a/b"), (1, 2)]) == ["red", "a/b", ["1", "2"]]
    assert plain(Access.TEXT | Access.WEIGHTS) == ["TEXT", "WEIGHTS"]
    with pytest.raises(TypeError, match="object has no canonical form"):
        digest(object())


def test_a_folder_s_digest_covers_names_and_bytes(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(b"1" * (3 << 20))
    (tmp_path / "a" / "b" / "y").write_bytes(b"2")
    seen = {digest_folder(tmp_path / "a")}
    (tmp_path / "a" / "x").write_bytes(b"1" * ((3 << 20) - 1) + b"0")
    seen.add(digest_folder(tmp_path / "a"))
    (tmp_path / "a" / "b" / "y").rename(tmp_path / "a" / "b" / "z")
    seen.add(digest_folder(tmp_path / "a"))
    assert len(seen) == 3


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(StoreError, match=r"x.json is not JSON"):
        read_json(tmp_path / "x.json")
    for read in (read_json, digest_file):
        with pytest.raises(StoreError, match=r"cannot read .*nowhere.*No such file"):
            read(tmp_path / "nowhere")
