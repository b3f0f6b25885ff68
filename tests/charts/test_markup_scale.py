"""Escaping, ticks and lettering."""

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.charts.lettering import shorten, text_width, wrap
from expunge.charts.markup import Markup, clean, element, escape, number
from expunge.charts.scale import Scale, Span, enclosing, nice_ticks, tick_texts
from expunge.core.errors import EvidenceError

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.text())
def test_any_text_comes_back_from_an_element(text):
    root = ElementTree.fromstring(element("p", {"title": text}, text))
    assert (root.text or "").replace("\r", "\n") == clean(text).replace("\r\n", "\n").replace("\r", "\n")
    assert len(root) == 0


def test_only_markup_passes_unescaped():
    assert escape("<i>") == "&lt;i&gt;"
    assert escape(Markup("<i/>")) == "<i/>"
    assert escape("a" + Markup("<i/>")) == "a&lt;i/&gt;"


def test_marks_that_reorder_text_and_controls_are_shown():
    assert clean("a\u202eb\x00\x9b") == "a\ufffdb\ufffd\ufffd"


def test_coordinates_have_no_negative_zero():
    assert [number(value) for value in (-0.0, 0.004, 10.0, -2.5)] == ["0", "0", "10", "-2.5"]


@given(numbers, numbers, st.integers(2, 10))
def test_ticks_enclose_and_increase(one, other, count):
    low, high = min(one, other), max(one, other)
    ticks = nice_ticks(low, high, count)
    slack = 1e-6 * max(1.0, high - low)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert 2 <= len(ticks) <= 2 * count + 3


@given(numbers, numbers)
def test_tick_texts_are_all_different(one, other):
    texts = tick_texts(nice_ticks(one, other))
    assert len(set(texts)) == len(texts) or max(abs(one), abs(other)) > 1e3 * abs(one - other)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_a_scale_keeps_the_order(values):
    scale = Scale(0, 1, 10, 200)
    assert [scale(v) for v in sorted(values)] == sorted(scale(v) for v in values)
    assert all(10 <= scale(v) <= 200 for v in values)


def test_a_scale_draws_what_lies_outside_at_its_edge():
    assert Scale(0, 1, 10, 200)(7.0) == 200


@pytest.mark.parametrize("bad", [(float("nan"),), (1.0, float("inf"), 2.0), (1.0, 3.0, 2.0)])
def test_spans_that_cannot_be_drawn_are_refused(bad):
    with pytest.raises(EvidenceError):
        Span(*bad)


def test_the_range_of_nothing_is_a_range():
    assert enclosing([]) == (0.0, 1.0)
    assert enclosing([Span(2, 1, 4)], 0.0) == (0.0, 4)


@given(st.text(max_size=80), st.floats(30, 300), st.integers(1, 4))
def test_wrapped_lines_fit(text, width, lines):
    rows = wrap(text, width, 13, lines=lines)
    assert 1 <= len(rows) <= lines
    assert all(text_width(row, 13) <= width for row in rows)


def test_short_text_is_kept_whole():
    assert shorten("retrained", 200, 13) == "retrained"
    assert wrap("two words", 500, 13) == ["two words"]
