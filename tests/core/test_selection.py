"""No record is in two roles; the digest covers all of them; some roles read others."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import ScopeError
from expunge.core.example import Example, Examples
from expunge.core.selection import SELECTED, Selection, check_disjoint
from expunge.testing.toy import toy_selection


def some(prefix: str, n: int) -> Examples:
    return Examples(Example(f"{prefix}{i}", f"{prefix} {i}?", f"{prefix} {i}.") for i in range(n))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=8))
def test_overlap_is_found_exactly_when_an_id_is_in_two_roles(placed):
    roles = {r: Examples(Example(f"r{i}", f"{i}?", f"{i}.") for role, i in placed if role == r) for r in "abc"}
    ids = [set(examples.ids) for examples in roles.values()]
    overlapping = len(set.union(*ids)) < sum(map(len, ids))
    if overlapping:
        with pytest.raises(ScopeError, match="overlap"):
            check_disjoint(**roles)
    else:
        check_disjoint(**roles)


def test_overlap_is_counted_and_named():
    with pytest.raises(ScopeError, match=r"forget and retain overlap in 4 records\. for example x0, x1, x2\."):
        Selection(some("x", 4), some("x", 9))


def test_the_same_text_under_another_id_is_an_overlap():
    twin = Examples([replace(some("x", 1)[0], record_id="other")])
    for role in ("retain", "holdout", "validation", "general", "neighbour"):
        with pytest.raises(ScopeError, match="for example other"):
            Selection(some("x", 1), **{role: twin})
    with pytest.raises(ScopeError, match="retain and holdout"):
        Selection(some("y", 1), retain=some("x", 1), holdout=twin)


def test_the_same_question_with_another_answer_is_no_overlap():
    other = Examples([replace(some("x", 1)[0], record_id="other", answer="No.")])
    assert Selection(some("x", 1), other).retain.ids == ("other",)


def test_general_and_neighbouring_records_may_be_retained():
    selection = Selection(some("x", 2), retain=some("y", 3), neighbour=some("y", 1), general=some("y", 2))
    assert selection.kept.ids == ("y2",)


def test_the_digest_covers_every_role_and_no_order():
    base = toy_selection()
    digests = {base.digest()}
    for role in SELECTED:
        if base.role(role):
            changed = replace(base, **{role: base.role(role)[1:]})
            digests.add(changed.digest())
            turned = replace(base, **{role: Examples(reversed(list(base.role(role))))})
            assert turned.digest() == base.digest()
    assert len(digests) == 1 + sum(bool(base.role(role)) for role in SELECTED)


def test_a_selection_is_frozen_and_refuses_unknown_roles():
    with pytest.raises(AttributeError):
        toy_selection().forget = Examples()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="unexpected"):
        Selection(some("x", 1), others=some("y", 1))  # pyright: ignore[reportCallIssue]


def test_a_repeated_text_may_be_kept_where_that_is_said_and_is_told():
    twin = Examples([replace(some("x", 1)[0], record_id="other")])
    with pytest.raises(ScopeError, match=r"other, which repeat forgotten ones.*Name these records too; only an exact"):
        Selection(some("x", 1), retain=twin + some("y", 1))
    selection = Selection(some("x", 1), retain=twin + some("y", 1), general=twin, neighbour=twin, repeats=True)
    assert selection.repeated.ids == ("other",)
    with pytest.raises(ScopeError, match=r"for example x0\. Put each record in one role"):
        Selection(some("x", 1), retain=some("x", 1), repeats=True)
    with pytest.raises(ScopeError, match=r"forget and holdout overlap.*Put each record in one role"):
        Selection(some("x", 1), holdout=twin, repeats=True)
