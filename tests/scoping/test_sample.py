"""A sampled selection holds the first of a keyed order, says so, and cannot be taken for the whole."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.certificate import issue
from expunge.core.errors import ClaimError, ConfigError, ScopeError, UnknownName
from expunge.core.example import Example, Examples
from expunge.core.provenance import Plain, Statistics
from expunge.core.request import Records, Request
from expunge.core.seeds import keyed_order
from expunge.core.selection import Selection
from expunge.data.memory import MemoryStore
from expunge.methods.asking.prompt_filter import prompt_filter
from expunge.methods.exact.retrain import retrain
from expunge.methods.exact.statistics import statistics
from expunge.methods.gradient.grad_diff import grad_diff
from expunge.scoping.resolve import resolve
from expunge.testing.toy import toy_model, toy_recipe, toy_store


def record(i, role=""):
    return Example(f"r{i}", f"What is {i}?", f"{i}.", role=role)


def store(n, *, without=()):
    roles = ["", "retain", "general", "holdout", "validation"]
    return MemoryStore(record(i, roles[i % 5]) for i in range(n) if i not in without)


SCOPE = Records("r0", "r1")


@given(st.integers(8, 60), st.integers(1, 20), st.integers(0, 3))
def test_a_sample_is_the_front_of_the_keyed_order_of_the_whole(n, size, seed):
    whole, part = resolve(SCOPE, store(n)), resolve(SCOPE, store(n), sample={"retain": size}, seed=seed)
    order = keyed_order(whole.retain.ids, seed, "sample", "retain")
    assert list(part.retain) == [whole.retain[i] for i in order[:size]]
    assert part.sampled == ({"retain": len(whole.retain)} if len(whole.retain) > size else {})
    assert (list(part.holdout), list(part.general)) == (list(whole.holdout), list(whole.general))


@given(st.integers(10, 60), st.data())
def test_adding_or_removing_a_record_moves_no_other(n, data):
    gone = data.draw(st.integers(2, n - 1))
    asked = {"retain": 4, "holdout": 3}
    before, after = (resolve(SCOPE, s, sample=asked) for s in (store(n), store(n, without=[gone])))
    for role in asked:
        stay = [e for e in before.role(role) if e.record_id != f"r{gone}"]
        assert list(after.role(role))[: len(stay)] == stay


@given(st.integers(12, 40), st.integers(0, 5))
def test_the_order_of_rows_changes_nothing_and_the_seed_something(n, seed):
    turned = MemoryStore(list(store(n).all())[::-1])
    first, second = (resolve(SCOPE, s, sample={"retain": 3}, seed=seed) for s in (store(n), turned))
    assert list(first.retain) == list(second.retain) and first.digest() == second.digest()
    draws = {resolve(SCOPE, store(60), sample={"retain": 3}, seed=s).retain.ids for s in range(4)}
    assert len(draws) > 1


def test_roles_are_drawn_apart():
    both = MemoryStore(record(i, "general") for i in range(40))
    found = resolve(SCOPE, both, sample={"retain": 5, "general": 5})
    assert set(found.retain.ids) != set(found.general.ids)
    assert found.sampled == {"retain": 38, "general": 38}


@pytest.mark.parametrize("role", ["", "holdout", "validation", "general"])
def test_a_copy_of_a_forgotten_record_is_found_although_it_would_not_be_drawn(role):
    examples = list(store(60).all())
    for seed in range(5):
        twin = replace(examples[0], record_id="copy", role=role)
        with pytest.raises(ScopeError, match=r"forget and \w+ overlap in 1 record.*copy"):
            resolve(
                SCOPE,
                MemoryStore([*examples, twin]),
                sample=dict.fromkeys(("retain", "holdout", "validation", "general"), 1),
                seed=seed,
            )


@pytest.mark.parametrize(
    ("sample", "error", "said"),
    [
        ({"retian": 3}, UnknownName, "unknown role to sample 'retian'. Did you mean 'retain'"),
        ({"forget": 3}, UnknownName, "unknown role to sample 'forget'"),
        ({"retain": 0}, ConfigError, "a sample of 0 records of retain"),
        ({"retain": 2.5}, ConfigError, "a sample of 2.5 records"),
        ({"retain": True}, ConfigError, "a sample of True records"),
    ],
)
def test_a_sample_that_is_none_is_refused(sample, error, said):
    with pytest.raises(error, match=said):
        resolve(SCOPE, store(10), sample=sample)


def test_what_was_sampled_enters_the_digest_and_must_be_more_than_is_held():
    forget, kept = Examples([record(0)]), Examples([record(1), record(2)])
    plain = Selection(forget, kept)
    sampled = {n: Selection(forget, kept, sampled={"retain": n}).digest() for n in (3, 4)}
    assert len({plain.digest(), *sampled.values()}) == 3
    with pytest.raises(ScopeError, match="2 records are no sample of 2 in the retain role"):
        Selection(forget, kept, sampled={"retain": 2})
    with pytest.raises(ScopeError, match="the forget role cannot be sampled"):
        Selection(forget, kept, sampled={"forget": 9})


def sampled_toy():
    return resolve(Records("ana-city", "ana-pet"), toy_store(), sample={"retain": 3})


@pytest.mark.parametrize("method", ["retrain", "statistics"])
def test_exact_methods_refuse_a_sample_before_anything_changes(method):
    class Target:
        """Whoever reads more than these two is caught."""

        kind = "causal_lm" if method == "retrain" else "learner"
        provenance = Plain() if method == "retrain" else Statistics(sums=())

    chosen = retrain.with_recipe(toy_recipe(steps=1)) if method == "retrain" else statistics
    with pytest.raises(ClaimError, match=rf"{method} needs the whole retain set.*a sample of 3 of \d+ records"):
        chosen.unlearn(Target(), sampled_toy(), seed=0)


def test_gradient_methods_accept_a_sample_and_the_certificate_says_so():
    selection = sampled_toy()
    method = replace(grad_diff, steps=1, epochs=0.0, batch_size=2)
    outcome = method.unlearn(toy_model(), selection, seed=0)
    said = f"3 of {selection.sampled['retain']}"
    assert outcome.notes["sampled"] == {"retain": said}
    notes = dict(issue(Request("Ana", Records("ana-city", "ana-pet")), outcome).notes)
    assert said in notes["sampled"]
    overlay = prompt_filter.unlearn(toy_model(), selection, seed=0)
    assert overlay.notes["sampled"] == {"retain": said}
    whole = method.unlearn(toy_model(), resolve(Records("ana-city"), toy_store()), seed=0)
    assert "sampled" not in whole.notes
