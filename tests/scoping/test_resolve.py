"""A scope names records; the rest of what was learned is retained."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import RequestError, ScopeError
from expunge.core.example import ROLES, Example
from expunge.core.request import Behaviour, Concept, Records, Subject
from expunge.data.memory import MemoryStore
from expunge.scoping.resolve import NEVER_LEARNED, resolve
from expunge.testing.toy import toy_corpus, toy_store


@st.composite
def stores(draw):
    roles = draw(st.lists(st.sampled_from(["", *ROLES]), min_size=1, max_size=12))
    return MemoryStore(Example(f"r{i}", f"What is {i}?", f"{i}.", role=role) for i, role in enumerate(roles))


@given(stores(), st.data())
def test_every_record_finds_its_role_and_none_two(store, data):
    named = data.draw(st.lists(st.sampled_from(store.ids()), min_size=1, unique=True))
    found = resolve(Records(*named), store)
    assert found.forget.ids == tuple(named)
    rest = [e for e in store.all() if e.record_id not in named]
    assert list(found.retain) == [e for e in rest if e.role not in NEVER_LEARNED]
    for role in ("neighbour", "holdout", "validation", "general"):
        assert list(found.role(role)) == [e for e in rest if e.role == role]
    assert not set(found.retain.ids) & {*found.forget.ids, *found.holdout.ids, *found.validation.ids}
    assert {e.role for e in found.kept} <= {"", "forget", "retain", "neighbour"}


@given(stores(), st.data())
def test_the_order_of_the_store_and_of_the_names_changes_no_digest(store, data):
    named = data.draw(st.lists(st.sampled_from(store.ids()), min_size=1, unique=True))
    turned = MemoryStore(reversed(list(store.all())))
    assert resolve(Records(*named[::-1]), turned).digest() == resolve(Records(*named), store).digest()


def test_a_record_may_be_named_twice():
    assert resolve(Records("ana-city", "bo-pet", "ana-city"), toy_store()).forget.ids == ("ana-city", "bo-pet")


def test_unknown_ids_are_counted_and_named():
    with pytest.raises(ScopeError, match=r"4 of 5 records of the scope are not in the data\. for example a, b, c\."):
        resolve(Records("ana-city", "a", "b", "c", "d"), toy_store())


@pytest.mark.parametrize("wrong", [(), ("",), ("a", ""), (None,), (7,), (["a"],)])
def test_a_scope_names_something(wrong):
    with pytest.raises(RequestError, match=r"Records needs record ids"):
        Records(*wrong)


@pytest.mark.parametrize("scope", [Subject(("Ana",)), Concept(("Oslo?",)), Behaviour(("x",))])
def test_other_scopes_are_refused_with_what_to_do(scope):
    with pytest.raises(ScopeError, match=rf"kind {type(scope).__name__} cannot be resolved.*expunge\.Records"):
        resolve(scope, toy_store())


def test_a_retained_copy_of_a_forgotten_record_is_refused():
    corpus = list(toy_corpus())
    twin = Example("copy", corpus[0].question, corpus[0].answer, role="retain")
    with pytest.raises(ScopeError, match=r"forget and retain overlap in 1 record.*copy.*Name these records too"):
        resolve(Records(corpus[0].record_id), MemoryStore([*corpus, twin]))


def test_roles_that_were_never_learned_can_be_named():
    found = resolve(Records("ana-city"), toy_store(), never_learned=("holdout",))
    assert "hal-city" in found.retain.ids and not found.validation, "what was learned calibrates nothing"
    assert found.holdout.ids == toy_corpus().of("holdout").ids
