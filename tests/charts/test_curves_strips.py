"""Curves and token strips: what is drawn stands where the numbers say, and all of it on the canvas."""

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.charts.curves import Curve, curves
from expunge.charts.histogram import Panel, histogram_pair
from expunge.charts.lettering import text_width
from expunge.charts.scale import Span
from expunge.charts.scatter import Point, best, scatter
from expunge.charts.strips import Strip, token_strips

NS = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\"'&\x00]]>"
share = st.floats(0, 1)
labels = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=40)
widths = st.sampled_from([360.0, 520.0, 820.0])


def draw_curves(values, label="npo", width=820.0, panels=1):
    points = [(float(step), Span(v, max(0, v - 0.1), min(1, v + 0.1))) for step, v in enumerate(values)]
    context = [Curve(label, points, "square"), Curve(label, points, "star")]
    words = {"title": label, "description": "D", "x_label": label, "y_label": label, "own": label}
    return curves([Curve(label, points)] * panels, context, width=width, **words)


def draw_strips(shares, label="npo", tokens=(), width=820.0):
    strip = Strip(label, [(label, shares), ("after", shares)], tokens)
    return token_strips([strip, strip], title=label, description="D", width=width)


def fits(svg, width):
    root = ElementTree.fromstring(svg)
    for node in root.iter(f"{NS}text"):
        wide, x = text_width(node.text or "", 13.0), float(node.get("x"))
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[node.get("text-anchor", "start")]
        assert left >= -0.01
        assert left + wide <= width + 0.01
        assert 8 <= float(node.get("y")) <= float(root.get("height")) - 2
    return root


@given(st.lists(share, min_size=1, max_size=6), labels, widths, st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_curves_stay_on_the_canvas_and_in_order(values, label, width, panels):
    root = fits(draw_curves(values, label, width, panels), width)
    lines = list(root.iter(f"{NS}polyline"))
    assert len(lines) == 3 * panels
    points = [tuple(map(float, pair.split(","))) for pair in lines[-1].get("points").split()]
    for (v1, (x1, y1)), (v2, (x2, y2)) in itertools.pairwise(zip(values, points, strict=True)):
        assert x2 > x1
        assert (v2 - v1) * (y1 - y2) >= 0


def test_a_panel_stands_before_the_context_of_its_own_quantity_only():
    points, words = (
        [(0.0, Span(0.2)), (1.0, Span(0.4))],
        dict.fromkeys(("description", "x_label", "y_label", "own"), "D"),
    )
    panels = [Curve("forgotten", points, quantity="probability"), Curve("utility", points, quantity="share")]
    svg = curves(panels, [Curve("unseen", points, "star", "probability")], title="T", **words)
    lines = [g.find(f"{NS}title").text for g in ElementTree.fromstring(svg).iter(f"{NS}g") if g.get("class") == "curve"]
    assert lines == ["unseen", "forgotten", "utility"]


def test_every_curve_differs_by_more_than_its_colour():
    root = ElementTree.fromstring(draw_curves([0.2, 0.4]))
    dashes = {re.sub("stroke: [^;]*;", "", line.get("style")) for line in root.iter(f"{NS}polyline")}
    assert len(dashes) == 3


@given(st.lists(share, min_size=1, max_size=60), labels, widths, st.booleans())
@settings(max_examples=25, deadline=None)
def test_bars_are_as_high_as_the_probabilities(shares, label, width, named):
    root = fits(draw_strips(shares, label, [label] * len(shares) if named else (), width), width)
    tokens = [node for node in root.iter(f"{NS}g") if node.get("class") == "token"]
    assert len(tokens) == 4 * len(shares)
    heights = [[float(r.get("height")) for r in node.iter(f"{NS}rect")] for node in tokens]
    per_line = sorted(bar / frame for frame, bar in heights)
    assert per_line == pytest.approx(sorted(shares * 4), abs=1e-3)
    for node in tokens:
        frame = next(node.iter(f"{NS}rect"))
        assert float(frame.get("x")) + float(frame.get("width")) <= width


def test_no_strip_is_a_chart_too():
    ElementTree.fromstring(token_strips([], title="T", description="D"))
    ElementTree.fromstring(draw_strips([]))


@pytest.mark.parametrize("draw", [lambda: draw_curves([0.1], HOSTILE), lambda: draw_strips([0.5], HOSTILE, [HOSTILE])])
def test_hostile_labels_are_text(draw):
    svg = draw()
    root = ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert [child.tag for child in root][:2] == [f"{NS}title", f"{NS}desc"]


@given(st.lists(st.tuples(share, share), min_size=1, max_size=9))
def test_the_front_is_what_none_beats(pairs):
    on = best(pairs)
    assert any(on)
    for pair, kept in zip(pairs, on, strict=True):
        beaten = [p for p in pairs if p[0] <= pair[0] and p[1] >= pair[1] and p != pair]
        assert kept == (not beaten)


def test_the_staircase_goes_through_the_front_and_nothing_lies_above_it():
    pairs = [(0.1, 0.3), (0.4, 0.6), (0.5, 0.5), (0.8, 0.9)]
    points = [
        Point(str(k), Span(x), Span(y), front=on) for k, ((x, y), on) in enumerate(zip(pairs, best(pairs), strict=True))
    ]
    svg = scatter(points, title="T", description="D", x_label="x", y_label="y", front_label="front")
    root = ElementTree.fromstring(svg)
    front = next(n for n in root.iter(f"{NS}polyline") if n.get("class") == "front")
    path = [tuple(map(float, pair.split(","))) for pair in front.get("points").split()]
    marks = [n for n in root.iter(f"{NS}g") if n.get("class") == "mark"]
    places = [tuple(map(float, re.findall(r"-?[\d.]+", mark.get("transform")))) for mark in marks]
    assert [place in path for place in places] == [True, True, False, True]
    assert all(y2 <= y1 and x2 >= x1 for (x1, y1), (x2, y2) in itertools.pairwise(path))
    assert "front" in [n.text for n in root.iter(f"{NS}text")]
    assert "polyline" not in scatter(points[2:3], title="T", description="D", x_label="x", y_label="y")


def test_a_third_group_is_drawn_apart_from_the_second():
    panel = Panel("m", [0.1, 0.2], [0.5, 0.6], [0.8, 0.9])
    svg = histogram_pair([panel], title="T", description="D", x_label="x", names=("a", "b", "c"))
    root = ElementTree.fromstring(svg)
    kinds = {n.get("class"): re.sub("stroke: [^;]*;", "", n.get("style")) for n in root.iter(f"{NS}polyline")}
    assert set(kinds) == {"second", "third"}
    assert len(set(kinds.values())) == 2
    assert {"a", "b", "c"} <= {n.text for n in root.iter(f"{NS}text")}
    assert "n = 2, 2, 2" in svg
