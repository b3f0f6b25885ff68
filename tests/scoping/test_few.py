"""A few of the forgotten records: nested draws that depend on the ids alone, and nobody trains on the rest."""

from dataclasses import replace

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from expunge.core.errors import ClaimError, ConfigError
from expunge.core.example import Examples
from expunge.core.guarantee import Empirical
from expunge.core.outcome import Outcome
from expunge.core.registry import methods, modules_of
from expunge.core.space import settings_of, with_settings
from expunge.methods import gradient
from expunge.methods.exact.retrain import retrain
from expunge.scoping.few import few
from expunge.testing.toy import toy_model, toy_selection
from expunge.workflow.verbs import some_given, unlearn_selection

WHOLE = toy_selection()


@drawn(st.integers(1, 6), st.integers(1, 6), st.integers(0, 9), st.randoms())
def test_draws_are_nested_and_do_not_depend_on_the_order(few_, many, seed, random):
    few_, many = sorted((few_, many))
    shuffled = random.sample(list(WHOLE.forget), len(WHOLE.forget))
    other = replace(WHOLE, forget=Examples(shuffled))
    small, large = (set(few(WHOLE, size, seed=seed).forget.ids) for size in (few_, many))
    assert small <= large and len(small) == few_
    assert set(few(other, many, seed=seed).forget.ids) == large


def test_the_rest_is_in_no_role():
    part = few(WHOLE, 2, seed=1)
    left_out = set(WHOLE.forget.ids) - set(part.forget.ids)
    for role in ("retain", "general", "holdout", "validation", "neighbour"):
        assert part.role(role) == WHOLE.role(role) and not left_out & set(part.role(role).ids)


@pytest.mark.parametrize("count", [0, -1, 7])
def test_a_number_that_cannot_be_given(count):
    with pytest.raises(ConfigError, match=f"{count} of 6 records cannot be given"):
        few(WHOLE, count, seed=0)


class Spy:
    """A method that notes what it was given."""

    name, claim = "spy", Empirical("research-tofu")

    def unlearn(self, target, selection, *, seed, workdir=None):
        self.read = selection
        return Outcome(target, target.digest(), "spy/1", "", self.claim, selection, target, seed)


def test_the_method_sees_these_alone_and_the_outcome_holds_all_and_says_so():
    spy, target = Spy(), toy_model()
    outcome = unlearn_selection(target, WHOLE, spy, seed=4, given=2)
    assert spy.read.digest() == few(WHOLE, 2, seed=4).digest() != WHOLE.digest()
    assert outcome.selection is WHOLE
    assert outcome.notes["given"] == "2 of 6 records were given to the method; evidence reads all"
    assert "given" not in unlearn_selection(target, WHOLE, spy, seed=4).notes


@pytest.mark.parametrize("method", [retrain, methods.get("statistics")])
def test_a_method_whose_claim_is_about_what_it_was_given_must_be_given_all(method):
    with pytest.raises(ClaimError, match="must be given every record"):
        some_given(method, WHOLE, 2, seed=0)


@pytest.mark.parametrize("name", modules_of(gradient))
def test_every_gradient_method_runs_on_one_given_record_and_evidence_reads_all(name):
    method = methods.get(name)
    if "steps" in settings_of(method):
        method = with_settings(method, {"steps": 2})
    target = toy_model()
    outcome = unlearn_selection(target, WHOLE, method, seed=0, given=1)
    assert outcome.selection is WHOLE and outcome.before == target.digest() != outcome.target.digest()
    assert outcome.notes["given"] == "1 of 6 records were given to the method; evidence reads all"
