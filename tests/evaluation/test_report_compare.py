"""Several runs on one page: differences where they mean something, and the reason where they do not."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.evaluation.report_compare import APART, OPEN, Difference, Run, differences, obstacles, render_comparison

SAMPLE = Path(__file__).with_name("sample_evidence.json")
HOSTILE = "<script>alert(1)</script>\"'"


def run(name="a", corpus="same", **cell):
    evidence = json.loads(SAMPLE.read_text(encoding="utf-8"))
    evidence["rows"][5]["cells"]["ks"].update(cell)
    return Run(name, evidence, corpus)


def page(*runs):
    return ElementTree.fromstring(render_comparison(runs))


def words(node):
    return " ".join("".join(node.itertext()).split())


def test_a_run_beside_itself_has_no_difference_that_its_intervals_do_not_allow():
    found = list(differences(run("a"), run("b")))
    assert len(found) > 40
    assert {d.verdict for d in found} == {OPEN}
    assert all(d.other == d.first and d.low <= 0 <= d.high for d in found)


def test_the_interval_is_the_widest_that_the_two_allow():
    [found] = [
        d
        for d in differences(run(value=0.5, low=0.4, high=0.7), run(value=0.2, low=0.15, high=0.25))
        if (d.label, d.column) == ("negative preference optimisation", "KS D")
    ]
    assert (found.low, found.high) == pytest.approx((0.15 - 0.7, 0.25 - 0.4))
    assert found.verdict == APART


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(-1, 1), st.floats(0, 1))
def test_apart_means_that_the_intervals_do_not_meet(a, wide, b, broad):
    low, high = (b - broad) - (a + wide), (b + broad) - (a - wide)
    meet = not (low > 0 or high < 0)
    assert (Difference("m", "c", a, b, low, high).verdict == OPEN) == meet


@pytest.mark.parametrize(
    ("part", "says"), [("policy", "judged by different policies"), ("reference", "retrained models differ")]
)
def test_another_policy_or_reference_forbids_differences(part, says):
    other = run("b")
    other.evidence["run"]["measured_by"][part] = "sha256:" + "9" * 64
    assert obstacles(run(), other) and says in obstacles(run(), other)[0]
    shown = page(run(), other)
    [told] = [words(p) for p in shown.iter("p") if p.get("class") == "obstacle"]
    assert told.startswith("No differences are shown between a and b: ") and says in told
    assert "cannot be told apart" not in [words(td) for td in shown.iter("td")]
    assert not list(shown.iter("figure"))


@pytest.mark.parametrize(
    ("corpora", "says"), [(("x", "y"), "different records"), (("x", ""), "the records of b are no longer there")]
)
def test_other_or_missing_records_forbid_differences(corpora, says):
    found = obstacles(run("a", corpora[0]), run("b", corpora[1]))
    assert len(found) == 1 and says in found[0]


def test_a_run_that_does_not_say_by_what_it_was_measured_is_not_subtracted():
    other = run("b")
    del other.evidence["run"]["measured_by"]
    assert len(obstacles(run(), other)) == 2


def test_other_seeds_forbid_differences():
    other = run("b")
    other.evidence["run"]["seeds"] = [0, 1, 2]
    assert obstacles(run(), other) == ["they pool different seeds"]


def test_utility_of_other_components_is_not_subtracted():
    other = run("b")
    other.evidence["utility_components"]["kept"].pop()
    assert "model utility" not in {d.column for d in differences(run(), other)}
    assert "Utility is left out" in words(page(run(), other))


def test_all_rows_of_all_runs_are_there_with_their_intervals():
    runs = [run("first"), run("second"), run("third", value=0.31, low=0.21, high=0.41)]
    shown = page(*runs)
    table = next(n for n in shown.iter("section") if n.get("aria-labelledby") == "table").find(".//tbody")
    labels = [words(line[0]) for line in table]
    assert labels == [f"{r.name}: {row['label']}" for r in runs for row in r.evidence["rows"]]
    assert "[0.21, 0.41]" in words(table)
    assert "[0.89, 0.97]" in words(table), "the probability's interval too"


def test_methods_that_share_a_reference_stand_in_one_chart():
    shown = page(run("a"), run("b"))
    [figure] = shown.iter("figure")
    assert "b: calibrated ascent" in words(figure) and "b: original" not in words(figure)


def test_bytes_depend_on_the_content_alone_and_no_digest_is_shown():
    html = render_comparison([run("a"), run("b")])
    assert html == render_comparison([run("a"), run("b")])
    assert not re.search("sha256|same", html.partition("</style>")[2].replace("the same", ""))


def test_hostile_names_are_text():
    html = render_comparison([run(HOSTILE), run("b" + HOSTILE, "other")])
    assert "<script" not in html
    assert HOSTILE in words(ElementTree.fromstring(html))
