"""Every kind of store gives back what was put in, under one digest, and erases whole records or nothing."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from expunge.core.canonical import canonical_bytes
from expunge.core.example import Example, Examples, record_bytes, with_role
from expunge.data.row_store import SHARD
from expunge.data.rows import FIELDS
from expunge.testing.store_contract import check_store

text = st.text(min_size=1, max_size=8).filter(str.strip)
maybe = st.text(max_size=4)
example = st.builds(
    Example,
    record_id=text,
    question=text,
    answer=text,
    subject=maybe,
    role=st.sampled_from(["", "retain", "general"]),
    paraphrased_answer=maybe,
    perturbed_answer=st.lists(maybe, max_size=3).map(tuple),
    alternative_answer=maybe,
)
some_examples = st.lists(example, min_size=1, max_size=7, unique_by=lambda e: e.record_id)
COMMON = settings(
    max_examples=12,
    # Shrinking writes thousands of stores.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@COMMON
@given(some_examples, st.data())
def test_every_store_keeps_the_contract(make, kind, examples, data):
    gone = data.draw(st.lists(st.sampled_from([e.record_id for e in examples]), unique=True))
    check_store(lambda items: make(kind, items), examples, gone)


def many(count):
    return [Example(f"r{i}", f"What is {i}?", f"{i}.", perturbed_answer=(f"{i + 1}.",)) for i in range(count)]


def test_records_of_many_shards_come_back_by_any_way(make, kind):
    examples = many(2 * SHARD + 3)
    check_store(lambda items: make(kind, items), examples, [e.record_id for e in examples[5::7]])
    store = make(kind, examples)
    assert [len(shard) for shard in store.shards()] in ([SHARD, SHARD, 3], [len(examples)])
    asked = ["r2049", "r3", f"r{SHARD}", "r3"]
    assert list(store.get(asked).ids) == asked


def test_one_changed_letter_changes_the_digest(make, kind):
    examples = many(3)
    other = [replace(examples[0], subject="x"), *examples[1:]]
    assert make(kind, examples).digest() != make(kind, other).digest()


whole = st.builds(
    Example, **{name: text for name in FIELDS if name != "perturbed_answer"}, perturbed_answer=st.lists(text).map(tuple)
)


@given(st.one_of(example, whole))
def test_the_fast_bytes_of_a_record_are_the_canonical_ones(example):
    assert record_bytes(example) == canonical_bytes(example)
    assert record_bytes(example, role="other") == canonical_bytes(replace(example, role="other"))
    assert with_role(example, "other") == replace(example, role="other")


def test_records_that_run_into_one_another_are_told_apart():
    one, two = many(2)
    assert Examples([one]).digest() != Examples([two]).digest() != Examples([one, two]).digest()


class Forgetful:
    """A store that is broken in one way."""

    def __init__(self, inner, broken):
        self.inner, self.broken = inner, broken

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def ids(self):
        return self.inner.ids()

    def get(self, ids):
        return self.inner.all() if self.broken == "get" else self.inner.get(ids)

    def shards(self):
        return [shard[:1] for shard in self.inner.shards()] if self.broken == "shards" else self.inner.shards()

    def erase(self, ids):
        ids = list(ids)
        if self.broken == "lenient":
            ids = [i for i in ids if i in self.inner.ids()]
        return self.inner.erase(ids[:1] if self.broken == "erase" else ids)

    def digest(self):
        return self.broken if self.broken == "digest" else self.inner.digest()


@pytest.mark.parametrize("broken", ["get", "shards", "lenient", "erase", "digest"])
def test_the_contract_catches_a_store_that_breaks_it(make, broken):
    with pytest.raises(AssertionError):
        check_store(lambda items: Forgetful(make("memory", items), broken), many(4), ["r1", "r2"])
