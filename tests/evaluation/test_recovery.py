"""One number a recovery curve: bounded by the original and a model that never knew, and blind to what is not theirs."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from expunge.core.errors import EvidenceError
from expunge.evaluation.recovery import area, curve_of, recovered_area, steps_to
from expunge.evaluation.report_recovery import recovery

LOOKS = (0, 2, 5, 10)
HEIGHTS = st.lists(st.floats(0, 1), min_size=4, max_size=4)


def at(heights):
    return list(zip(LOOKS, heights, strict=True))


def test_a_curve_is_the_mean_of_what_was_found_on_the_way():
    rows = [{"record_id": "a", "subject": "s", "outcome": 0.9, "after_10": 0.9, "after_2": 0.2}]
    rows += [{"record_id": "b", "subject": "s", "outcome": 0.5, "after_10": 0.5, "after_2": 0.4}]
    assert curve_of(rows) == [(2, pytest.approx(0.3)), (10, pytest.approx(0.7))]
    assert curve_of(rows[::-1]) == curve_of(rows) and curve_of([]) == []


@given(HEIGHTS, st.floats(0, 1))
def test_the_area_lies_between_the_heights_and_moves_with_them(heights, shift):
    found = area(at(heights))
    assert min(heights) - 1e-12 <= found <= max(heights) + 1e-12
    assert area(at([h + shift for h in heights])) == pytest.approx(found + shift)


@given(HEIGHTS, st.integers(1, 3))
def test_a_look_on_the_line_between_two_others_changes_no_area(heights, place):
    curve = at(heights)
    (s, f), (t, g) = curve[place - 1], curve[place]
    denser = [*curve[:place], ((s + t) / 2, (f + g) / 2), *curve[place:]]
    assert area(denser) == pytest.approx(area(curve), abs=1e-12)


@given(HEIGHTS, HEIGHTS)
def test_the_original_has_the_whole_area_and_a_model_that_never_knew_none(low, high):
    never, known = at(low), at(high)
    assume(area(known) > area(never) + 1e-3)
    assert recovered_area(known, never_knew=never, original=known) == pytest.approx(1)
    assert recovered_area(never, never_knew=never, original=known) == pytest.approx(0, abs=1e-9)
    assert steps_to(0.5, never, never_knew=never, original=known) is None


def test_an_attack_that_does_not_tell_the_two_says_nothing():
    flat = at([0.3] * 4)
    assert recovered_area(at([0.9] * 4), never_knew=flat, original=flat) is None
    assert steps_to(0.5, at([0.9] * 4), never_knew=flat, original=flat) is None


def test_steps_are_found_between_looks_and_never_after_a_larger_share():
    never, known = at([0.1, 0.1, 0.1, 0.1]), at([0.9, 0.9, 0.9, 0.9])
    rising = at([0.1, 0.1, 0.5, 0.9])
    assert steps_to(0.5, rising, never_knew=never, original=known) == pytest.approx(5)
    assert steps_to(0.25, rising, never_knew=never, original=known) == pytest.approx(3.5)
    assert steps_to(0.9, rising, never_knew=never, original=known) == pytest.approx(9)
    assert steps_to(0.5, known, never_knew=never, original=known) == 0.0
    assert steps_to(0.9, at([0.1, 0.1, 0.5, 0.7]), never_knew=never, original=known) is None


def test_a_control_that_learns_as_fast_leaves_nothing_recovered():
    never, known = at([0.1, 0.2, 0.4, 0.5]), at([0.9] * 4)
    assert steps_to(0.5, never, never_knew=never, original=known) is None
    assert steps_to(0.5, at([0.1, 0.55, 0.8, 0.9]), never_knew=never, original=known) == pytest.approx(2)


def test_curves_with_other_steps_or_none_are_refused():
    curve = at([0.1] * 4)
    with pytest.raises(EvidenceError, match="same steps"):
        recovered_area(curve, never_knew=curve[:-1], original=curve)
    for bad in ([], curve[::-1]):
        with pytest.raises(EvidenceError, match="no recovery curve"):
            area(bad)


def told(evidence) -> list[list[str]]:
    """The cells of the report's table of numbers, one list a method; empty if there is no such table."""
    page = str(recovery(evidence))
    body = page.partition("steps to 90 %")[2]
    rows = re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]


def test_the_report_tells_every_method_s_curve_in_the_same_numbers():
    evidence = json.loads((Path(__file__).parent / "sample_evidence.json").read_text())
    rows = {row["key"]: row for row in evidence["rows"] if row.get("recovery")}
    curves = {key: [(p["steps"], p["value"]) for p in row["recovery"]] for key, row in rows.items()}
    rows["npo"]["recovery"] = [{**p, "low": 0.0, "high": 1.0} for p in rows["original"]["recovery"]]
    cells = {row[0]: row[1:] for row in told(evidence)}
    assert cells.keys() == {row["label"] for key, row in rows.items() if key not in ("original", "retrained")} - {
        rows[key]["label"] for key in ("second_reference",) if key in rows
    }
    assert cells[rows["npo"]["label"]] == ["1.00", "0.0", "0.0"]
    share = recovered_area(curves["grad_diff"], never_knew=curves["retrained"], original=curves["original"])
    assert cells[rows["grad_diff"]["label"]] == [f"{share:.2f}", "not within 20", "not within 20"]
    rows["original"]["recovery"] = rows["retrained"]["recovery"]
    assert {tuple(row[1:]) for row in told(evidence)} == {("-", "-", "-")}
    evidence["rows"] = [row for row in evidence["rows"] if row["key"] != "original"]
    assert told(evidence) == []
